"""Answers that outlive the connection they were given on: a proxy with one backend, for which two sessions compete."""

from collections.abc import Callable, Iterator

import pytest

from proxy.demo.galera import Cluster
from proxy.wire import constants as c
from tests.conftest import FLAVOR
from tests.differential.client import Client
from tests.differential.conversation import (
    Command,
    Conversation,
    Execute,
    Names,
    Prepare,
    Query,
    Step,
    Talk,
    compare,
)
from tests.support.proxy import Proxy

ASKS = (
    "SHOW WARNINGS", "show warnings limit 1;", "SHOW WARNINGS LIMIT 1, 1", "SHOW WARNINGS LIMIT 1 OFFSET 1",
    "SHOW WARNINGS LIMIT 0", "SHOW ERRORS", "SHOW COUNT(*) WARNINGS", "SHOW COUNT(*) ERRORS",
)  # fmt: skip
WARNS = "SELECT id, CAST('ä' AS SIGNED), 1/0 FROM t ORDER BY id LIMIT 1"
FAILS = "SELECT * FROM nosuch"
FOUND = "SELECT SQL_CALC_FOUND_ROWS id FROM t ORDER BY id LIMIT 1"

CONVERSATIONS: dict[str, tuple[Step | str, ...]] = {
    "each question about warnings": (*(step for asks in ASKS for step in (WARNS, asks)), *ASKS),
    "each question about an error": (FAILS, *ASKS, FAILS, "SELECT @@error_count", FAILS, *ASKS),
    "an error that is no table's": ("SELEC", *ASKS, "UPDATE t SET nosuch = 1", *ASKS),
    "their number": (WARNS, "SELECT @@warning_count", WARNS, "SELECT @@session.warning_count AS w, @@error_count"),
    "many": ("SELECT CAST('x' AS SIGNED) FROM t a, t b, t c, t d", "SHOW COUNT(*) WARNINGS", "SHOW WARNINGS"),
    "they end with the next statement that has tables": (WARNS, "SELECT id FROM t WHERE id = 1", *ASKS),
    "and with their own": (WARNS, FAILS, "SHOW WARNINGS", WARNS, "SELECT 1/0", "SHOW WARNINGS"),
    "what reads no table leaves them, or not": (
        WARNS, "SET sql_notes = 1", "SHOW WARNINGS", WARNS, "SELECT 1", "SHOW WARNINGS", "USE {one}", "SHOW WARNINGS",
        WARNS, "SHOW TABLES", "SHOW WARNINGS",
    ),
    "a transaction begins meanwhile": (WARNS, "BEGIN", *ASKS[:6], "COMMIT", "SHOW WARNINGS"),
    "the rows found": (
        FOUND, "SELECT FOUND_ROWS()", FOUND, "SELECT FOUND_ROWS() AS n, ROW_COUNT()", FOUND, "SELECT FOUND_ROWS() `n`",
        "SELECT FOUND_ROWS()",
    ),
    "the rows changed": (
        "UPDATE t SET v = v + 1", "SELECT ROW_COUNT()", "SELECT ROW_COUNT()", "DELETE FROM t WHERE id = 77",
        "SELECT ROW_COUNT() changed, @@warning_count", FAILS, "SELECT ROW_COUNT()", "SELECT id FROM t",
        "SELECT ROW_COUNT()", "UPDATE t SET v = v + 1 WHERE id = 2", "SELECT ROW_COUNT(), @@error_count FROM DUAL",
    ),
    "asked by prepared statements": (
        Prepare("w", "SHOW WARNINGS"), Prepare("e", "SHOW ERRORS LIMIT 1"), Prepare("r", "SELECT ROW_COUNT()"),
        WARNS, Execute("w"), FAILS, Execute("w"), Execute("e"), "UPDATE t SET v = v + 1", Execute("r"), Execute("r"),
    ),
    "in another character set": ("SET NAMES latin1", WARNS, "SHOW WARNINGS"),
    "a ping between": (WARNS, Command(c.COM_PING), "SHOW WARNINGS"),
    "nothing is left behind a reset": (WARNS, Command(c.COM_RESET_CONNECTION), "SHOW WARNINGS", "SELECT ROW_COUNT()"),
}  # fmt: skip

# As MariaDB itself has them; a MySQL server has a 1287 for each FOUND_ROWS(), and names its columns otherwise.
pytestmark = pytest.mark.only("galera")


@pytest.fixture(scope="module")
def narrow(running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with one backend in all."""
    running_cluster.heal()
    settings = {"pool": {"max_backends": 1}}
    proxy = Proxy(tmp_path_factory.mktemp("narrow"), [running_cluster[1].address], settings, flavor=FLAVOR)
    try:
        proxy.start()
        yield proxy
        assert "internal.error" not in proxy.log_text(), proxy.log_text()[-3000:]
    finally:
        proxy.kill()


@pytest.fixture(scope="module")
def table(running_cluster: Cluster) -> Iterator[str]:
    """A schema with a table of three rows."""
    node = running_cluster[1]
    node.query("CREATE DATABASE kept")
    node.query("CREATE TABLE kept.t (id INT PRIMARY KEY, v INT)")
    node.query("INSERT INTO kept.t VALUES (1, 1), (2, 2), (3, 3)")
    yield "kept"
    node.query("DROP DATABASE kept")


def hold(port: int, schema: str, conversation: Conversation, between: Callable[[], object]) -> list[bytes]:
    talk = Talk(
        conversation, lambda capabilities, name: Client(port, capabilities, name), Names(schema, schema, schema)
    )
    try:
        while len(talk):
            talk.go_on()
            between()
    finally:
        talk.close()
    return talk.heard


@pytest.mark.parametrize("title", CONVERSATIONS)
def test_whoever_takes_the_backend_leaves_the_answers(title: str, narrow: Proxy, table: str, cluster: Cluster) -> None:
    steps = tuple(Query(step) if isinstance(step, str) else step for step in CONVERSATIONS[title])
    with narrow.connect(database=table) as rival, rival.cursor() as cursor:
        for capabilities in (c.CLIENT_DEPRECATE_EOF, c.CLIENT_SESSION_TRACK):
            conversation = Conversation(steps, capabilities)
            direct = hold(cluster[1].port, table, conversation, lambda: None)
            proxied = hold(narrow.port, table, conversation, lambda: cursor.execute("SELECT COUNT(*) FROM t"))
            difference = compare(conversation, direct, proxied)
            assert difference is None, str(difference)


def test_what_is_kept_is_counted(narrow: Proxy, table: str) -> None:
    def count(result: str) -> float:
        return narrow.metrics().total("multiwriter_kept_answers_total", result=result)

    kept, served, lost = map(count, ("kept", "served", "lost"))
    with narrow.connect(database=table) as rival, narrow.connect(database=table) as session:
        for question in ("SHOW WARNINGS", "SELECT 1 + @@warning_count"):
            session.cursor().execute(WARNS)
            rival.cursor().execute("SELECT COUNT(*) FROM t")
            session.cursor().execute(question)
            rival.cursor().execute("SELECT COUNT(*) FROM t")
    assert (count("kept") - kept, count("served") - served, count("lost") - lost) == (
        3,  # the last question might be asked once more
        1,
        1,
    )
