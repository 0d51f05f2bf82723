"""From a file to a configuration, or to all of its problems with their places."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from config import Address, ConfigError, Secret

EXAMPLE = """\
[cluster]
flavor = "galera"
nodes = ["127.0.0.1:3311", "127.0.0.1:3312", "127.0.0.1:3313"]
user = "monitor"
password = "monitor"

[[endpoint]]
name = "write"
listen = "127.0.0.1:3306"

[[user]]
name = "app"
password = "app"

[http]
listen = "127.0.0.1:9306"     # /metrics, /healthz, /readyz
"""


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config.loads(text, name="m.toml", directory="/nowhere", environ=environ)
    return [f"{problem.place}: {problem.message}; {problem.hint}" for problem in error.value.problems]


def test_the_example(tmp_path: Path) -> None:
    file = tmp_path / "multiwriter.toml"
    file.write_text(EXAMPLE)
    read = config.load(file)
    assert read.cluster.nodes == tuple(Address("127.0.0.1", port) for port in (3311, 3312, 3313))
    assert (read.cluster.flavor, read.cluster.user, read.cluster.password) == ("galera", "monitor", Secret("monitor"))
    (endpoint,) = read.endpoints
    assert (endpoint.name, endpoint.listen, endpoint.socket) == ("write", Address("127.0.0.1", 3306), None)
    (user,) = read.users
    assert (user.name, user.password, user.backend_name, user.backend_password) == ("app", Secret("app"), None, None)
    assert read.http.listen == Address("127.0.0.1", 9306)
    assert read.monitor == config.Monitor()
    assert read.replay == config.Replay()


def test_every_kind_of_value(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-file\n")
    file = tmp_path / "multiwriter.toml"
    file.write_text(
        """\
