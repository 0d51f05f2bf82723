"""The numbers against each other and against a client library's own."""

import pytest
from pymysql.constants import CLIENT, COMMAND, SERVER_STATUS

from proxy.wire import constants


@pytest.mark.parametrize("name", [name for name in vars(COMMAND) if name.startswith("COM_") and name != "COM_END"])
def test_commands(name: str) -> None:
    assert getattr(constants, name) == getattr(COMMAND, name)


@pytest.mark.parametrize("name", [name for name in vars(CLIENT) if name.isupper() and name != "CAPABILITIES"])
def test_capabilities(name: str) -> None:
    ours = {"HANDLE_EXPIRED_PASSWORDS": "CAN_HANDLE_EXPIRED_PASSWORDS"}.get(name, name)
    assert getattr(constants, f"CLIENT_{ours}") == getattr(CLIENT, name)


@pytest.mark.parametrize("name", [name for name in vars(SERVER_STATUS) if name.startswith("SERVER_")])
def test_status_flags(name: str) -> None:
    assert getattr(constants, name) == getattr(SERVER_STATUS, name)


def test_every_command_has_its_name() -> None:
    numbers = {name: value for name, value in vars(constants).items() if name.startswith("COM_")}
    assert {name: value for value, name in constants.COMMAND_NAMES.items()} == numbers


@pytest.mark.parametrize("prefix", ["CLIENT_", "MARIADB_CLIENT_", "SERVER_", "SESSION_TRACK_", "COM_"])
def test_no_number_is_used_twice(prefix: str) -> None:
    values = [value for name, value in vars(constants).items() if name.startswith(prefix) and name != "CLIENT_MYSQL"]
    assert len(values) == len(set(values))
    if "CLIENT" in prefix or prefix == "SERVER_":
        assert all(value.bit_count() == 1 for value in values)
