"""What a Galera node's status says: may it be written to, and if not, why.

A table of rules, first match wins, over the values of global status and system variables. Pure: it must not know how
they were asked for. Meanings: https://galeracluster.com/library/documentation/galera-status-variables.html,
https://mariadb.com/kb/en/galera-cluster-system-variables/ and, of Percona XtraDB Cluster,
https://docs.percona.com/percona-xtradb-cluster/8.4/wsrep-system-index.html.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from router.membership import Health, Standing

STATUS: Final = (
    "wsrep_cluster_conf_id",
    "wsrep_cluster_state_uuid",
    "wsrep_cluster_status",
    "wsrep_connected",
    "wsrep_flow_control_paused_ns",
    "wsrep_local_recv_queue",
    "wsrep_local_state",
    "wsrep_local_state_comment",
    "wsrep_ready",
)
VARIABLES: Final = (
    "read_only",
    "wsrep_desync",
    "wsrep_on",
    "wsrep_reject_queries",
    "wsrep_sst_method",
)
MAINTENANCE: Final = "pxc_maint_mode"  # Percona's alone
PERCONA_VARIABLES: Final = (*VARIABLES, MAINTENANCE)


# A node that has lost its majority answers these where it would refuse others or wait for what never comes.
PREPARE: Final = "SET SESSION wsrep_sync_wait = 0, wsrep_dirty_reads = ON, group_concat_max_len = 65536"


def _lines(table: str, names: tuple[str, ...]) -> str:
    # One value, a line for each name: reading a row of its own for each costs us as much again as the question does.
    # The line ends stand for themselves, as sql_mode may have taken backslashes their meaning.
    listed = ", ".join(f"'{name}'" for name in names)
    lines = "GROUP_CONCAT(LOWER(VARIABLE_NAME), '=', VARIABLE_VALUE SEPARATOR '\n')"
    return f"(SELECT {lines} FROM {table} WHERE VARIABLE_NAME IN ({listed}))"  # noqa: S608


def _question(*parts: str) -> str:
    return f"SELECT CONCAT_WS('\n', {', '.join(parts)})"


# @@global costs a tenth of what information_schema.global_variables or SHOW VARIABLES do, which copy every variable
# first.
QUESTION: Final = _question(
    _lines("information_schema.global_status", STATUS),
    *(f"CONCAT('{name}=', @@global.{name})" for name in VARIABLES),
)
PERCONA_QUESTION: Final = _question(
    _lines("performance_schema.global_status", STATUS),
    _lines("performance_schema.global_variables", PERCONA_VARIABLES),
)

# wsrep_local_state
JOINING: Final = 1
DONOR: Final = 2
JOINED: Final = 3
SYNCED: Final = 4

NON_BLOCKING_SST: Final = frozenset({"mariabackup", "xtrabackup-v2", "xtrabackup", "clone"})
"""State transfers that leave the donor writable; rsync and mysqldump lock it."""

NO_UUID: Final = "00000000-0000-0000-0000-000000000000"
UNDEFINED_CONF_ID: Final = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a working node is relieved. Far above what a healthy one shows: flow control starts at 16 write-sets."""

    recv_queue: int = 500  # write-sets received and not yet applied
    flow_control_paused: float = 0.9  # share of the time for which this node stood still


@dataclass(frozen=True, slots=True)
class Reading:
    """What one poll found, by name, and when: `at` seconds."""

    status: Mapping[str, str]
    variables: Mapping[str, str]
    at: float

    def is_on(self, name: str) -> bool:
        return self.variables.get(name, "").upper() in ("ON", "1")

    def number(self, name: str, default: int) -> int:
        try:
            return int(float(self.status.get(name, "")))
        except (ValueError, OverflowError):
            return default

    def word(self, name: str) -> str:
        return self.status.get(name, "") or self.variables.get(name, "")

    @property
    def local_state(self) -> int:
        return self.number("wsrep_local_state", -1)


def observe(rows: Sequence[tuple[str | None, ...]], at: float, before: Reading | None) -> tuple[Health, Reading]:
    """The health that the answer to either question tells, and what the next call wants as `before`."""
    told: dict[str, str] = dict(
        line.split("=", 1) for value, *_ in rows if value for line in value.split("\n") if "=" in line
    )
    variables: dict[str, str] = {name: told.pop(name) for name in PERCONA_VARIABLES if name in told}
    now = Reading(told, variables, at)
    return health(now, before), now


