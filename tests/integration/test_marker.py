"""The commit marker on a real cluster: set up, used, and asked after nodes and connections were lost under load."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import MySQLdb
import pymysql
import pytest

from proxy import cli
from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from router import marker
from tests.integration.conftest import Direct, MakeProxy
from tests.support.cutting import Snip, network
from tests.support.duration import seconds
from tests.support.faults import MARKED, Setting
from tests.support.proxy import Proxy, toml
from tests.support.workload import Ledger, Work, connect

WRITTEN = "multiwriter_commit_markers_total"
UNMARKED = "multiwriter_commits_unmarked_total"


@pytest.fixture
def marked(make_proxy: MakeProxy) -> Proxy:
    return make_proxy(MARKED)


@pytest.fixture
def client(marked: Proxy, table: str) -> Iterator[Any]:
    with contextlib.closing(connect(marked.port)) as connection:
        yield connection


@pytest.fixture
def table(direct: Direct, schema: str) -> str:
    with direct(1).cursor() as cursor:
        cursor.execute(f"CREATE TABLE {schema}.t (id INT PRIMARY KEY AUTO_INCREMENT, c INT, s CHAR(2))")
    return f"{schema}.t"


def run(connection: Any, sql: str) -> Any:
    cursor = connection.cursor()
    cursor.execute(sql)
    return cursor.fetchall(), cursor.rowcount, cursor.lastrowid


# -- what the client sees ---------------------------------------------------------------------------------------------


def test_commits_are_marked_and_answered_as_usual(client: Any, marked: Proxy, table: str) -> None:
    _, rows, first = run(client, f"INSERT INTO {table} (c) VALUES (1), (2)")
    assert rows == 2
    assert first > 0
    assert run(client, "SELECT LAST_INSERT_ID()")[0] == ((first,),)
    assert run(client, f"UPDATE {table} SET c = 3")[1] == 2
    run(client, "BEGIN")
    run(client, f"INSERT INTO {table} (c) VALUES (4)")
    run(client, "COMMIT")
    assert run(client, "SELECT ROW_COUNT()")[0] == ((0,),)
    assert marked.metrics().total(WRITTEN) == 3
    assert marked.metrics().total(UNMARKED) == 0


def test_autocommit_off_and_on(client: Any, marked: Proxy, table: str) -> None:
    run(client, "SET autocommit=0")
    run(client, f"INSERT INTO {table} (c) VALUES (1)")
    run(client, "COMMIT")
    run(client, f"INSERT INTO {table} (c) VALUES (2)")
    run(client, "SET autocommit=1")
    assert run(client, f"SELECT COUNT(*) FROM {table}")[0] == ((2,),)
    run(client, "ROLLBACK")
    assert run(client, f"SELECT COUNT(*) FROM {table}")[0] == ((2,),)
    assert marked.metrics().total(WRITTEN) == 2


def test_chain_and_release(client: Any, marked: Proxy, table: str) -> None:
    run(client, "BEGIN")
    run(client, f"INSERT INTO {table} (c) VALUES (1)")
    run(client, "COMMIT AND CHAIN")
    run(client, f"INSERT INTO {table} (c) VALUES (2)")
    run(client, "ROLLBACK")
    assert run(client, f"SELECT c FROM {table}")[0] == ((1,),)
    run(client, "BEGIN")
    run(client, f"INSERT INTO {table} (c) VALUES (3)")
    run(client, "COMMIT RELEASE")
    with pytest.raises(MySQLdb.OperationalError):
        run(client, "SELECT 1")
    assert marked.metrics().total(WRITTEN) == 2


def test_completion_type_is_the_servers_business(client: Any, marked: Proxy, table: str) -> None:
    run(client, "SET completion_type='CHAIN'")
    run(client, "BEGIN")
    run(client, f"INSERT INTO {table} (c) VALUES (1)")
    run(client, "COMMIT")
    run(client, f"INSERT INTO {table} (c) VALUES (2)")
    run(client, "ROLLBACK")
    assert run(client, f"SELECT c FROM {table}")[0] == ((1,),)
    assert marked.metrics().by("reason", UNMARKED) == {"not_markable": 1}


def test_warnings_and_errors_stay(client: Any, table: str) -> None:
    run(client, f"INSERT IGNORE INTO {table} (c, s) VALUES (1, 'long')")
    assert [row[1] for row in run(client, "SHOW WARNINGS")[0]] == [1265]
    with pytest.raises(MySQLdb.IntegrityError):
        run(client, f"INSERT INTO {table} (id) SELECT id FROM {table}")
    assert [row[1] for row in run(client, "SHOW WARNINGS")[0]] == [1062]
    assert run(client, f"SELECT COUNT(*) FROM {table}")[0] == ((1,),)


def test_the_table_does_not_grow(client: Any, cluster: Cluster, table: str) -> None:
    run(client, f"INSERT INTO {table} (c) VALUES (0)")
    before = cluster[1].query(f"SELECT COUNT(*), SUM(number) FROM {marker.TABLE}")[0]
    for number in range(100):
        run(client, f"INSERT INTO {table} (c) VALUES ({number})")
    after = cluster[1].query(f"SELECT COUNT(*), SUM(number) FROM {marker.TABLE}")[0]
    assert after[0] <= before[0] + len(cluster.nodes)
    assert int(after[1]) >= int(before[1]) + 90, "counted up, as far as node1 has it"


def test_a_forgotten_slot_is_replaced_by_the_next(cluster: Cluster, direct: Direct) -> None:
    cluster[1].query(f"INSERT INTO {marker.TABLE} VALUES (9223372036854775806, 5, 0, 1)")
    with direct(1).cursor() as cursor:
        cursor.execute(f"CALL {marker.SLOT_PROCEDURE}(9223372036854775805)")
    found = cluster[1].query(f"SELECT slot FROM {marker.TABLE} WHERE slot > 9223372036854775800")
    assert found == [(9223372036854775805,)]
    cluster[1].query(f"DELETE FROM {marker.TABLE} WHERE slot > 9223372036854775800")


def test_a_new_slot_waits_for_no_commit_in_another(cluster: Cluster, direct: Direct) -> None:
    cluster[1].query(f"INSERT INTO {marker.TABLE} VALUES (9223372036854775806, 5, 0, UNIX_TIMESTAMP())")
    with direct(1).cursor() as committing, direct(1).cursor() as taking:
        committing.execute("BEGIN")
        committing.execute(f"UPDATE {marker.TABLE} SET number = 6 WHERE slot = 9223372036854775806")
        taking.execute("SET innodb_lock_wait_timeout = 1")
        taking.execute(f"CALL {marker.SLOT_PROCEDURE}(9223372036854775804)")
        committing.execute("ROLLBACK")
    cluster[1].query(f"DELETE FROM {marker.TABLE} WHERE slot > 9223372036854775800")


def test_no_two_backends_share_a_slot_whosever_they_are(
    make_proxy: MakeProxy, cluster: Cluster, direct: Direct, schema: str
) -> None:
    """Two proxies, one of two workers: numbers are taken by chance, and one that is taken is refused."""
    with direct(1).cursor() as cursor:
        take = f"CALL {marker.SLOT_PROCEDURE}(7777)"
        cursor.execute(take)
        with pytest.raises(pymysql.MySQLError, match="Duplicate"):
            cursor.execute(take)
    ledger = Ledger(schema)
    ledger.create(direct(1), direct(2), direct(3))
    counted = f"SELECT slot, number FROM {marker.TABLE}"
    before = {slot: int(number) for slot, number in cluster[1].query(counted)}
    proxies = [make_proxy(MARKED | more, wait=False) for more in ({}, {"process": {"workers": 2}})]
    for proxy in proxies:
        proxy.wait_ready(60)
    with Work([proxy.port for proxy in proxies for _ in range(6)], [ledger.record] * 12) as work:
        work.go_on(seconds(3))
    assert not work.errors, work.seen()
    written = sum(proxy.metrics().total(WRITTEN) for proxy in proxies)
    assert written >= work.committed > 50
    # Two who counted in one slot would have been refused, or have taken each other's numbers.
    assert sum(proxy.metrics().total(UNMARKED) for proxy in proxies) == 0
    connection = direct(1)
    with connection.cursor() as cursor:
        cursor.execute(cluster.causal)
        cursor.execute(counted)
        after = {slot: int(number) for slot, number in cursor.fetchall()}
        cursor.execute(f"DELETE FROM {marker.TABLE} WHERE slot = 7777")
    assert sum(after.values()) - sum(before.get(slot, 0) for slot in after) == written
    assert len([slot for slot in after if slot not in before]) <= 12 * len(cluster.nodes)


# -- both or neither --------------------------------------------------------------------------------------------------


def test_the_procedure_commits_or_does_nothing(direct: Direct, table: str) -> None:
    connection = direct(1)
    with connection.cursor() as cursor:
        cursor.execute(f"CALL {marker.SLOT_PROCEDURE}(77)")
        for number in (2, 3):
            cursor.execute("BEGIN")
            cursor.execute(f"INSERT INTO {table} (c) VALUES (1)")
            with pytest.raises(pymysql.MySQLError) as refused:
                cursor.execute(f"CALL {marker.COMMIT_PROCEDURE}(77, {number}, 0)")
            assert refused.value.args[0] == 1644
            cursor.execute("ROLLBACK")
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
            assert cursor.fetchone() == (0,)
        for statement in marker.tombstone(77, 1):
            cursor.execute(statement)
        assert cursor.fetchone() == (1, 1)
        cursor.execute("BEGIN")
        cursor.execute(f"INSERT INTO {table} (c) VALUES (1)")
        with pytest.raises(pymysql.MySQLError):
            cursor.execute(f"CALL {marker.COMMIT_PROCEDURE}(77, 1, 0)")
        cursor.execute("ROLLBACK")
        cursor.execute(f"DELETE FROM {marker.TABLE} WHERE slot = 77")


# -- setting it up ----------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(cluster: Cluster) -> Iterator[str]:
    """An account with rights to data only."""
    cluster[1].query("CREATE USER plain@'%' IDENTIFIED BY 'plain'")
    cluster[1].query("GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO plain@'%'")
    wait_until(lambda: all(node.query("SELECT 1 FROM mysql.user WHERE user = 'plain'") for node in cluster), 10, str)
    yield "plain"
    cluster[1].query("DROP USER plain@'%'")


def settings_of(cluster: Cluster, user: str, directory: Path) -> Path:
    """A settings file of an endpoint whose commits are marked, for this user alone."""
    file = directory / "setup.toml"
    file.write_text(
        toml(
            {
                "cluster": {
                    "flavor": cluster.flavor,
                    "nodes": [node.address for node in cluster],
                    "user": "monitor",
                    "password": "monitor",
                },
                "accounts": {"cluster": False},
                "endpoint": [{"name": "write", "listen": "127.0.0.1:1", "commit_marker": True}],
                "user": [{"name": user, "password": user}],
            }
        )
    )
    return file


def test_without_the_right_commits_are_plain_until_it_is_given(
    make_proxy: MakeProxy, cluster: Cluster, plain: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = make_proxy(MARKED | {"user": [{"name": plain, "password": plain}]})
    with contextlib.closing(proxy.connect(plain, plain)) as connection:
        run(connection, f"INSERT INTO {table} (c) VALUES (1)")
    assert proxy.metrics().total(WRITTEN) == 0
    assert proxy.metrics().by("reason", UNMARKED) == {"no_slot": 1}
    assert "marker.refused" in proxy.log_text()

    file = settings_of(cluster, plain, tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("app")
    command = ["setup", "--config", str(file), "--user", "app", "--password-file", str(secret)]
    granted = f"GRANT EXECUTE ON PROCEDURE {marker.COMMIT_PROCEDURE} TO 'plain'@'%'"
    assert cli.main(command) == 0
    assert granted in capsys.readouterr().out
    assert not cluster[1].query("SELECT 1 FROM mysql.procs_priv WHERE User = 'plain'"), "only shown"
    for _ in range(2):
        assert cli.main([*command, "--yes"]) == 0, capsys.readouterr().err
    assert cli.main(["check", "--config", str(file)]) == 0
    assert "warning" not in capsys.readouterr().err
    wait_until(
        lambda: all(node.query("SELECT 1 FROM mysql.procs_priv WHERE User = 'plain'") for node in cluster), 10, str
    )
    proxy = make_proxy(MARKED | {"user": [{"name": plain, "password": plain}]})
    with contextlib.closing(proxy.connect(plain, plain)) as connection:
        run(connection, f"INSERT INTO {table} (c) VALUES (2)")
    assert proxy.metrics().total(WRITTEN) == 1


def test_setting_up_without_the_rights_says_which_statement_was_refused(
    cluster: Cluster, plain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = settings_of(cluster, plain, tmp_path)
    secret = tmp_path / "secret"
    command = ["setup", "--config", str(file), "--yes", "--password-file", str(secret), "--user"]
    secret.write_text(plain)
    assert cli.main([*command, plain]) == 1
    told = capsys.readouterr()
    assert f"refused this to {plain} (1044 (42000): Access denied" in told.err
    assert told.err.rstrip().endswith(marker.STRUCTURE[0])
    cluster[1].query(f"REVOKE SELECT ON *.* FROM {plain}@'%'")
    assert cli.main([*command, plain]) == 1
    assert f"{plain} may not read the accounts" in capsys.readouterr().err
    secret.write_text("wrong")
    assert cli.main([*command, plain]) == 1
    assert f"no node lets {plain} in" in capsys.readouterr().err


# -- nodes and connections are lost -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "step"), [("transaction", 1), ("alone", 5)])
def test_cut_at_every_byte_of_a_commit_and_of_its_answer(
    kind: str, step: int, cluster: Cluster, table: str, tmp_path: Path
) -> None:
    told: dict[int, int] = {}  # by the value of a row: the id that its client was told
    cuts = 0
    with network([node.port for node in cluster]) as wires:
        proxy = Proxy(tmp_path, wires.addresses, MARKED, flavor=cluster.flavor)
        proxy.start()
        try:
            with contextlib.closing(connect(proxy.port)) as connection:
                for answer in (False, True):
                    after, length = 0, 1
                    while after <= length:
                        snip = Snip(marker.COMMIT_PROCEDURE.encode(), after, answer)
                        wires.snip(snip)
                        value = len(told)
                        if kind == "transaction":
                            run(connection, "BEGIN")
                        _, rows, told[value] = run(connection, f"INSERT INTO {table} (c) VALUES ({value})")
                        if kind == "transaction":
                            run(connection, "COMMIT")
                        assert rows == 1
                        assert snip.met
                        cuts += snip.done
                        # What is behind the last byte of an answer is none of ours.
                        length = (after if snip.done else 0) if answer else snip.met
                        after += step
                found, _, _ = run(connection, f"SELECT c, id FROM {table}")
            assert sorted(found) == sorted(told.items())
            metrics = proxy.metrics()
            answers = metrics.by("answer", "multiwriter_marker_lookups_total")
            assert answers["unknown"] == metrics.total(UNMARKED) == 0
            assert answers["committed"] + answers["rolled_back"] == cuts > 60 // step
            assert min(answers["committed"], answers["rolled_back"]) > 0
        finally:
            proxy.kill()


def test_no_commit_is_in_doubt(cluster: Cluster, schema: str, direct: Direct, tmp_path: Path) -> None:
    """`make chaos` does two hundred, and other kinds."""
    Setting(cluster, schema, direct, tmp_path).run("blindly", {"cut": 8, "kill": 1}, seed=3)
