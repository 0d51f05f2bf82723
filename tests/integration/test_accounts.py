"""The cluster's own accounts, with nothing configured: who gets in, as whom, and what a change does."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import MySQLdb
import pymysql
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.integration.conftest import MakeProxy
from tests.proxy.login_client import write_certificate
from tests.support.proxy import Proxy

Sql = Callable[..., None]
SETTINGS: dict[str, Any] = {"user": [], "accounts": {"refresh": "1s"}}


@pytest.fixture
def open_proxy(make_proxy: MakeProxy) -> Proxy:
    """A proxy whose settings name no user."""
    return make_proxy(SETTINGS)


@pytest.fixture
def sql(cluster: Cluster) -> Iterator[Sql]:
    """Runs statements as an administrator at a node; accounts and roles that are none of the cluster's go after the
    test."""

    def names() -> set[tuple[str, str]]:
        return {(row[0], row[1]) for row in cluster[1].query("SELECT user, host FROM mysql.user")}

    def run(*statements: str, node: int = 1) -> None:
        for statement in statements:
            cluster[node].query(statement)

    before = names()
    yield run
    cluster.heal()
    for user, host in names() - before:
        run(f"DROP USER '{user}'@'{host}'" if host else f"DROP ROLE {user}")


def who(proxy: Proxy, user: str, password: str, **options: Any) -> tuple[str, str]:
    """CURRENT_USER() and the name in USER() of a client that has just logged in."""
    with contextlib.closing(proxy.connect(user, password, **options)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), SUBSTRING_INDEX(USER(), '@', 1)")
        row = cursor.fetchone()
        assert row is not None
        return row


def refused(proxy: Proxy, user: str, password: str, **options: Any) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        who(proxy, user, password, **options)
    return int(caught.value.args[0])


def test_an_account_logs_in_with_nothing_configured(open_proxy: Proxy, sql: Sql) -> None:
    sql("CREATE USER ann@'127.%' IDENTIFIED BY 'pässwörd'", "CREATE USER none@'%'")
    assert who(open_proxy, "ann", "pässwörd".encode().decode("latin-1")) == ("ann@127.%", "ann")
    assert who(open_proxy, "none", "") == ("none@%", "none")
    assert refused(open_proxy, "ann", "wrong") == 1045
    assert refused(open_proxy, "ann", "") == 1045
    assert refused(open_proxy, "none", "x") == 1045
    assert refused(open_proxy, "nobody", "x") == 1045


def test_every_driver_logs_in(open_proxy: Proxy, sql: Sql) -> None:
    sql("CREATE USER ann@'%' IDENTIFIED BY 'hers'")
    assert who(open_proxy, "ann", "hers") == ("ann@%", "ann")
    with contextlib.closing(MySQLdb.connect(host="127.0.0.1", port=open_proxy.port, user="ann", password="hers")) as c:
        c.query("SELECT CURRENT_USER()")
        assert c.store_result().fetch_row() == (("ann@%",),)
    command = ["mysql", "--no-defaults", "--skip-ssl", "-h127.0.0.1", f"-P{open_proxy.port}", "-uann", "-phers", "-NB"]
    done = subprocess.run([*command, "-eSELECT CURRENT_USER()"], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "ann@%\n"


def test_passwords_are_shown_under_tls_where_it_is_wanted(make_proxy: MakeProxy, sql: Sql, tmp_path: Path) -> None:
    """At MySQL the first login shows the password itself, the later ones do not."""
    certificate, key = map(str, write_certificate(tmp_path))
    endpoint = {"tls_certificate": certificate, "tls_key": key, "tls_required": True}
    proxy = make_proxy({**SETTINGS, "endpoint": [endpoint]})
    sql("CREATE USER ann@'%' IDENTIFIED BY 'hers'")
    for _ in range(2):
        assert who(proxy, "ann", "hers", ssl={"ca": certificate}) == ("ann@%", "ann")
        assert refused(proxy, "ann", "his", ssl={"ca": certificate}) == 1045
    assert refused(proxy, "ann", "hers", ssl_disabled=True) == 3159


def test_a_new_account_and_a_new_password_work_at_once(open_proxy: Proxy, sql: Sql) -> None:
    """No waiting for the next reading: a login that fails has the accounts read again first."""
    sql("CREATE USER ann@'%' IDENTIFIED BY 'first'")
    assert who(open_proxy, "ann", "first") == ("ann@%", "ann")
    sql("ALTER USER ann@'%' IDENTIFIED BY 'second'")
    assert who(open_proxy, "ann", "second") == ("ann@%", "ann")
    assert refused(open_proxy, "ann", "first") == 1045


def test_an_old_password_and_a_dropped_account_are_out_within_seconds(open_proxy: Proxy, sql: Sql) -> None:
    sql("CREATE USER ann@'%' IDENTIFIED BY 'first'", "CREATE USER bob@'%' IDENTIFIED BY 'his'")
    assert who(open_proxy, "ann", "first") == ("ann@%", "ann")
    assert who(open_proxy, "bob", "his") == ("bob@%", "bob")
    sql("ALTER USER ann@'%' IDENTIFIED BY 'second'", "DROP USER bob@'%'")

    def out(user: str, password: str) -> bool:
        try:
            return not who(open_proxy, user, password)
        except pymysql.err.MySQLError as error:
            return error.args[0] in (1045, 1698)

    wait_until(lambda: out("ann", "first") and out("bob", "his"), 8, lambda: "the old ones still get in")


def test_open_sessions_outlive_a_change_of_their_password(open_proxy: Proxy, sql: Sql, cluster: Cluster) -> None:
    sql("CREATE USER ann@'%' IDENTIFIED BY 'first'")
    with contextlib.closing(open_proxy.connect("ann", "first")) as session, session.cursor() as cursor:
        cursor.execute("SELECT 1")
        sql("ALTER USER ann@'%' IDENTIFIED BY 'second'")
        assert who(open_proxy, "ann", "second") == ("ann@%", "ann")
        for (number,) in cluster[1].query("SELECT id FROM information_schema.processlist WHERE user = 'ann'"):
            sql(f"KILL {number}")  # whatever the session runs on next is a new connection
        cursor.execute("SELECT CURRENT_USER()")
        assert cursor.fetchone() == ("ann@%",)


def test_a_revoked_right_is_gone_for_whoever_logs_in_next(open_proxy: Proxy, sql: Sql, schema: str) -> None:
    """A server looks such rights up once, when a connection logs in or chooses its schema."""
    sql(f"CREATE TABLE {schema}.t (a INT)", "CREATE USER ann@'%' IDENTIFIED BY 'hers'")
    sql(f"GRANT SELECT ON {schema}.* TO ann@'%'", "GRANT PROCESS ON *.* TO ann@'%'")

    def may(privilege: str) -> bool:
        with contextlib.closing(open_proxy.connect("ann", "hers")) as c, c.cursor() as cursor:
            with contextlib.suppress(pymysql.err.OperationalError):
                cursor.execute(privilege)
                return True
            return False

    select, engine = f"SELECT * FROM {schema}.t", "SHOW ENGINE INNODB STATUS"
    assert may(select)
    assert may(engine)
    sql(f"REVOKE SELECT ON {schema}.* FROM ann@'%'", "REVOKE PROCESS ON *.* FROM ann@'%'")
    wait_until(lambda: not may(select) and not may(engine), 8, lambda: "the rights are still there")


def test_an_account_is_chosen_by_the_clients_host_and_must_be_the_nodes_choice_too(open_proxy: Proxy, sql: Sql) -> None:
    """Client, proxy and nodes are on one machine here, and see each other as 127.0.0.1."""
    sql(
        "CREATE USER ann@'%' IDENTIFIED BY 'wide'",
        "CREATE USER ann@'127.0.0.0/255.0.0.0' IDENTIFIED BY 'loopback'",
        "CREATE USER far@'10.1.2.3' IDENTIFIED BY 'x'",
        "CREATE USER named@'localhost' IDENTIFIED BY 'x'",
    )
    assert who(open_proxy, "ann", "loopback") == ("ann@127.0.0.0/255.0.0.0", "ann")
    assert refused(open_proxy, "ann", "wide") == 1045
    assert refused(open_proxy, "far", "x") == 1045
    assert refused(open_proxy, "named", "x") == 1045  # the nodes resolve no names


def test_a_client_never_becomes_another_account_than_its_own(make_proxy: MakeProxy, sql: Sql, tmp_path: Any) -> None:
    """On the proxy's Unix socket a client is at localhost; the nodes see 127.0.0.1 and would take it for the other."""
    path = str(tmp_path / "s")
    proxy = make_proxy({**SETTINGS, "endpoint": [{"name": "write", "socket": path}]})
    sql("CREATE USER ann@'localhost' IDENTIFIED BY 'same'", "CREATE USER ann@'%' IDENTIFIED BY 'same'")
    assert who(proxy, "ann", "same") == ("ann@%", "ann")
    assert refused(proxy, "ann", "same", unix_socket=path) == 1698


