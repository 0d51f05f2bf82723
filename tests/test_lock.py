"""The lock files pin what pyproject.toml asks for, every file by its hash, and name no server to get it from."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
COMPAT = "tests/compat/requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
DEVELOPMENT = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
FUZZING = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["fuzz"]]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock")


def pins(name: str) -> dict[str, str]:
    """Version by package, as one lock file has them."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def requirements() -> Iterator[tuple[str, str]]:
    yield from (("requirements.lock", requirement) for requirement in RUNTIME)
    yield from (("requirements-dev.lock", requirement) for requirement in DEVELOPMENT)
    yield from (("requirements-fuzz.lock", requirement) for requirement in FUZZING)


@pytest.mark.parametrize(("lock", "requirement"), list(requirements()))
def test_what_the_project_asks_for_is_pinned_within_its_bounds(lock: str, requirement: str) -> None:
    wanted = Requirement(requirement)
    pinned = pins(lock).get(canonicalize_name(wanted.name))
    assert pinned is not None, f"{lock} lacks {requirement}: run `make lock`"
    assert wanted.specifier.contains(pinned), f"{lock} has {wanted.name} {pinned}, not {requirement}: run `make lock`"


@pytest.mark.parametrize("lock", [*LOCKS[1:], COMPAT])
def test_locks_agree(lock: str) -> None:
    runtime, other = pins("requirements.lock"), pins(lock)
    assert not {name for name in runtime.keys() & other.keys() if runtime[name] != other[name]}


def test_every_client_is_pinned() -> None:
    lines = (ROOT / COMPAT).with_suffix(".in").read_text().splitlines()
    wanted = {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    assert wanted <= pins(COMPAT).keys()


def test_the_lock_of_the_clients_for_node_has_hashes_and_names_no_server() -> None:
    lock = json.loads((ROOT / "tests/compat/programs/node/package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert {"node_modules/mysql", "node_modules/mysql2"} <= packages.keys()
    assert [name for name, package in packages.items() if "integrity" not in package or "resolved" in package] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_what_was_asked_for_once_and_no_longer_is_gone(lock: str) -> None:
    # pip-compile notes by whom each pin is wanted; a direct wish is noted as the project's.
    text = (ROOT / lock).read_text()
    direct = {
        canonicalize_name(name)
        for name, notes in re.findall(r"^([a-z0-9.-]+)==[^#]*# via ([^\n]*)", text, re.MULTILINE)
        if "multiwriter (pyproject.toml)" in notes
    }
    asked = {canonicalize_name(Requirement(text).name) for text in RUNTIME + DEVELOPMENT + FUZZING}
    assert direct <= asked, f"{lock} pins {direct - asked}: run `make lock`"
    assert direct


@pytest.mark.parametrize("lock", [*LOCKS, COMPAT])
def test_every_pin_has_hashes_and_no_server_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = re.findall(r"^[a-z0-9].*(?:\n .*)*", text, re.MULTILINE)
    assert len(blocks) == len(pins(lock))
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
