"""What each feature costs alone: sysbench's read-write through proxies that differ in one setting."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from proxy.cli import main
from proxy.demo.processes import StartError
from tests.bench import sysbench
from tests.bench.endpoints import Endpoint, Multiwriter
from tests.bench.setting import SCHEMA, Setting
from tests.proxy.login_client import write_certificate
from tests.support.proxy import Settings

CLIENTS = 8

# By name: settings, and what sysbench is told besides. The first one is as most run it.
FEATURES: Mapping[str, tuple[Settings, tuple[str, ...]]] = {
    "as it is": ({}, ()),
    "no journal": ({"replay": {"enabled": False}}, ()),
    "commit marker": ({"endpoint": [{"commit_marker": True}]}, ()),
    "no catalogue": ({"catalog": {"enabled": False}}, ()),
    "no accounts": ({"accounts": {"cluster": False}}, ()),
    "poll less": ({"monitor": {"interval": 5, "timeout": 4}}, ()),
    "TLS": ({}, ("--mysql-ssl=on",)),
    "compression": ({}, ("--mysql-compression=on",)),
}


def features(setting: Setting) -> None:
    """CPU by query and throughput with one thing changed at a time."""
    nodes = [node.address for node in setting.cluster]
    # Under the names that sysbench expects; the one certificate is good for both sides.
    certificate, key = write_certificate(setting.directory)
    for name, source in (("cacert.pem", certificate), ("client-cert.pem", certificate), ("client-key.pem", key)):
        shutil.copy(source, setting.directory / name)
    served = {"tls_certificate": str(certificate), "tls_key": str(key)}
    subjects: dict[str, Callable[[], Mapping[str, float]]] = {}
    for name, (settings, options) in FEATURES.items():
        directory: Path = setting.directory / f"feature-{name.replace(' ', '-')}"
        endpoint = Multiwriter(directory, nodes, dict(settings) | {"endpoint": [served | _endpoint(settings)]}, name)
        if _endpoint(settings).get("commit_marker"):
            _set_up_marker(endpoint)
        setting.run(endpoint)
        subjects[name] = _measure(setting, endpoint, options)
    setting.alternate("features", subjects, {"clients": CLIENTS})


def _measure(setting: Setting, endpoint: Endpoint, options: tuple[str, ...]) -> Callable[[], Mapping[str, float]]:
    return lambda: sysbench.measure(
        endpoint,
        SCHEMA,
        "oltp_read_write",
        seconds=setting.options.seconds,
        clients=CLIENTS,
        prepared=False,
        database=setting.database,
        rows=setting.options.rows,
        options=("--rand-type=uniform", *options),
        directory=setting.directory,
    )


def _endpoint(settings: Settings) -> dict[str, Any]:
    """What these settings say of the one endpoint."""
    return dict(settings["endpoint"][0]) if "endpoint" in settings else {}


def _set_up_marker(endpoint: Multiwriter) -> None:
    """Make on the nodes what markers need, as an operator would."""
    password = endpoint.proxy.directory / "password"
    password.write_text("app")
    arguments = ["setup", "--config", str(endpoint.proxy.settings), "--yes"]
    if main([*arguments, "--user", "app", "--password-file", str(password)]):
        raise StartError("the commit marker could not be set up")
