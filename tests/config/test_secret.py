"""Passwords: three ways to give one, none to see it by accident."""

from pathlib import Path
from typing import Any

import pytest

from config.secret import Secret, gather
from config.units import SettingError


def read(table: dict[str, Any], tmp_path: Path, *, required: bool = True, **environ: str) -> Secret | None:
    return gather(table, "password", required=required, environ=environ, locate=lambda name: tmp_path / name)


def test_nothing_shows_a_secret_but_reveal() -> None:
    secret = Secret("hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % secret, repr([secret])):  # noqa: UP031
        assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != "a"


def test_text(tmp_path: Path) -> None:
    assert read({"password": " ä' "}, tmp_path) == Secret(" ä' ")


def test_an_empty_password_is_a_password(tmp_path: Path) -> None:
    assert read({"password": ""}, tmp_path) == Secret("")


@pytest.mark.parametrize(
    ("content", "password"),
    [(b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b" a \n\n", " a \n")],
)
def test_file_without_the_line_end_that_editors_add(tmp_path: Path, content: bytes, password: str) -> None:
    (tmp_path / "p").write_bytes(content)
    assert read({"password_file": "p"}, tmp_path) == Secret(password)


def test_environment(tmp_path: Path) -> None:
    assert read({"password_env": "P"}, tmp_path, P="s3cret") == Secret("s3cret")


def test_one_that_may_be_absent(tmp_path: Path) -> None:
    assert read({}, tmp_path, required=False) is None


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ({}, "password", "is missing"),
        ({"password": "s3cret", "password_env": "P"}, "password_env", "beside password"),
        ({"password_file": "p", "password_env": "P"}, "password_env", "beside password_file"),
        ({"password": 53}, "password", "not a number"),
        ({"password": "s3cret\0"}, "password", "NUL"),
        ({"password_file": ["p"]}, "password_file", "not an array"),
        ({"password_file": "absent"}, "password_file", "No such file"),
        ({"password_file": "."}, "password_file", "Is a directory"),
        ({"password_file": "a\0b"}, "password_file", "no valid file name"),
        ({"password_file": "empty"}, "password_file", "is empty"),
        ({"password_file": "long"}, "password_file", "more than 4096 bytes"),
        ({"password_file": "latin1"}, "password_file", "not UTF-8"),
        ({"password_env": "ABSENT"}, "password_env", '"ABSENT" is not set'),
        ({"password_env": "EMPTY"}, "password_env", '"EMPTY" is empty'),
    ],
)
def test_refusals_name_the_key_and_never_the_secret(
    tmp_path: Path, table: dict[str, Any], key: str, message: str
) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "long").write_bytes(b"x" * 5000)
    (tmp_path / "latin1").write_bytes(b"\xe4s3cret")
    with pytest.raises(SettingError) as refusal:
        read(table, tmp_path, EMPTY="")
    assert refusal.value.key == key
    assert message in refusal.value.message
    assert "s3cret" not in refusal.value.message + refusal.value.hint
    assert "53" not in refusal.value.message
