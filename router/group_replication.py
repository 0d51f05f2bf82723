"""What a member of a MySQL group says of itself: may it be written to, and if not, why.

A table of rules, first match wins, over what performance_schema has of the group. Pure: it must not know how it was
asked for. Meanings: https://dev.mysql.com/doc/refman/9.7/en/group-replication-monitoring.html and
https://dev.mysql.com/doc/refman/9.7/en/performance-schema-replication-group-members-table.html.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from router.membership import Health, Standing

# A member's own view of the others, which is what tells a minority from a majority.
ONLINE: Final = "ONLINE"
RECOVERING: Final = "RECOVERING"
UNREACHABLE: Final = "UNREACHABLE"
PRIMARY: Final = "PRIMARY"

# The answer must not wait for the group, whatever the server's default is.
PREPARE: Final = "SET SESSION group_replication_consistency = 'EVENTUAL'"


# One round trip. The name of the group stands in a table as long as the member belongs to one; as a variable of the
# plugin it would be an error on a server that has not loaded it.
QUESTION: Final = """\
SELECT 'variable', 'offline_mode', @@global.offline_mode
UNION ALL SELECT 'variable', 'read_only', @@global.read_only
UNION ALL SELECT 'variable', 'super_read_only', @@global.super_read_only
UNION ALL SELECT 'group', 'name', GROUP_NAME
  FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME = 'group_replication_applier'
UNION ALL SELECT 'member', MEMBER_ID, MEMBER_STATE
  FROM performance_schema.replication_group_members
UNION ALL SELECT 'mine', 'state', MEMBER_STATE
  FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@global.server_uuid
UNION ALL SELECT 'mine', 'role', MEMBER_ROLE
  FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@global.server_uuid
UNION ALL SELECT 'mine', 'view', VIEW_ID
  FROM performance_schema.replication_group_member_stats WHERE MEMBER_ID = @@global.server_uuid
UNION ALL SELECT 'mine', 'to_certify', COUNT_TRANSACTIONS_IN_QUEUE
  FROM performance_schema.replication_group_member_stats WHERE MEMBER_ID = @@global.server_uuid
UNION ALL SELECT 'mine', 'to_apply', COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE
  FROM performance_schema.replication_group_member_stats WHERE MEMBER_ID = @@global.server_uuid"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a working member is relieved. Flow control, by default, starts at 25000 of either."""

    to_certify: int = 2000  # transactions
    to_apply: int = 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """What one poll found. `members`: the state of each member of the group as this one sees it."""

    variables: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    mine: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    @property
    def state(self) -> str:
        return self.mine.get("state", "")

    def is_on(self, name: str) -> bool:
        return self.variables.get(name, "").upper() in ("ON", "1")

    def number(self, name: str) -> int:
        text = self.mine.get(name, "")
        return int(text) if text.isdecimal() else 0

    @property
    def reachable(self) -> int:
        """Members that it sees, itself among them."""
        return sum(state != UNREACHABLE for state in self.members.values())

    @property
    def in_majority(self) -> bool:
        return 2 * self.reachable > len(self.members)

    @property
    def view(self) -> int:
        """A number that grows with each view; -1 if there is none.

        A view's id is when the group was begun, and behind a colon the count of its views.
        """
        begun, colon, count = self.mine.get("view", "").partition(":")
        return (int(begun) << 32) + int(count) if colon and begun.isdecimal() and count.isdecimal() else -1


def reading(rows: Sequence[tuple[str | None, ...]]) -> Reading:
    """The rows that answer QUESTION."""
    found: dict[str, dict[str, str]] = {"variable": {}, "member": {}, "mine": {}, "group": {}}
    for kind, name, value in rows:
        found[kind or ""][name or ""] = value or ""
    return Reading(found["variable"], found["member"], found["mine"], found["group"].get("name", ""))


def health(now: Reading, thresholds: Thresholds | None = None) -> Health:
    """The member's health."""
    thresholds = thresholds or Thresholds()
    standing, reason = Standing.READY, ""
    for applies, rule_standing, text in RULES:
        if applies(now, thresholds):
            standing = rule_standing
            reason = text.format(
                state=now.state or "unknown",
                reachable=now.reachable,
                members=len(now.members),
                role=now.mine.get("role", "").lower() or "unknown",
                to_certify=now.number("to_certify"),
                to_apply=now.number("to_apply"),
            )
            break
    belongs = now.state == ONLINE and now.in_majority
    return Health(
        standing=standing,
        reason=reason,
        cluster_uuid=now.group if belongs else "",
        conf_id=now.view if belongs else -1,
        recv_queue=now.number("to_apply"),
        read_only=now.is_on("super_read_only") or now.is_on("read_only"),
    )


def observe(rows: Sequence[tuple[str | None, ...]], at: float, before: object) -> tuple[Health, None]:
    """The health that answers to QUESTION tell. Nothing of one poll is needed for the next."""
    return health(reading(rows)), None


Rule = Callable[[Reading, Thresholds], bool]

# fmt: off
RULES: tuple[tuple[Rule, Standing, str], ...] = (
    (lambda now, _t: now.state in ("", "OFFLINE"),
        Standing.OUT, "group replication does not run: this server belongs to no group"),
    (lambda now, _t: now.state == RECOVERING,
        Standing.JOINING, "catching up: {state}"),
    (lambda now, _t: now.state != ONLINE,
        Standing.OUT, "expelled or failed: {state}"),
    # It answers reads, stale ones, and its commits hang.
    (lambda now, _t: not now.in_majority,
        Standing.OUT, "not in the majority: sees {reachable} of {members} members"),
    (lambda now, _t: now.is_on("offline_mode"),
        Standing.OUT, "offline_mode is on"),
    (lambda now, _t: now.mine.get("role") != PRIMARY,
        Standing.HELD, "{role} of a group in single-primary mode"),
    (lambda now, _t: now.is_on("super_read_only"),
        Standing.HELD, "super_read_only is on"),
    (lambda now, _t: now.is_on("read_only"),
        Standing.HELD, "read_only is on"),
    (lambda now, limits: now.number("to_certify") > limits.to_certify,
        Standing.RELIEVED, "{to_certify} transactions wait for certification"),
    (lambda now, limits: now.number("to_apply") > limits.to_apply,
        Standing.RELIEVED, "{to_apply} transactions behind"),
)
# fmt: on
