"""What the operator may set: one frozen class per table of the configuration file, one field per setting.

Each field carries its kind, bounds and meaning as a `Setting`; reading, checking and the settings reference are all
made from these, so that a setting is added here and nowhere else. Must not know how or from where values are read.
All durations are seconds, all sizes bytes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from config.network import Network
from config.secret import Secret
from config.units import Address


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field means to the operator.

    `kind` says how the value is written; "" is TOML's own notation of the field's type, "auto" a number or that word,
    which is 0.
    `least` and `most` bound a number, or the length of a text.
    """

    meaning: str
    kind: Literal["", "duration", "size", "mode", "node", "listen", "network", "auto"] = ""
    least: float = 0
    most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster behind the proxy, and the account with which its nodes are watched."""

    flavor: Annotated[
        Literal["galera", "percona-xtradb-cluster", "group-replication"],
        Setting("What the nodes are: MariaDB with Galera, Percona XtraDB Cluster, or MySQL with Group Replication."),
    ] = "galera"
    nodes: Annotated[
        tuple[Address, ...], Setting('The nodes, as `"host"` or `"host:port"`. The default port is 3306.', kind="node")
    ]
    user: Annotated[
        str,
        Setting(
            "Account that watches the nodes. It needs to log in, at MySQL SELECT on `performance_schema.*`, and rights "
            "for `[accounts]` and `[catalog]`.",
            least=1,
        ),
    ]
    password: Annotated[Secret, Setting("Password of that account.")]
    tls: Annotated[
        Literal["off", "required", "verify-ca", "verify-identity"],
        Setting(
            "TLS towards the nodes. `required` takes any certificate, `verify-ca` one signed by `tls_ca`, "
            "`verify-identity` one that is for the host in `nodes`, too."
        ),
    ] = "off"
    tls_ca: Annotated[
        Path | None, Setting("Authorities (PEM) that the nodes' certificates are verified by. Default: the system's.")
    ] = None
    tls_certificate: Annotated[Path | None, Setting("Certificate to show to nodes that ask for one (PEM).")] = None
    tls_key: Annotated[Path | None, Setting("Private key of that certificate (PEM).")] = None
    compression: Annotated[
        Literal["none", "zlib", "zstd"],
        Setting("Compress the connections to the nodes, where the nodes offer it. It pays for slow networks only."),
    ] = "none"
    proxy_protocol: Annotated[
        bool,
        Setting(
            "Tell the nodes each client's address by the PROXY protocol (2); they must list the proxy in their "
            "`proxy_protocol_networks`. Clients of different addresses then share no connections."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """How the nodes are watched beside what the traffic itself shows."""

    interval: Annotated[float, Setting("Time between two polls of a node.", kind="duration", least=0.02, most=60)] = 0.2
    timeout: Annotated[
        float,
        Setting(
            "A poll unanswered for this long has failed; two in a row, and the node is down.",
            kind="duration",
            least=0.05,
            most=60,
        ),
    ] = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReplay:
    """What `[replay]` says, for one endpoint: it stands below its `[[endpoint]]`. Left out is as in `[replay]`."""

    enabled: Annotated[bool | None, Setting("Replay transactions.")] = None
    max_attempts: Annotated[int | None, Setting("Replays of one transaction.", least=1, most=10_000)] = None
    max_time: Annotated[float | None, Setting("Time for all replays of one transaction.", kind="duration")] = None
    journal_bytes: Annotated[int | None, Setting("Memory for the record of one transaction.", kind="size")] = None
    backoff_base: Annotated[
        float | None, Setting("Mean wait before the first replay; it doubles with each.", kind="duration")
    ] = None
    backoff_max: Annotated[float | None, Setting("The longest such wait.", kind="duration")] = None
    budget_per_node: Annotated[
        float | None, Setting("Replays per second towards one node, of this endpoint's clients.", least=1)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address for clients, with what holds for everyone who connects there. Repeat the table for several."""

    name: Annotated[str, Setting("Name of the endpoint in logs and metrics.", least=1, most=64)]
    listen: Annotated[
        Address | None, Setting('TCP address to listen on. `"0.0.0.0:3306"` is every address.', kind="listen")
    ] = None
    socket: Annotated[Path | None, Setting("Unix socket to listen on, beside or instead of `listen`.")] = None
    socket_mode: Annotated[
        int, Setting("Permissions of that socket. Its clients log in as all others do.", kind="mode", most=0o777)
    ] = 0o666
    tls_certificate: Annotated[Path | None, Setting("Certificate chain (PEM). With it clients may use TLS.")] = None
    tls_key: Annotated[Path | None, Setting("Private key of the certificate (PEM).")] = None
    tls_required: Annotated[bool, Setting("Refuse TCP clients that do not use TLS.")] = False
    tls_minimum: Annotated[Literal["1.2", "1.3"], Setting("The lowest version of TLS that clients may use.")] = "1.2"
    tls_client_ca: Annotated[
        Path | None, Setting("Ask clients for a certificate, and verify it by these authorities (PEM).")
    ] = None
    tls_client_certificate: Annotated[
        Literal["optional", "required"],
        Setting(
            "With `tls_client_ca`: whether a client under TLS may come without one. A wrong one is always refused."
        ),
    ] = "optional"
    local_infile: Annotated[
        bool, Setting("Let clients send files with LOAD DATA LOCAL, where the nodes let them, too.")
    ] = True
    proxy_protocol_networks: Annotated[
        tuple[Network, ...],
        Setting(
            "Load balancers that may say for whom they connect, by a header of the PROXY protocol (1 or 2). Networks, "
            'addresses, `"localhost"` (Unix socket) or `"*"`. A header from anybody else is refused.',
            kind="network",
        ),
    ] = ()
    compression: Annotated[bool, Setting("Let clients compress their connection, with zlib or zstd.")] = True
    connection_attributes: Annotated[
        Literal["proxy", "program", "all"],
        Setting(
            "What the nodes' `session_connect_attrs` say. `program`: what clients say of program, driver and platform; "
            "clients that differ in it share no connections. `all`: all that they say, such as `_pid`, so that each "
            "process has connections of its own. `proxy`: nothing of the client's."
        ),
    ] = "program"
    commit_marker: Annotated[
        bool,
        Setting(
            "Have each commit leave a marker in a table of ours, so that one whose answer was lost can be looked up. "
            "`multiwriter setup` makes what it needs."
        ),
    ] = False
    placement: Annotated[
        Literal["spread", "affinity", "adaptive"],
        Setting(
            "How a transaction's node is chosen. `spread` shares them out over all writers. `affinity`: those of one "
            "key go to the same node. `adaptive`: as `spread`, but what is fought over gets an owner, as long as it is."
        ),
    ] = "adaptive"
    affinity: Annotated[
        Literal["key", "table", "schema", "user"],
        Setting(
            "With `affinity`, what the key is: the row that the first statement names by a unique key, where there is "
            "one, and the table otherwise; the table; the schema; or the user."
        ),
    ] = "key"
    causality: Annotated[
        Literal["session", "eventual", "strong"],
        Setting(
            "What a read sees. `session`: at least all that its own session has committed, on whatever node. "
            "`eventual`: what has arrived at the node. `strong`: all that anybody had committed when it began. Clients "
            "choose with `SET SESSION multiwriter_causality = '...'`."
        ),
    ] = "session"
    snapshot_isolation: Annotated[
        bool,
        Setting(
            "Run with `innodb_snapshot_isolation=ON` where the nodes have it (MariaDB 10.6.18, 10.11.8, 11.4.2 and "
            "later), so that no update is lost between a read and a write. With `adaptive`, such transactions queue."
        ),
    ] = False
    queue_length: Annotated[
        int,
        Setting("Transactions that may wait for the same key to be free; further ones begin at once.", most=1_000_000),
    ] = 1000
    queue_wait: Annotated[
        float, Setting("The longest such wait; then a transaction begins anyway.", kind="duration", most=3600)
    ] = 1.0
    replay: EndpointReplay = EndpointReplay()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The cluster's own accounts, with which clients log in as they would to a node."""

    cluster: Annotated[
        bool,
        Setting(
            "Let clients log in with the cluster's accounts. That of `[cluster]` needs SELECT on `mysql.*` for it."
        ),
    ] = True
    refresh: Annotated[
        float, Setting("A change of an account is noticed within this time.", kind="duration", least=0.1, most=300)
    ] = 2.0
    max_age: Annotated[
        float,
        Setting(
            "When no node can tell its accounts, the last known ones hold for this long.", kind="duration", least=1
        ),
    ] = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What the proxy knows of tables, views, triggers and functions, read by the account of `[cluster]`.

    It sees what that account has any right to: `GRANT SELECT, SHOW VIEW, TRIGGER ON *.*` shows it everything.
    """

    enabled: Annotated[bool, Setting("Read the definitions. Without them tables are taken for plain ones.")] = True
    refresh: Annotated[
        float,
        Setting(
            "A definition changed elsewhere than through this proxy is noticed within this time.",
            kind="duration",
            least=0.1,
            most=300,
        ),
    ] = 1.0
    max_tables: Annotated[
        int, Setting("With more tables than this the definitions are not read.", least=1, most=10_000_000)
    ] = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account that clients log in with beside the cluster's, or instead of one of them. Repeat for several."""

    # MariaDB allows 80 characters, MySQL 32 (https://mariadb.com/kb/en/identifier-names/#maximum-length).
    name: Annotated[str, Setting("User name that clients give.", least=1, most=80)]
    password: Annotated[Secret, Setting("Password that clients give.")]
    plugin: Annotated[
        Literal["any", "mysql_native_password", "caching_sha2_password"],
        Setting("How clients show the password. `any`: by either of these two, as the client proposes."),
    ] = "any"
    backend_name: Annotated[
        str | None, Setting("User name towards the nodes, where it differs from `name`.", least=1, most=80)
    ] = None
    backend_password: Annotated[
        Secret | None, Setting("Password towards the nodes, where it differs from `password`.")
    ] = None
    placement: Annotated[
        Literal["spread", "affinity", "adaptive"] | None, Setting("As of an endpoint, and before what it says.")
    ] = None
    causality: Annotated[
        Literal["session", "eventual", "strong"] | None, Setting("As of an endpoint, and before what it says.")
    ] = None
    snapshot_isolation: Annotated[bool | None, Setting("As of an endpoint, and before what it says.")] = None
    commit_marker: Annotated[
        bool | None, Setting("As on an endpoint, for this account on any of them. Default: what the endpoint says.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The HTTP server for `/metrics`, `/healthz` and `/readyz`."""

    listen: Annotated[
        Address | None, Setting("TCP address to listen on. Without it there is no HTTP server.", kind="listen")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The operator's console: SQL about the proxy itself, for any MySQL client."""

    listen: Annotated[Address | None, Setting("TCP address to listen on. Keep it from strangers.", kind="listen")] = (
        None
    )
    socket: Annotated[Path | None, Setting("Unix socket to listen on, beside or instead of `listen`.")] = None
    socket_mode: Annotated[int, Setting("Permissions of that socket.", kind="mode", most=0o777)] = 0o600
    user: Annotated[str, Setting("User name that operators give.", least=1, most=80)] = "admin"
    password: Annotated[Secret | None, Setting("Password that operators give. There is no console without.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The connections to the nodes."""

    max_backends: Annotated[
        int,
        Setting(
            "Connections to one node. Keep it below the node's `max_connections`. Short transactions of many clients "
            "are served best by a few for each of the node's processors; the others wait for their turn.",
            least=1,
            most=100_000,
        ),
    ] = 100
    connect_timeout: Annotated[
        float, Setting("Time to connect and log in to a node.", kind="duration", least=0.05, most=300)
    ] = 2.0
    acquire_timeout: Annotated[
        float, Setting("A client waits this long for a free connection, then gets an error.", kind="duration", least=0)
    ] = 10.0
    idle_timeout: Annotated[
        float, Setting("A connection unused for this long is closed.", kind="duration", least=1)
    ] = 300.0
    max_age: Annotated[
        float, Setting("A connection is closed at this age, between two uses.", kind="duration", least=1)
    ] = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what clients may take. At each there is an error with a code, never a hang."""

    max_clients: Annotated[int, Setting("Clients at once, over all endpoints.", least=1, most=1_000_000)] = 10_000
    login_timeout: Annotated[float, Setting("Time for a client to log in.", kind="duration", least=0.1, most=3600)] = (
        10.0
    )
    login_backoff: Annotated[
        float,
        Setting(
            "After a failed login, time until the next one from the same address; it doubles with each. 0: none.",
            kind="duration",
            most=60,
        ),
    ] = 0.1
    login_backoff_max: Annotated[
        float, Setting("The longest such time. A success forgives all.", kind="duration", most=60)
    ] = 3.0
    max_login_packet: Annotated[
        int, Setting("Size of a packet before login.", kind="size", least=1024, most=0xFFFFFF)
    ] = 65_536
    max_pending_logins: Annotated[
        int, Setting("Clients that may be in the middle of logging in.", least=1, most=1_000_000)
    ] = 1000
    # Beyond 1 GiB no server accepts a command: that is the greatest max_allowed_packet.
    max_command_bytes: Annotated[
        int,
        Setting("Size of one command. The nodes' `max_allowed_packet` holds too.", kind="size", least=1024, most=2**30),
    ] = 64 * 2**20
    writer_wait: Annotated[
        float, Setting("With no writer left, clients wait this long for one, then get an error.", kind="duration")
    ] = 10.0
    marker_wait: Annotated[
        float,
        Setting(
            "A commit whose answer was lost is looked up for this long; then its outcome is unknown.",
            kind="duration",
            least=0.1,
        ),
    ] = 30.0
    kept_answer_bytes: Annotated[
        int,
        Setting(
            "Memory for the warnings that clients may still ask for when another has needed their connection to a "
            "node. Without room these are lost.",
            kind="size",
        ),
    ] = 16 * 2**20
    drain_timeout: Annotated[float, Setting("At shutdown, time for open transactions to finish.", kind="duration")] = (
        30.0
    )
    idle_client_timeout: Annotated[
        float, Setting("A client silent for this long is disconnected.", kind="duration", least=1)
    ] = 28_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The proxy's own processes."""

    # One is enough for most clusters, and has one pool and one view of all conflicts.
    workers: Annotated[
        int,
        Setting(
            'Processes that serve clients, on the same addresses. `"auto"`: one for each processor that it may use. '
            "Limits are for all of them together; backends, journals and retry budgets are shared out evenly.",
            kind="auto",
            most=1024,
        ),
    ] = 1
    scheduling: Annotated[
        Literal["batch", "normal"],
        Setting(
            "How the kernel gives processors to what serves clients. `batch`: nobody who runs is interrupted for it; "
            "it finds more to do each time, which on busy processors costs a fifth less for each query. `normal`: at "
            "once, which is better where long calculations keep the same processors busy."
        ),
    ] = "batch"
    listen_backlog: Annotated[
        int,
        Setting(
            "Connections that may wait to be accepted. The kernel's `net.core.somaxconn` holds too.",
            least=1,
            most=65_535,
        ),
    ] = 1024
    takeover: Annotated[
        Path | None,
        Setting(
            "A socket file over which `multiwriter serve --takeover` takes over from the proxy that runs: it gets the "
            "listening sockets, and the old one drains."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Running again what lost a conflict or its node."""

    enabled: Annotated[bool, Setting("Replay transactions. When false, clients get the nodes' own errors.")] = True
    max_attempts: Annotated[int, Setting("Replays of one transaction.", least=1, most=10_000)] = 30
    max_time: Annotated[float, Setting("Time for all replays of one transaction.", kind="duration")] = 10.0
    journal_bytes: Annotated[
        int, Setting("Memory for the record of one transaction. A longer one is not replayed.", kind="size")
    ] = 2**20
    total_journal_bytes: Annotated[int, Setting("Memory for the records of all transactions.", kind="size")] = (
        256 * 2**20
    )
    backoff_base: Annotated[
        float, Setting("Mean wait before the first replay; it doubles with each.", kind="duration")
    ] = 0.002
    backoff_max: Annotated[float, Setting("The longest such wait.", kind="duration")] = 0.1
    budget_per_node: Annotated[
        float, Setting("Replays per second towards one node, so that a storm cannot feed itself.", least=1)
    ] = 2000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Setting("The least severity that is logged.")] = (
        "info"
    )
    format: Annotated[Literal["text", "json"], Setting("One line per event: `key=value` text, or JSON.")] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that the operator has said. Made by `config.load` and `config.from_nodes`, which check it."""

    cluster: Cluster
    endpoints: tuple[Endpoint, ...] = field(metadata={"key": "endpoint"})
    users: tuple[User, ...] = field(default=(), metadata={"key": "user"})
    accounts: Accounts = Accounts()
    catalog: Catalog = Catalog()
    monitor: Monitor = Monitor()
    http: Http = Http()
    console: Console = Console()
    pool: Pool = Pool()
    limits: Limits = Limits()
    process: Process = Process()
    replay: Replay = Replay()
    log: Log = Log()

    @property
    def marks_commits(self) -> bool:
        """The commit marker is on for somebody."""
        return any(endpoint.commit_marker for endpoint in self.endpoints) or any(
            user.commit_marker for user in self.users
        )
