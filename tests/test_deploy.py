"""Every path, port, option, setting and metric that the files in deploy/ name is one that the code has.

They are what a first user deploys with, and no container engine runs them here: what can be said without one is held
against the code, the command line, promtool, mariadbd and systemd.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import config
from config import Config
from config.units import parse_duration
from proxy import cli
from proxy.demo.processes import wait_until
from proxy.metrics import documentation
from router.galera import NON_BLOCKING_SST
from router.membership import NodeState
from tests.support.proxy import Proxy

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# What needs descriptors beside clients and backends: the monitor's connections, HTTP, listeners, libraries.
SPARE_DESCRIPTORS = 1000


# -- reading the files ------------------------------------------------------------------------------------------------


def read_yaml(text: str) -> Any:
    """YAML as far as the files in deploy/ use it: blocks by indentation, plain and quoted scalars, flow lists.

    Anything else is a ValueError rather than a guess.
    """
    lines: list[tuple[int, str]] = []
    for line in text.splitlines():
        stripped = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if stripped:
            lines.append((len(stripped) - len(stripped.lstrip()), stripped.lstrip()))
    value, rest = _block(lines, 0)
    if rest != len(lines):
        raise ValueError(f"cannot read {lines[rest]}")
    return value


def _block(lines: list[tuple[int, str]], at: int) -> tuple[Any, int]:
    indent = lines[at][0]
    items: list[Any] = []
    table: dict[str, Any] = {}
    while at < len(lines) and lines[at][0] == indent:
        text = lines[at][1]
        if text.startswith("- "):
            body = text[2:]
            if re.match(r"\w+: ", body):
                lines[at] = (indent + 2, body)
                value, at = _block(lines, at)
            else:
                value, at = _scalar(body), at + 1
            items.append(value)
            continue
        key, colon, body = text.partition(":")
        if not colon or (body and not body.startswith(" ")) or key in table:
            raise ValueError(f"cannot read {text}")
        if body.strip():
            table[key], at = _scalar(body.strip()), at + 1
        elif at + 1 < len(lines) and lines[at + 1][0] > indent:
            table[key], at = _block(lines, at + 1)
        else:
            table[key], at = None, at + 1
    if items and table:
        raise ValueError("a list and a mapping in one block")
    return items or table, at


def _scalar(text: str) -> Any:
    if text.startswith("["):
        inner = text.removeprefix("[").removesuffix("]")
        return [_scalar(part.strip()) for part in re.findall(r'"[^"]*"|[^,\s][^,]*', inner)]
    if text.startswith('"'):
        return json.loads(text)
    if text[0] in "{&*!|>'%@`":
        raise ValueError(f"cannot read {text}")
    return text


def compose() -> dict[str, Any]:
    found: dict[str, Any] = read_yaml((DEPLOY / "compose.yaml").read_text())
    return found


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def with_defaults(environment: dict[str, str]) -> dict[str, str]:
    """What the variables are where the user sets none."""
    return {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in environment.items()}


def settings() -> Config:
    return config.load(DEPLOY / "multiwriter.toml", environ=with_defaults(service("proxy")["environment"]))


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in lines]


def instruction(name: str) -> str:
    (found,) = [rest for word, rest in instructions() if word == name]
    return found


def unit() -> dict[str, list[str]]:
    """The unit's settings by "Section.Name"."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (DEPLOY / "multiwriter.service").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(f"{section}.{name}", []).append(value)
    return found


def cnf() -> dict[str, str]:
    lines = (DEPLOY / "galera" / "galera.cnf").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def nodes() -> dict[str, dict[str, Any]]:
    return {name: found for name, found in compose()["services"].items() if name.startswith("galera-")}


def seconds(text: str) -> float:
    return parse_duration(text)


def mounts(name: str) -> dict[str, str]:
    """Target in the container by source here, of what is bound from the source tree."""
    pairs = [volume.split(":") for volume in service(name)["volumes"]]
    return {source: target for source, target, *_ in pairs if source.startswith((".", "/"))}


