"""The demo says which port was busy, and its settings file tells the other commands where it is."""

import os
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import config
from proxy.demo import place
from proxy.demo.place import Ports
from proxy.demo.processes import StartError, free_ports


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def three_in_a_row() -> int:
    while True:
        (first,) = free_ports(1)
        if all(place.is_free(first + i) for i in range(3)):
            return first


def test_the_settings_are_what_serve_takes(tmp_path: Path) -> None:
    ports = Ports(3306, 9306, (3311, 3312, 3313))
    path = tmp_path / "multiwriter.toml"
    path.write_text(ports.settings())
    settings = config.load(path)
    assert [str(node) for node in settings.cluster.nodes] == ["127.0.0.1:3311", "127.0.0.1:3312", "127.0.0.1:3313"]
    assert [str(endpoint.listen) for endpoint in settings.endpoints] == ["127.0.0.1:3306"]
    assert str(settings.http.listen) == "127.0.0.1:9306"


def test_the_ports_are_read_back_from_the_settings(tmp_path: Path) -> None:
    ports = Ports(4000, 4001, (4002, 4003, 4004))
    place.settings_file(tmp_path).write_text(ports.settings())
    assert place.read_ports(tmp_path) == ports


def test_a_directory_has_one_demo_at_a_time(tmp_path: Path) -> None:
    assert not place.running(tmp_path)
    with place.alone(tmp_path):
        assert place.running(tmp_path)
        with (
            pytest.raises(StartError, match=f"running in {tmp_path} already .process {os.getpid()}"),
            place.alone(tmp_path),
        ):
            pass
    assert not place.running(tmp_path)


def test_trees_that_the_nodes_cannot_get_to_have_a_directory_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "reachable", lambda directory: False)
    directories = []
    for name in ("one", "two"):
        monkeypatch.setattr(place, "tree", lambda name=name: tmp_path / name)
        directories.append(place.default_directory())
    assert directories[0] != directories[1]
    assert all(str(directory).startswith("/var/lib/multiwriter-demo-") for directory in directories)
    monkeypatch.undo()
    monkeypatch.setattr(place, "reachable", lambda directory: True)
    assert place.default_directory() == place.tree() / ".demo"


def test_a_usual_port_that_is_busy_is_named_and_replaced(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "PORT", busy)
    (http,) = free_ports(1)
    monkeypatch.setattr(place, "HTTP_PORT", http)
    first = three_in_a_row()
    ports, notes = place.choose_ports(None, None, first)
    assert ports.port != busy
    assert place.is_free(ports.port)
    assert (ports.http_port, ports.nodes) == (http, (first, first + 1, first + 2))
    assert notes == [f"port {busy} is taken by another program: {ports.port} instead for the endpoint"]


def test_a_port_that_was_asked_for_is_not_replaced(busy: int) -> None:
    with pytest.raises(StartError, match=str(busy)):
        place.choose_ports(busy, None, None)


def test_nodes_are_called_by_their_number() -> None:
    ports = Ports(3306, 9306, (3311, 3312, 3313))
    assert ports.node_name("127.0.0.1:3312") == "node2"
    assert ports.node_name("10.0.0.1:3306") == "10.0.0.1:3306"


def test_the_settings_hold_the_example_of_the_documentation() -> None:
    settings = tomllib.loads(Ports(3306, 9306, (3311, 3312, 3313)).settings())
    assert settings == {
        "cluster": {
            "flavor": "galera",
            "nodes": ["127.0.0.1:3311", "127.0.0.1:3312", "127.0.0.1:3313"],
            "user": "monitor",
            "password": "monitor",
        },
        "endpoint": [{"name": "write", "listen": "127.0.0.1:3306", "commit_marker": True}],
        "user": [{"name": "app", "password": "app"}],
        "http": {"listen": "127.0.0.1:9306"},
    }
