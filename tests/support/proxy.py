"""The proxy under test: `multiwriter serve` as its users run it, with a settings file on free ports."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pymysql

from proxy.demo.instance import Instance
from proxy.demo.processes import free_ports

Settings = Mapping[str, Any]
"""Settings by section, e.g. `{"replay": {"enabled": False}}`; a list of dictionaries makes `[[section]]`s."""


class Proxy(Instance):
    """One proxy in front of `nodes` ("host:port"). `settings` are laid over the usual ones, section by section.

    The usual ones: user app/app, monitor/monitor, one endpoint named "write" on a free TCP port, HTTP on another.
    """

    def __init__(
        self, directory: Path, nodes: Sequence[str], settings: Settings | None = None, *, flavor: str = "galera"
    ) -> None:
        self.port, http_port = free_ports(2)
        self.http_port = http_port
        self.directory = directory
        given: dict[str, Any] = {
            "cluster": {"flavor": flavor, "nodes": list(nodes), "user": "monitor", "password": "monitor"},
            "endpoint": [{"name": "write", "listen": f"127.0.0.1:{self.port}"}],
            "user": [{"name": "app", "password": "app"}],
            "http": {"listen": f"127.0.0.1:{http_port}"},
        }
        for section, values in (settings or {}).items():
            if isinstance(values, Mapping):
                given[section] = given.get(section, {}) | values
            else:
                # The first endpoint keeps our port unless it says otherwise.
                given[section] = [
                    (given[section][0] if section == "endpoint" and i == 0 else {}) | value
                    for i, value in enumerate(values)
                ]
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "multiwriter.toml"
        path.write_text(toml(given))
        super().__init__(directory, path, f"127.0.0.1:{http_port}")

    def connect(self, user: str = "app", password: str = "app", **options: Any) -> "pymysql.Connection[Any]":
        """A new client connection through the proxy, with autocommit unless told otherwise."""
        settings: dict[str, Any] = {"autocommit": True, "connect_timeout": 10, "charset": "utf8mb4"} | options
        return pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password, **settings)


def toml(settings: Settings) -> str:
    """A settings file's text: strings, numbers, booleans and lists are written in TOML as in JSON."""
    lines: list[str] = []
    for section, values in settings.items():
        tables = [values] if isinstance(values, Mapping) else values
        for table in tables:
            lines.append(f"[{section}]" if isinstance(values, Mapping) else f"[[{section}]]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in table.items()]
            lines.append("")
    return "\n".join(lines)