cluster = {nodes = ["db1", "[::1]:3307"], user = "m", password_file = "password"}
endpoint = [{name = "write", socket = "mw.sock", socket_mode = 0o660}]
[[user]]
name = "app"
password_env = "APP"
backend_name = "other"
backend_password = "deep"
[pool]
idle_timeout = "5m"
acquire_timeout = 3
[limits]
max_command_bytes = "1GiB"
[replay]
enabled = false
budget_per_node = 5
[log]
format = "json"
"""
    )
    read = config.load(file, environ={"APP": "from-env"})
    assert read.cluster.nodes == (Address("db1", 3306), Address("::1", 3307))
    assert read.cluster.password == Secret("from-file")
    assert read.endpoints[0].socket == tmp_path / "mw.sock"
    assert read.endpoints[0].socket_mode == 0o660
    assert read.users[0].password == Secret("from-env")
    assert (read.users[0].backend_name, read.users[0].backend_password) == ("other", Secret("deep"))
    assert (read.pool.idle_timeout, read.pool.acquire_timeout) == (300.0, 3.0)
    assert isinstance(read.pool.acquire_timeout, float)
    assert read.limits.max_command_bytes == 2**30
    assert (read.replay.enabled, read.replay.budget_per_node) == (False, 5.0)
    assert (read.log.format, read.log.level) == ("json", "info")
    assert read.http.listen is None


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
clutser = 3
[cluster]
nodes = [
  "127.0.0.1:3311",
  "127.0.0.1:331222",
  3,
]
pasword = "monitor"
max_clients = 3
[[endpoint]]
listen = "127.0.0.1"
tls_required = true
[[user]]
name = "app"
password = 12345
[[user]]
name = "app"
password_env = "NOPE"
[pool]
idle_timeout = "5x"
max_backends = 0
[log]
level = "INFO"
[replay]
enabled = "yes"
backoff_base = "1s"
"""
    assert [(told.split(": ")[0]) for told in problems(text)] == [
        "m.toml:1 clutser",
        "m.toml:2 [cluster] password",
        "m.toml:2 [cluster] user",
        "m.toml:5 [cluster] nodes entry 2",
        "m.toml:6 [cluster] nodes entry 3",
        "m.toml:8 [cluster] pasword",
        "m.toml:9 [cluster] max_clients",
        "m.toml:10 [[endpoint]] #1 name",
        "m.toml:11 [[endpoint]] #1 listen",
        "m.toml:12 [[endpoint]] #1 tls_required",
        "m.toml:15 [[user]] #1 password",
        "m.toml:17 [[user]] #2 name",
        "m.toml:18 [[user]] #2 password_env",
        "m.toml:20 [pool] idle_timeout",
        "m.toml:21 [pool] max_backends",
        "m.toml:23 [log] level",
        "m.toml:25 [replay] enabled",
        "m.toml:26 [replay] backoff_base",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('user = "monitor"', "", "m.toml:1 [cluster] user: user is missing; write user ="),
        ('user = "monitor"', 'user = ""', "m.toml:4 [cluster] user: the text is empty"),
        ('user = "monitor"', 'user = "a\\u0007"', "m.toml:4 [cluster] user: the text has a control character"),
        ('user = "monitor"', "user = 1979-05-27", "m.toml:4 [cluster] user: text is expected, not a date"),
        (
            '"galera"',
            '"gallera"',
            'm.toml:2 [cluster] flavor: "gallera" is not known here; write one of "galera", "percona-xtradb-cluster", '
            '"group-replication"',
        ),
        ('"galera"', "1", "m.toml:2 [cluster] flavor: text is expected, not a number; write one of"),
        ('"127.0.0.1:3312"', '"127.0.0.1:3311"', "m.toml:3 [cluster] nodes entry 2: 127.0.0.1:3311 is entry 1 already"),
        ('["127.0.0.1:3311", "127.0.0.1:3312", "127.0.0.1:3313"]', "[]", "m.toml:3 [cluster] nodes: there is no node"),
        (
            '["127.0.0.1:3311", "127.0.0.1:3312", "127.0.0.1:3313"]',
            '"127.0.0.1"',
            "m.toml:3 [cluster] nodes: an array is expected, not text; write it in brackets",
        ),
        ("[[endpoint]]", "[endpoint]", "m.toml:7 [endpoint]: one table is given, an array of tables is expected"),
        ("[http]", "[[http]]", "m.toml:15 [[http]]: an array of tables is given, one table is expected"),
        ("[http]", "[htpt]", "m.toml:15 [htpt]: there is no such table; did you mean [http]?"),
        ("[http]", "[nonsense]", "m.toml:15 [nonsense]: there is no such table; known here: cluster, endpoint, user"),
        ('password = "app"', 'pasword_file = "x"', 'm.toml:13 [[user]] "app" pasword_file: there is no such setting'),
        ("listen = ", "Listen = ", 'm.toml:9 [[endpoint]] "write" Listen: there is no such setting; did you mean lis'),
        ('name = "app"', 'name = "app"\nlevel = 1', 'm.toml:13 [[user]] "app" level: there is no such setting here; '),
        ('"127.0.0.1:9306" ', "9306 ", "m.toml:16 [http] listen: an address is expected, not a number; write it in q"),
        ('"127.0.0.1:9306" ', '":9306" ', 'm.toml:16 [http] listen: ":9306" has no host; '),
        ("[http]", '"a\\u001b[2J" = 1\n[http]', 'm.toml:15 [[user]] "app" a\\x1b[2J: there is no such setting'),
        (
            'name = "write"',
            'name = "w"\nsocket_mode = 666',
            "socket_mode: 0o1232 is out of range; write an octal number",
        ),
        ("[http]", "[pool]\nmax_backends = 1.5\n[http]", "max_backends: a whole number is expected, not 1.5"),
        (
            "[http]",
            "[pool]\nmax_backends = true\n[http]",
            "max_backends: a whole number is expected, not true or false",
        ),
        ("[http]", "[pool]\nmax_age = '0s'\n[http]", "[pool] max_age: 0s is out of range; write 1s or more"),
        ("[http]", "[replay]\nbudget_per_node = nan\n[http]", "budget_per_node: nan is out of range; write 1 or more"),
        (
            "[http]",
            "[limits]\nmax_login_packet = '32MiB'\n[http]",
            "max_login_packet: 32MiB is out of range; write 1KiB",
        ),
        ('name = "app"', f'name = "{"x" * 81}"', "name: the text has 81 characters; write at most 80"),
        ("[http]", '[process]\nworkers = "all"\n[http]', 'a number or "auto" is expected, not text; write "auto"'),
        ("[http]", "[process]\nworkers = 0\n[http]", 'a number or "auto" is expected'),
        ("[http]", "[process]\nworkers = 101\n[http]", "101 workers cannot share 100 connections to a node"),
        ("[http]", '[log]\nlevel = "INFO"\n[http]', 'write one of "debug", "info", "warning", "error"'),
    ],
)
def test_one_problem_is_told_once_with_what_to_write(old: str, new: str, told: str) -> None:
    assert old in EXAMPLE
    found = problems(EXAMPLE.replace(old, new, 1))
    # A misspelt name of something required is told as two: what is there, and what is not.
    about = [problem for problem in found if told in problem]
    assert len(about) == 1
    assert len(found) == len(about) or all("missing" in p or "nowhere" in p for p in found if p not in about)