def test_an_anonymous_account_takes_any_name(open_proxy: Proxy, sql: Sql) -> None:
    sql("CREATE USER ''@'127.0.0.1' IDENTIFIED BY 'open'", "CREATE USER ann@'%' IDENTIFIED BY 'hers'")
    assert who(open_proxy, "whoever", "open") == ("@127.0.0.1", "whoever")
    assert who(open_proxy, "another", "open") == ("@127.0.0.1", "another")
    # The more specific host comes first, as every administrator has learnt once.
    assert refused(open_proxy, "ann", "hers") == 1045
    assert who(open_proxy, "ann", "open") == ("@127.0.0.1", "ann")


def test_locked_and_expired_accounts_are_told_why(open_proxy: Proxy, sql: Sql, cluster: Cluster) -> None:
    sql(
        "CREATE USER shut@'%' IDENTIFIED BY 'x' ACCOUNT LOCK",
        "CREATE USER old@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE",
        "CREATE USER fresh@'%' IDENTIFIED BY 'x' PASSWORD EXPIRE INTERVAL 1 DAY",
        "CREATE USER secure@'%' IDENTIFIED BY 'x' REQUIRE SSL",
    )
    assert refused(open_proxy, "shut", "x") == (4151 if cluster.flavor == "galera" else 3118)
    assert refused(open_proxy, "old", "x") == 1862
    assert who(open_proxy, "fresh", "x") == ("fresh@%", "fresh")
    assert refused(open_proxy, "secure", "x") == 1045
    # The wrong password says nothing of the account.
    assert refused(open_proxy, "shut", "y") == refused(open_proxy, "old", "y") == 1045
    assert open_proxy.metrics().total("multiwriter_logins_total", result="account_locked") == 1