def test_the_reader_of_yaml_reads_what_it_should_and_refuses_the_rest() -> None:
    text = 'a:\n  - b: "x: y" # why\n    c: [one, "two, three"]\n  - d: e\nf:\n  - "${G:-h}"\ni:\n'
    assert read_yaml(text) == {
        "a": [{"b": "x: y", "c": ["one", "two, three"]}, {"d": "e"}],
        "f": ["${G:-h}"],
        "i": None,
    }
    for unreadable in ("a: {b: c}", "a: |\n  b", "a\n", "a: 1\na: 2", "a:\n    b: c\n  d: e"):
        with pytest.raises(ValueError):
            read_yaml(unreadable)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_the_settings_load_with_the_environment_that_compose_gives() -> None:
    found = settings()
    assert [str(node) for node in found.cluster.nodes] == [f"{name}:3306" for name in nodes()]
    assert found.http.listen is not None


def test_the_settings_name_no_password() -> None:
    assert not re.search(r"^password\s*=", (DEPLOY / "multiwriter.toml").read_text(), re.MULTILINE)


# -- compose ----------------------------------------------------------------------------------------------------------


def test_the_nodes_are_three_and_know_each_other() -> None:
    assert len(nodes()) == 3
    assert cnf()["wsrep_cluster_address"] == "gcomm://" + ",".join(nodes())
    assert [node["hostname"] for node in nodes().values()] == list(nodes())


def test_one_node_begins_the_cluster_and_is_stopped_last() -> None:
    beginners = [name for name, node in nodes().items() if node["entrypoint"][2:] == ["first"]]
    assert len(beginners) == 1
    others = {name: node for name, node in nodes().items() if name not in beginners}
    assert all(node["depends_on"] == beginners for node in others.values())
    assert all(node["entrypoint"] == ["sh", "/galera/start"] for node in others.values())


def test_the_accounts_that_the_proxy_uses_are_made_on_the_nodes() -> None:
    found = settings()
    first = with_defaults(service("galera-1")["environment"])
    (app,) = found.users
    assert (app.name, app.password.reveal()) == (first["MARIADB_USER"], first["MARIADB_PASSWORD"])
    script = (DEPLOY / "galera" / "accounts.sh").read_text()
    assert f"CREATE USER {found.cluster.user}@'%'" in script
    assert "$MONITOR_PASSWORD" in script
    for node in nodes().values():
        assert with_defaults(node["environment"])["MONITOR_PASSWORD"] == found.cluster.password.reveal()
    start = (DEPLOY / "galera" / "start").read_text()
    assert f"--user={found.cluster.user}" in start


def test_what_the_proxy_publishes_is_what_it_listens_on_and_only_on_loopback() -> None:
    found = settings()
    assert found.http.listen is not None
    listening = {found.http.listen.port, *(endpoint.listen.port for endpoint in found.endpoints if endpoint.listen)}
    published = [port.split(":") for port in service("proxy")["ports"]]
    assert {int(inside) for _, _, inside in published} == listening
    assert {host for host, _, _ in published} == {"127.0.0.1"}
    assert {int(port) for port in instruction("EXPOSE").split()} == listening
    assert all(listen.every for listen in (found.http.listen, *(e.listen for e in found.endpoints if e.listen)))


def test_every_file_that_compose_names_is_there() -> None:
    assert (DEPLOY / service("proxy")["build"]["context"]).resolve() == ROOT
    assert (ROOT / service("proxy")["build"]["dockerfile"]).is_file()
    bound = [source for name in compose()["services"] for source in mounts(name)]
    assert len(bound) > len(compose()["services"])
    assert [source for source in bound if not (DEPLOY / source).is_file()] == []


def test_every_volume_is_declared_and_used() -> None:
    used = {
        volume.split(":")[0]
        for found in compose()["services"].values()
        for volume in found["volumes"]
        if not volume.startswith((".", "/"))
    }
    assert used == set(compose()["volumes"])


def test_the_image_and_compose_agree_on_where_the_settings_are() -> None:
    command = json.loads(instruction("CMD"))
    assert service("proxy")["command"] == command
    assert mounts("proxy")["./multiwriter.toml"] == command[-1]
    assert ("COPY", f"deploy/multiwriter.toml {command[-1]}") in instructions()