def test_as_many_workers_as_processors_is_a_word() -> None:
    assert config.loads(EXAMPLE + '[process]\nworkers = "auto"\n').process.workers == 0
    assert config.loads(EXAMPLE + "[process]\nworkers = 3\n").process.workers == 3
    assert config.loads(EXAMPLE).process.workers == 1


def test_values_where_tables_belong() -> None:
    assert [told.partition(";")[0] for told in problems("cluster = 1\nendpoint = 'x'\nuser = ['x']\nhttp = []\n")] == [
        "m.toml:1 cluster: a table is expected, not a number",
        "m.toml:2 endpoint: an array of tables is expected, not text",
        "m.toml:3 [[user]] #1: a table is expected, not text",
        "m.toml:4 [[http]]: an array of tables is given, one table is expected",
    ]


def test_an_empty_file_lacks_two_tables() -> None:
    assert problems("") == [
        "m.toml [cluster]: there is no [cluster]; write a table [cluster]",
        "m.toml [[endpoint]]: there is no [[endpoint]]; write a table [[endpoint]]",
    ]


def test_no_password_is_ever_told() -> None:
    text = EXAMPLE.replace('password = "app"', 'password = "s3cret"\npassword_file = "x"\npaswort = "s3cret"')
    text = text.replace('password = "monitor"', "password = 3141592")
    told = "\n".join(problems(text))
    assert "s3cret" not in told
    assert "3141592" not in told


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\nb =\n", "m.toml:2"),
        ("[cluster\n", "m.toml:1"),
        ("a = 1\na = 2\n", "m.toml:2"),
        ("a = 1\nb = [\n", "m.toml:2"),
        ("a = " + "9" * 5000, "m.toml"),
        ("a = " + "[" * 5000, "m.toml"),
    ],
)
def test_what_is_no_toml(text: str, place: str) -> None:
    (told,) = problems(text)
    assert told.startswith(f"{place}: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin1 = tmp_path / "latin1.toml"
    latin1.write_bytes(b"# fine\n# \xe4\n")
    for path, told in (
        (tmp_path / "absent.toml", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (latin1, "this is not UTF-8 text"),
    ):
        with pytest.raises(ConfigError) as error:
            config.load(path)
        (problem,) = error.value.problems
        assert problem.message == told
        assert problem.place.startswith(str(path))
    assert problem.place == f"{latin1}:2"


_words = st.sampled_from(["name", "password", "password_file", "password_env", "listen", "nodes", "user", "interval"])
_values = st.sampled_from(["1", '""', '"a:1"', "[]", '["a", 1]', "{}", "[{}]", "true", "1.5", '"1s"', "2000-01-01"])
_tables = st.sampled_from(["[cluster]", "[[endpoint]]", "[[user]]", "[monitor]", "[pool]", "[user]", "[x]", "[http]"])
_lines = st.one_of(_tables, st.builds("{} = {}".format, _words, _values))


@given(st.lists(_lines, max_size=12).map("\n".join))
def test_any_text_is_a_configuration_or_has_problems_with_places(text: str) -> None:
    found: list[config.Problem] | None = None
    try:
        config.loads(text, name="m.toml", directory="/nowhere", environ={})
    except ConfigError as error:
        found = error.problems
    assert found is None or (found and all(told.place.startswith("m.toml") and told.hint for told in found))


def test_from_nodes_makes_one_endpoint_and_one_account() -> None:
    made = config.from_nodes(["10.0.0.1", "10.0.0.2:3307"], "app", "s3cret")
    assert made.cluster.nodes == (Address("10.0.0.1", 3306), Address("10.0.0.2", 3307))
    assert (made.cluster.user, made.cluster.password) == ("app", Secret("s3cret"))
    assert [(user.name, user.password) for user in made.users] == [("app", Secret("s3cret"))]
    assert [(end.name, end.listen) for end in made.endpoints] == [("write", Address("127.0.0.1", 3306))]
    assert made.http.listen == Address("127.0.0.1", 9306)
    assert made.limits == config.Limits()


def test_from_nodes_without_http() -> None:
    assert config.from_nodes(["a"], "app", "x", http=None).http.listen is None
    assert config.from_nodes(["a"], "app", "x", http="").http.listen is None


def test_from_nodes_reads_the_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("s3cret\n")
    made = config.from_nodes(["a"], "app", None, password_file=str(tmp_path / "p"))
    assert made.cluster.password == made.users[0].password == Secret("s3cret")


def test_problems_of_the_command_line_name_its_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        config.from_nodes(["a:b", "c:0"], "", None, "127.0.0.1", "x:y", password_file=str(tmp_path / "absent"))
    assert [problem.place for problem in error.value.problems] == [
        "--password-file",
        "--node",
        "--node",
        "--user",
        "--listen",
        "--http",
    ]