@pytest.mark.only("galera")
def test_plugins_of_mariadb_that_log_nobody_in_here(open_proxy: Proxy, sql: Sql) -> None:
    sql(
        "CREATE USER here@'%' IDENTIFIED VIA unix_socket",
        "CREATE USER either@'%' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('x')",
        "CREATE USER never@'%' IDENTIFIED VIA mysql_native_password USING 'invalid'",
    )
    assert refused(open_proxy, "here", "x") == 1045
    assert who(open_proxy, "either", "x") == ("either@%", "either")
    assert refused(open_proxy, "never", "x") == refused(open_proxy, "never", "") == 1045


def test_the_default_role_is_on_and_comes_back_with_a_reset(
    open_proxy: Proxy, sql: Sql, schema: str, cluster: Cluster
) -> None:
    mariadb = cluster.flavor == "galera"
    sql(
        "CREATE ROLE clerk",
        f"CREATE TABLE {schema}.t (a INT)",
        f"GRANT SELECT ON {schema}.* TO clerk",
        "CREATE USER ann@'%' IDENTIFIED BY 'hers'",
        "GRANT clerk TO ann@'%'",
        f"SET DEFAULT ROLE clerk {'FOR' if mariadb else 'TO'} ann@'%'",
    )
    for _ in range(3):  # the later ones get the connections of the first
        with contextlib.closing(open_proxy.connect("ann", "hers")) as session, session.cursor() as cursor:
            cursor.execute(f"SELECT CURRENT_ROLE(), COUNT(*) FROM {schema}.t")
            assert cursor.fetchone() == ("clerk" if mariadb else "`clerk`@`%`", 0)
            cursor.execute("SET ROLE NONE")
            with pytest.raises(pymysql.err.MySQLError, match="1142"):
                cursor.execute(f"SELECT COUNT(*) FROM {schema}.t")
    with pytest.raises(pymysql.err.MySQLError):
        who(open_proxy, "clerk", "")