def test_the_server_accepts_the_settings_of_the_nodes() -> None:
    program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
    # It refuses what it does not know before it prints its help.
    file = f"--defaults-file={DEPLOY / 'galera' / 'galera.cnf'}"
    done = subprocess.run([program, file, "--verbose", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if re.match(r"[a-z-]+ +\S", line))
    assert shown["wsrep-cluster-name"].strip() == cnf()["wsrep_cluster_name"]


def test_a_node_that_sends_its_data_to_another_goes_on_taking_writes() -> None:
    assert cnf()["wsrep_sst_method"] in NON_BLOCKING_SST


def test_the_nodes_let_in_all_that_the_pool_may_open() -> None:
    assert int(cnf()["max_connections"]) > settings().pool.max_backends


@pytest.mark.parametrize(
    ("arguments", "state", "begins"),
    [
        (["first"], None, True),
        ([], None, False),
        (["first"], 0, False),
        (["first"], 1, True),
        ([], 0, False),
        ([], 1, True),
    ],
)
def test_a_node_begins_the_cluster_only_where_that_loses_nothing(
    tmp_path: Path, arguments: list[str], state: int | None, begins: bool
) -> None:
    script = tmp_path / "start"
    script.write_text((DEPLOY / "galera" / "start").read_text().replace("/var/lib/mysql", str(tmp_path)))
    entrypoint = tmp_path / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\necho "$@"\n')
    entrypoint.chmod(0o755)
    if state is not None:
        (tmp_path / "grastate.dat").write_text(f"# GALERA saved state\nseqno:   -1\nsafe_to_bootstrap: {state}\n")
    done = subprocess.run(
        ["sh", str(script), *arguments],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["mariadbd", *(["--wsrep-new-cluster"] if begins else [])]


# -- the command line -------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command line by where it stands."""
    entrypoint = json.loads(instruction("ENTRYPOINT"))
    yield "Dockerfile", entrypoint + json.loads(instruction("CMD"))
    yield "compose.yaml", entrypoint + service("proxy")["command"]
    (line,) = unit()["Service.ExecStart"]
    yield "multiwriter.service", shlex.split(line)


@pytest.mark.parametrize(("where", "command"), list(commands()))
def test_the_command_is_installed_and_its_options_exist(where: str, command: list[str]) -> None:
    program = PurePosixPath(command[0])
    assert program.name in PROJECT["project"]["scripts"]
    options = cli._parser().parse_args(command[1:])
    assert options.command == "serve"
    assert options.config == "/etc/multiwriter/multiwriter.toml"


# -- the image --------------------------------------------------------------------------------------------------------


def copied() -> list[str]:
    """What the Dockerfile copies from the source tree."""
    found: list[str] = []
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            found += rest.split()[:-1]
    return found


def test_everything_that_is_copied_is_there_and_sent_to_the_builder() -> None:
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())


def test_what_is_copied_makes_the_whole_distribution(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for name in copied():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
        env=os.environ | {"MULTIWRITER_PURE": "1"},  # what is in it is the same, and compiling takes a while
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    modules = {
        str(path.relative_to(ROOT)) for top in ("proxy", "router", "config") for path in (ROOT / top).rglob("*.py")
    }
    assert inside == modules


def test_the_wheel_in_the_image_is_compiled() -> None:
    """Its base has Python's headers and no compiler, and without one the same command makes a wheel of plain Python."""
    words = [rest for word, rest in instructions() if word == "RUN"]
    (compiler,) = [at for at, rest in enumerate(words) if re.search(r"apt-get install .*\bgcc libc6-dev\b", rest)]
    (build,) = [at for at, rest in enumerate(words) if rest.endswith("--no-build-isolation .")]
    assert compiler < build
    assert "MULTIWRITER_PURE" not in (DEPLOY / "Dockerfile").read_text()


def test_both_stages_have_one_python_that_the_project_supports() -> None:
    images = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    (image,) = images
    minor = re.fullmatch(r"python:3\.(\d+)-slim-\w+", image)
    least = re.fullmatch(r">=3\.(\d+)", PROJECT["project"]["requires-python"])
    assert minor is not None
    assert least is not None
    assert int(minor[1]) >= int(least[1])


def test_the_image_runs_as_nobody_in_particular() -> None:
    user = instruction("USER")
    assert any(word == "RUN" and f"useradd --system --uid 10001 --gid {user}" in rest for word, rest in instructions())


# -- what the proxy answers on HTTP -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose only node is not there."""
    proxy = Proxy(tmp_path_factory.mktemp("proxy"), ["127.0.0.1:1"])
    proxy.start(wait=False)
    try:
        wait_until(lambda: proxy.get("/healthz")[0] == 200, 20, proxy.log_text)
        yield proxy
    finally:
        proxy.kill()


def test_the_image_asks_for_its_health_where_the_proxy_tells(proxy: Proxy) -> None:
    found = settings()
    assert found.http.listen is not None
    health = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", instruction("HEALTHCHECK"))
    assert health is not None
    assert int(health[1]) == found.http.listen.port
    status, body = proxy.get(health[2])
    assert (status, body.partition(":")[0]) == (503, "no writer")


def test_prometheus_asks_for_metrics_where_the_proxy_tells(proxy: Proxy) -> None:
    (job,) = read_yaml((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    found = settings()
    assert found.http.listen is not None
    ((target,),) = [group["targets"] for group in job["static_configs"]]
    host, _, port = target.partition(":")
    assert host in compose()["services"]
    assert int(port) == found.http.listen.port
    status, body = proxy.get(job["metrics_path"])
    assert status == 200
    assert "multiwriter_node_state" in body


# -- systemd ----------------------------------------------------------------------------------------------------------


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    sections = {name.partition(".")[0] for name in unit()}
    assert sections == {"Unit", "Service", "Install"}
    if program is not None:
        # It wants the program to be there.
        copy = tmp_path / "multiwriter.service"
        text = (DEPLOY / "multiwriter.service").read_text().replace("/opt/multiwriter/bin/multiwriter", sys.executable)
        copy.write_text(text)
        done = subprocess.run([program, "verify", "--man=no", str(copy)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_lets_open_transactions_finish() -> None:
    (stop,) = unit()["Service.TimeoutStopSec"]
    assert float(stop) > settings().limits.drain_timeout
    assert seconds(service("proxy")["stop_grace_period"]) > settings().limits.drain_timeout


def test_there_are_descriptors_for_all_clients_and_backends() -> None:
    found = settings()
    needed = found.limits.max_clients + len(found.cluster.nodes) * found.pool.max_backends + SPARE_DESCRIPTORS
    (limit,) = unit()["Service.LimitNOFILE"]
    assert int(limit) >= needed
    assert int(service("proxy")["ulimits"]["nofile"]) >= needed


def test_wrong_settings_are_not_tried_again_and_again() -> None:
    assert unit()["Service.RestartPreventExitStatus"] == [str(cli.WRONG)]
    assert unit()["Service.Restart"] == ["always"]


def test_the_port_needs_no_privilege() -> None:
    assert unit()["Service.CapabilityBoundingSet"] == [""]
    assert all(endpoint.listen is None or endpoint.listen.port >= 1024 for endpoint in settings().endpoints)


# -- Prometheus -------------------------------------------------------------------------------------------------------


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    (group,) = read_yaml((DEPLOY / "multiwriter.rules.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    promtool("check", "config", "--lint=all", str(DEPLOY / "prometheus.yml"))
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(DEPLOY / "multiwriter.rules.yml"))


def test_compose_puts_both_where_prometheus_looks() -> None:
    found = mounts("prometheus")
    (option,) = [word for word in service("prometheus")["command"] if word.startswith("--config.file=")]
    assert found["./prometheus.yml"] == option.partition("=")[2]
    (name,) = read_yaml((DEPLOY / "prometheus.yml").read_text())["rule_files"]
    assert found[f"./{name}"] == str(PurePosixPath(found["./prometheus.yml"]).parent / name)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_names_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    known = {name: {*labels, "instance", "job"} for name, _, labels, _ in documentation()} | {"up": {"job", "instance"}}
    # A histogram is told as several series.
    metrics = [
        re.sub("_(bucket|count|sum)$", "", name) for name in re.findall(r"\b(multiwriter_\w+|up\b(?!\"))", rule["expr"])
    ]
    assert metrics
    labels: set[str] = {"le"} if "_bucket{" in rule["expr"] else set()
    for name in metrics:
        assert name in known
        labels |= known[name]
    used = re.findall(r'(\w+)=~?"', rule["expr"])
    used += [label.strip() for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(",")]
    assert set(used) <= labels
    grouped = re.search(r"by \(([^)]*)\)", rule["expr"])
    kept = {label.strip() for label in grouped[1].split(",")} if grouped else labels
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= kept
    assert set(re.findall(r'state="(\w+)"', rule["expr"])) <= {state.value for state in NodeState}


# A series that each alert is about, and for how many minutes it has to go on.
FIRING = {
    "MultiwriterDown": ('up{job="multiwriter",instance="p"}', "0x20", 2),
    "MultiwriterNoNodeUp": ('multiwriter_node_state{instance="p",node="n",state="up"}', "0x20", 2),
    "MultiwriterNodeOut": ('multiwriter_node_state{instance="p",node="n",state="up"}', "0x20", 7),
    "MultiwriterNodeRefuses": ('multiwriter_backend_connects_total{instance="p",node="n",result="1045"}', "0+1x20", 2),
    "MultiwriterUnknownOutcomes": ('multiwriter_unknown_outcomes_total{instance="p",node="n"}', "0 0 1x20", 4),
    "MultiwriterCommitsUnmarked": (
        'multiwriter_commits_unmarked_total{instance="p",reason="missing"}',
        "0 0 1x20",
        4,
    ),
    "MultiwriterUnreplayable": (
        'multiwriter_unreplayable_transactions_total{instance="p",reason="procedure"}',
        "0+60x20",
        8,
    ),
    "MultiwriterPoolExhausted": ('multiwriter_pool_wait_seconds_count{instance="p"}', "0+60x20", 5),
    "MultiwriterLoopLag": ('multiwriter_loop_lag_seconds{instance="p"}', "0.5x20", 3),
}
# What it is compared with.
BESIDE = {"MultiwriterPoolExhausted": ('multiwriter_pool_wait_seconds_bucket{instance="p",le="1.0"}', "0x20")}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_fires_on_what_it_is_about_and_not_before(tmp_path: Path, rule: dict[str, Any]) -> None:
    name = rule["alert"]
    series, values, minutes = FIRING[name]
    beside = [BESIDE[name]] if name in BESIDE else []
    healthy = "1x20" if values.startswith("0x") else "0x20"

    def case(input_values: str) -> dict[str, Any]:
        return {
            "interval": "1m",
            "input_series": [{"series": each, "values": given} for each, given in ((series, input_values), *beside)],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                    "eval_time": f"{minutes}m",
                    "exp_samples": [{"labels": "{}", "value": 0 if input_values == healthy else 1}],
                }
            ],
        }

    # JSON is YAML.
    tests = {
        "rule_files": [str(DEPLOY / "multiwriter.rules.yml")],
        "evaluation_interval": "10s",
        "tests": [case(values), case(healthy)],
    }
    file = tmp_path / "rules.test.yml"
    file.write_text(json.dumps(tests))
    promtool("test", "rules", str(file))


# -- Grafana ----------------------------------------------------------------------------------------------------------


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    return found


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_asks_for_metrics_and_labels_that_there_are(panel: dict[str, Any]) -> None:
    known = {name: {*labels, "instance"} for name, _, labels, _ in documentation()}
    assert panel["targets"]
    for target in panel["targets"]:
        expression, labels = target["expr"], {"le"}
        metrics = [name.removesuffix("_bucket") for name in re.findall(r"multiwriter_\w+", expression)]
        for name in metrics:
            assert name in known
            labels |= known[name]
        assert metrics
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        kept = {label.strip() for group in grouped for label in group.split(",")}
        assert kept | set(re.findall(r'(\w+)=~?"', expression)) <= labels
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept
        assert 'instance=~"$instance"' in expression


def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    asked = [target["expr"].replace("$instance", ".*") for panel in panels() for target in panel["targets"]]
    rules = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    file = tmp_path / "asked.yml"
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_the_panels_do_not_overlap() -> None:
    taken = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_file_in_deploy_is_known_here() -> None:
    with contextlib.chdir(DEPLOY):
        there = {str(path) for path in Path().rglob("*") if path.is_file()}
    assert there == {
        "Dockerfile",
        "Dockerfile.dockerignore",
        "compose.yaml",
        "galera/accounts.sh",
        "galera/galera.cnf",
        "galera/start",
        "grafana-dashboard.json",
        "install-packages",
        "multiwriter.rules.yml",
        "multiwriter.service",
        "multiwriter.toml",
        "prometheus.yml",
    }
