"""What clients cost by being many, by coming and going, and by not reading: fake nodes stand behind the proxy."""

import time

import pymysql

from proxy.wire.constants import COM_QUERY
from tests.bench.endpoints import Endpoint, HAProxy, Multiwriter, ProxySQL, merged
from tests.bench.programs import FAKED, FakeNode, Load, queries
from tests.bench.setting import SCHEMA, Setting
from tests.bench.usage import resident_bytes

ACTIVE = 8
LIMITS = {"limits": {"max_clients": 15_000, "max_pending_logins": 1000}}


def before_fakes(setting: Setting, nodes: int = 1, **settings: object) -> Multiwriter:
    """This proxy, running, before fake nodes."""
    addresses = []
    for _ in range(nodes):
        fake = FakeNode(setting.directory)
        setting.ends(fake.stop)
        addresses.append(fake.address)
    setting.started += 1
    directory = setting.directory / f"faked-{setting.started}"
    usual = merged(merged(FAKED, LIMITS), setting.options.settings)
    endpoint = Multiwriter(directory, addresses, merged(usual, settings))
    setting.run(endpoint)
    return endpoint


def logins(setting: Setting) -> None:
    """Connections opened and closed, with login, by eight clients."""
    node = FakeNode(setting.directory)
    setting.ends(node.stop)
    endpoints: list[Endpoint] = [Endpoint("direct", node.port), before_fakes(setting)]
    endpoints.append(HAProxy(setting.directory / "logins-haproxy", [node.address]))
    if proxysql := setting.options.binaries.get("proxysql"):
        endpoints.append(ProxySQL(setting.directory / "logins-proxysql", [node.address], proxysql))
    for endpoint in endpoints[2:]:
        setting.run(endpoint)
    seconds = setting.options.seconds
    setting.alternate(
        "logins",
        {
            each.name: lambda each=each: Load(setting.directory, each, "login", ACTIVE, seconds).run()  # type: ignore[misc]
            for each in endpoints
        },
        {"clients": ACTIVE},
    )


def idle_memory(setting: Setting) -> None:
    """Resident memory at the start, and what each client adds that has logged in and does nothing."""
    many = setting.options.many

    def measure() -> dict[str, float]:
        endpoint = before_fakes(setting)
        warm = Load(setting.directory, endpoint, "query", ACTIVE, ACTIVE, 0, 1, "SELECT 1")
        start = resident_bytes(endpoint.pids)
        warm.run()
        before = resident_bytes(endpoint.pids)
        load = Load(setting.directory, endpoint, "query", many, 0, 0, 0, "SELECT 1")
        after = resident_bytes(endpoint.pids)
        load.stop()
        endpoint.stop()
        return {"start_mib": start / 2**20, "idle_client_kib": (after - before) / many / 1024}

    setting.alternate("idle-memory", {"multiwriter": measure}, {"clients": many}, rounds=1)


def slow_reader(setting: Setting) -> None:
    """What the proxy holds while a client does not read its result of a gigabyte, from a real node."""
    endpoint = Multiwriter(setting.directory / "slow", [node.address for node in setting.cluster])
    setting.run(endpoint)
    rows = 1000 if setting.options.short else 1_000_000

    def measure() -> dict[str, float]:
        connection = pymysql.connect(
            host=endpoint.host, port=endpoint.port, user="app", password="app", database=SCHEMA
        )
        connection.ping()
        most = before = resident_bytes(endpoint.pids)
        # Said, and the answer never looked at.
        connection._execute_command(COM_QUERY, f"SELECT REPEAT('x', 1000) FROM seq_1_to_{rows}")
        until = time.monotonic() + setting.options.seconds
        while time.monotonic() < until:
            most = max(most, resident_bytes(endpoint.pids))
            time.sleep(0.05)
        connection._force_close()
        return {"growth_mib": (most - before) / 2**20}

    setting.alternate("slow-reader", {"multiwriter": measure}, {"result_mib": rows // 1000})


def one_among_many(setting: Setting) -> None:
    """One client's latency, alone and while the others, 2,000 in all, ask a thousand times a second together."""
    endpoint = before_fakes(setting)
    many = min(2000, setting.options.many)
    seconds = setting.options.seconds
    setting.alternate(
        "one-among-many",
        {
            "alone": queries(setting.directory, endpoint, clients=1, active=1, seconds=seconds),
            f"among {many}": queries(
                setting.directory, endpoint, clients=many, active=1, seconds=seconds, rate=many / 2
            ),
        },
    )


def more_clients(setting: Setting) -> None:
    """CPU by query as clients grow from 1 to 10,000, of which eight at most are at work and the others nearly idle."""
    endpoint = before_fakes(setting)
    counts = [count for count in (1, 10, 100, 1000, 10_000) if count <= setting.options.many]
    setting.alternate(
        "more-clients",
        {
            f"{count} clients": queries(
                setting.directory,
                endpoint,
                clients=count,
                active=min(count, ACTIVE),
                seconds=setting.options.seconds,
                rate=count / 100,
            )
            for count in counts
        },
    )


def more_nodes(setting: Setting) -> None:
    """CPU by query as nodes grow from 1 to 9."""
    setting.alternate(
        "more-nodes",
        {
            f"{count} nodes": queries(
                setting.directory,
                before_fakes(setting, count),
                clients=ACTIVE,
                active=ACTIVE,
                seconds=setting.options.seconds,
            )
            for count in (1, 3, 5, 9)
        },
    )