def test_a_user_of_the_settings_comes_first(make_proxy: MakeProxy, sql: Sql) -> None:
    sql(
        "CREATE USER ed@'%' IDENTIFIED BY 'another'",
        "CREATE USER ann@'%' IDENTIFIED BY 'hers'",
    )
    proxy = make_proxy({"user": [{"name": "ed", "password": "eds", "backend_name": "ann", "backend_password": "hers"}]})
    assert who(proxy, "ed", "eds") == ("ann@%", "ann")
    assert who(proxy, "ann", "hers") == ("ann@%", "ann")


def test_accounts_can_be_left_to_the_settings_alone(make_proxy: MakeProxy, sql: Sql) -> None:
    sql("CREATE USER ann@'%' IDENTIFIED BY 'hers'")
    proxy = make_proxy({"accounts": {"cluster": False}})
    assert who(proxy, "app", "app") == ("app@%", "app")
    assert refused(proxy, "ann", "hers") == 1045


def test_without_the_right_to_read_them_users_of_the_settings_still_work(make_proxy: MakeProxy, sql: Sql) -> None:
    sql("CREATE USER watcher@'%' IDENTIFIED BY 'w'", "CREATE USER ann@'%' IDENTIFIED BY 'hers'")
    sql("GRANT SELECT ON performance_schema.* TO watcher@'%'")  # MySQL tells of the group there
    proxy = make_proxy({"cluster": {"user": "watcher", "password": "w"}})
    assert who(proxy, "app", "app") == ("app@%", "app")
    assert refused(proxy, "ann", "hers") == 1040
    assert "accounts.unreadable" in proxy.log_text()
    sql("GRANT SELECT ON mysql.* TO watcher@'%'")
    wait_until(lambda: "accounts.readable" in proxy.log_text(), 10, proxy.log_text)
    assert who(proxy, "ann", "hers") == ("ann@%", "ann")


def test_accounts_stay_known_while_nodes_come_and_go(open_proxy: Proxy, sql: Sql, cluster: Cluster) -> None:
    sql("CREATE USER ann@'%' IDENTIFIED BY 'first'")
    assert who(open_proxy, "ann", "first") == ("ann@%", "ann")
    cluster[1].kill()
    assert who(open_proxy, "ann", "first") == ("ann@%", "ann")
    cluster[2].wait_synced(size=2)
    sql("ALTER USER ann@'%' IDENTIFIED BY 'second'", node=2)
    assert who(open_proxy, "ann", "second") == ("ann@%", "ann")


def test_change_user_goes_to_another_account(open_proxy: Proxy, sql: Sql) -> None:
    sql("CREATE USER ann@'%' IDENTIFIED BY 'hers'", "CREATE USER bob@'%' IDENTIFIED BY 'his'")
    with contextlib.closing(MySQLdb.connect(host="127.0.0.1", port=open_proxy.port, user="ann", password="hers")) as c:
        c.change_user("bob", "his")
        c.query("SELECT CURRENT_USER()")
        assert c.store_result().fetch_row() == (("bob@%",),)
        with pytest.raises(MySQLdb.OperationalError) as caught:
            c.change_user("ann", "his")
        assert caught.value.args[0] == 1045


def test_who_keeps_failing_is_slowed_down_and_forgiven_by_a_success(make_proxy: MakeProxy, sql: Sql) -> None:
    proxy = make_proxy({**SETTINGS, "limits": {"login_backoff": "300ms", "login_backoff_max": "600ms"}})
    sql("CREATE USER ann@'%' IDENTIFIED BY 'hers'")
    began = monotonic()
    for _ in range(3):
        assert refused(proxy, "ann", "wrong") == 1045
    assert who(proxy, "ann", "hers") == ("ann@%", "ann")
    assert monotonic() - began > 0.3 + 0.6 + 0.6
    began = monotonic()
    for _ in range(5):
        assert who(proxy, "ann", "hers") == ("ann@%", "ann")
    assert monotonic() - began < 5 * 0.6
    assert proxy.metrics().total("multiwriter_logins_total", result="denied") == 3