def health(now: Reading, before: Reading | None = None, thresholds: Thresholds | None = None) -> Health:
    """The node's health. `before`: the same node's last reading, for what only counts up."""
    thresholds = thresholds or Thresholds()
    paused = _paused(now, before)
    standing, reason = Standing.READY, ""
    for applies, rule_standing, text in RULES:
        if applies(now, paused, thresholds):
            standing = rule_standing
            reason = text.format(
                status=now.word("wsrep_cluster_status") or "unknown",
                state=now.word("wsrep_local_state_comment") or str(now.local_state),
                reject=now.word("wsrep_reject_queries"),
                maintenance=now.word(MAINTENANCE),
                method=now.word("wsrep_sst_method") or "unknown method",
                queue=now.number("wsrep_local_recv_queue", 0),
                paused=round(paused * 100),
            )
            break
    conf_id = now.number("wsrep_cluster_conf_id", -1)
    uuid = now.word("wsrep_cluster_state_uuid")
    primary = now.word("wsrep_cluster_status") == "Primary"
    return Health(
        standing=standing,
        reason=reason,
        cluster_uuid=uuid if primary and uuid != NO_UUID else "",
        conf_id=conf_id if primary and conf_id < UNDEFINED_CONF_ID else -1,
        local_state=now.local_state,
        recv_queue=now.number("wsrep_local_recv_queue", 0),
        flow_control_paused=paused,
        read_only=_read_only(now),
    )


def _read_only(now: Reading) -> bool:
    # MariaDB 12 and later have more words than ON and OFF; each of them refuses some writes.
    return now.variables.get("read_only", "OFF").upper() not in ("OFF", "0", "")


def _paused(now: Reading, before: Reading | None) -> float:
    # wsrep_flow_control_paused itself is an average since FLUSH STATUS; the nanoseconds only grow, unless flushed.
    if before is None or now.at <= before.at:
        return 0.0
    grown = now.number("wsrep_flow_control_paused_ns", 0) - before.number("wsrep_flow_control_paused_ns", 0)
    return min(1.0, max(0.0, grown / 1e9 / (now.at - before.at)))


Rule = Callable[[Reading, float, Thresholds], bool]

# fmt: off
RULES: tuple[tuple[Rule, Standing, str], ...] = (
    # A plain server would take writes and replicate them to nobody.
    (lambda now, _p, _t: not now.is_on("wsrep_on") or not now.word("wsrep_cluster_status"),
        Standing.OUT, "wsrep is off: this server belongs to no Galera cluster"),
    (lambda now, _p, _t: now.word("wsrep_cluster_status") != "Primary",
        Standing.OUT, "not in the primary component: cluster status {status}"),
    (lambda now, _p, _t: now.word("wsrep_connected") == "OFF",
        Standing.OUT, "not connected to the cluster"),
    (lambda now, _p, _t: now.word("wsrep_reject_queries").upper() not in ("", "NONE"),
        Standing.OUT, "wsrep_reject_queries is {reject}"),
    (lambda now, _p, _t: now.local_state == DONOR and now.is_on("wsrep_desync"),
        Standing.RELIEVED, "desynced by the operator"),
    (lambda now, _p, _t: now.local_state == DONOR and now.word("wsrep_sst_method") not in NON_BLOCKING_SST,
        Standing.HELD, "donor of a state transfer that blocks it ({method})"),
    (lambda now, _p, _t: now.local_state in (JOINING, JOINED),
        Standing.JOINING, "catching up: {state}"),
    (lambda now, _p, _t: now.local_state not in (SYNCED, DONOR),
        Standing.OUT, "not in step: {state}"),
    (lambda now, _p, _t: now.word("wsrep_ready") != "ON",
        Standing.OUT, "not ready: {state}"),
    (lambda now, _p, _t: now.word(MAINTENANCE) not in ("", "DISABLED"),
        Standing.HELD, "in maintenance: pxc_maint_mode is {maintenance}"),
    (lambda now, _p, _t: _read_only(now),
        Standing.HELD, "read_only is on"),
    (lambda now, _p, _t: now.local_state == DONOR,
        Standing.RELIEVED, "donor of a state transfer ({method})"),
    (lambda now, _p, _t: now.is_on("wsrep_desync"),
        Standing.RELIEVED, "desynced by the operator"),
    (lambda now, _p, limits: now.number("wsrep_local_recv_queue", 0) > limits.recv_queue,
        Standing.RELIEVED, "{queue} write-sets behind"),
    (lambda now, paused, limits: paused > limits.flow_control_paused,
        Standing.RELIEVED, "paused by flow control {paused} % of the time"),
)
# fmt: on
