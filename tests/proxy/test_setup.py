"""What `multiwriter setup` would run, for which accounts, and how it says what stands in the way."""

import pytest

from config import Config, loads
from proxy import cli, setup
from proxy.setup import SetupFailed, as_script, needed
from router import marker

ACCOUNTS = [
    ("app", "%"),
    ("app", "10.0.0.%"),
    ("it's", "%"),
    ("mariadb.sys", "localhost"),
    ("monitor", "%"),
    ("multiwriter_marker", "localhost"),
    ("other", "%"),
]


def settings(endpoint: str, user: str = "", *, cluster: bool = False) -> Config:
    return loads(
        f"""
[cluster]
nodes = ["127.0.0.1:1"]
user = "monitor"
password = "m"
[accounts]
cluster = {str(cluster).lower()}
[[endpoint]]
name = "write"
listen = "127.0.0.1:3306"
{endpoint}
[[user]]
name = "app"
password = "a"
{user}
[[user]]
name = "second"
password = "b"
backend_name = "other"
"""
    )


ON = "commit_marker = true"
OFF = "commit_marker = false"


def granted(config: Config) -> set[str]:
    """The accounts that may mark commits."""
    found = needed(config, ACCOUNTS)
    assert found[: len(marker.STRUCTURE)] == list(marker.STRUCTURE)
    call = f"GRANT EXECUTE ON PROCEDURE {marker.COMMIT_PROCEDURE} TO "
    return {statement.removeprefix(call) for statement in found if statement.startswith(call)}


def test_on_at_an_endpoint_it_is_for_all_users_but_those_who_say_no() -> None:
    assert granted(settings(ON)) == {"'app'@'%'", "'app'@'10.0.0.%'", "'other'@'%'"}
    assert granted(settings(ON, OFF)) == {"'other'@'%'"}


def test_on_for_one_user_it_is_for_that_one() -> None:
    assert granted(settings(OFF, ON)) == {"'app'@'%'", "'app'@'10.0.0.%'"}


def test_the_clusters_accounts_get_it_too_but_neither_the_servers_own_nor_ours() -> None:
    assert granted(settings(ON, cluster=True)) == {"'app'@'%'", "'app'@'10.0.0.%'", "'other'@'%'", "'it''s'@'%'"}


def test_who_watches_the_nodes_may_ask() -> None:
    assert set(marker.grants_to_service("'monitor'@'%'")) <= set(needed(settings(ON), ACCOUNTS))


def test_an_account_that_is_not_there() -> None:
    with pytest.raises(SetupFailed, match="no account other"):
        needed(settings(ON), [account for account in ACCOUNTS if account[0] != "other"])


def test_the_script_can_be_pasted() -> None:
    script = as_script(needed(settings(ON), ACCOUNTS))
    assert script.count("DELIMITER //") == script.count("DELIMITER ;") == 2
    assert "END //" in script


def test_nothing_to_set_up() -> None:
    with pytest.raises(SetupFailed, match="commit_marker is on for no endpoint"):
        setup.run(settings(OFF), "root", "", execute=True, say=print)


def test_no_node_to_do_it_on() -> None:
    with pytest.raises(SetupFailed, match=r"no node lets root in: 127\.0\.0\.1:1: 2003"):
        setup.run(settings(ON), "root", "", execute=True, say=print)


def test_check_warns_where_the_marker_cannot_be_asked(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "multiwriter.toml"
    file.write_text(
        '[cluster]\nnodes = ["127.0.0.1:1"]\nuser = "monitor"\npassword = "m"\n'
        f'[[endpoint]]\nname = "write"\nlisten = "127.0.0.1:3306"\n{ON}\n'
    )
    assert cli.main(["check", "--config", str(file)]) == 0
    captured = capsys.readouterr()
    assert "ok" in captured.out
    assert "warning: commit_marker is on" in captured.err
    assert cli.main(["setup", "--config", str(file), "--yes"]) == 1
    assert "no node lets monitor in" in capsys.readouterr().err
