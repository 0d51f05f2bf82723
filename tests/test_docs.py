"""What the documents say is so: commands, settings, metrics, modules, errors, links.

Whole tables are made from the code. They stand between `<!-- made: name -->` and `<!-- end -->`; to write them anew:

    .venv/bin/python -m tests.test_docs
"""

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import config
from proxy import cli
from proxy.commands import HANDLERS, unknown
from proxy.console.tables import TABLES
from proxy.demo import command as demo
from proxy.hello import OFFERED
from proxy.metrics import documentation
from proxy.version import VERSION
from proxy.wire import constants
from router.answers import Told
from router.facts import PinReason, Unreplayable
from router.membership import NodeState
from router.outcomes import UNMARKED, Outcome, Phase
from router.transaction import Stage
from router.variables import CARRIED
from tests.bench import report
from tests.bench.results import Results
from tests.wire.matrix import MATRIX

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "docs" / "settings.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PACKAGES = ("config", "router", "proxy", "proxy/wire", "proxy/console", "proxy/demo")

_MADE = re.compile(r"(<!-- made: (\w+) -->\n\n)(.*?)(\n<!-- end -->)", re.DOTALL)
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


# -- what is made from the code ---------------------------------------------------------------------------------------


def metrics_table() -> str:
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, meaning in documentation():
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {kind} | {shown} | {meaning} |")
    return "\n".join(rows) + "\n"


def errors_table() -> str:
    rows = ["| error | SQLSTATE | text | connection | `reason` |", "|---|---|---|---|---|"]
    for told in Told:
        code, sqlstate, text, reason, closes = told.value
        shown = re.sub(r"\{(\w+)(?::\w+)?\}", r"*\1*", text)
        rows.append(f"| {code} | {sqlstate} | {shown} | {'is closed' if closes else 'stays'} | `{reason}` |")
    return "\n".join(rows) + "\n"


def variables_list() -> str:
    return ", ".join(f"`{name}`" for name in sorted(CARRIED)) + "\n"


def console_tables() -> str:
    parts = []
    for table in TABLES.values():
        rows = "".join(f"| `{column.name}` | {column.type} | {column.meaning} |\n" for column in table.columns)
        parts.append(f"## `{table.name}`\n\n{table.meaning}\n\n| column | type | meaning |\n|---|---|---|\n{rows}")
    return "\n".join(parts)


def matrix_table() -> str:
    """Every command of the matrix with the shapes of its replies."""
    rows = ["| command | replies |", "|---|---|"]
    for code in sorted({cell.command for cell in MATRIX}):
        shapes = [f"{cell.shape} (*real*)" if cell.real else cell.shape for cell in MATRIX if cell.command == code]
        rows.append(f"| `{constants.COMMAND_NAMES.get(code, 'unknown')}` | {'; '.join(shapes)} |")
    return "\n".join(rows) + "\n"


def summary(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.split(r"(?<=\.)\s", " ".join(text.split()))[0].rstrip(".")


def modules(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).glob("*.py") if path.name != "__init__.py")


def modules_table(package: str) -> str:
    rows = ["| module | what it is for |", "|---|---|"]
    rows += [f"| `{package}/{path.name}` | {summary(path).replace('|', chr(92) + '|')} |" for path in modules(package)]
    return "\n".join(rows) + "\n"


MADE: dict[str, Callable[[], str]] = {
    "metrics": metrics_table,
    "errors": errors_table,
    "matrix": matrix_table,
    "variables": variables_list,
    "settings": config.reference,
    "bench": lambda: report.markdown(Results.read(ROOT / "docs" / "bench.json")),
    "console": console_tables,
    **{f"modules_{name.replace('/', '_')}": lambda name=name: modules_table(name) for name in PACKAGES},  # type: ignore[misc]
}


def write() -> None:
    """Make anew what is made from the code."""
    for path in DOCUMENTS:
        path.write_text(_MADE.sub(lambda found: found[1] + MADE[found[2]]() + found[4], path.read_text()))


# -- reading the documents --------------------------------------------------------------------------------------------


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def fences(language: str) -> Iterator[tuple[str, str]]:
    """(document, text) of each fenced block in this language."""
    for path in DOCUMENTS:
        for found in _FENCE.finditer(path.read_text()):
            if found[2] == language:
                yield path.name, found[3]


def shell_lines() -> Iterator[tuple[str, list[str]]]:
    """(document, words) of each command in a block of shell."""
    for name, text in fences("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield name, words


def make_lines() -> list[list[str]]:
    inline = [shlex.split(found) for path in DOCUMENTS for found in re.findall(r"`(make [^`]+)`", path.read_text())]
    return inline + [words for _, words in shell_lines() if words[0] == "make"]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- the tests --------------------------------------------------------------------------------------------------------


def made() -> list[tuple[str, str, str]]:
    return [(path.name, found[2], found[3]) for path in DOCUMENTS for found in _MADE.finditer(path.read_text())]


@pytest.mark.parametrize(("document", "name", "text"), made(), ids=lambda value: value if len(value) < 30 else "")
def test_what_is_made_from_the_code_is_as_the_code_makes_it(document: str, name: str, text: str) -> None:
    assert text == MADE[name](), f"run `.venv/bin/python -m tests.test_docs` and commit {document}"


def test_everything_that_can_be_made_stands_somewhere_once() -> None:
    assert sorted(name for _, name, _ in made()) == sorted(MADE)
    assert {document for document, name, _ in made() if name == "metrics"} == {"README.md"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package: str) -> None:
    assert [path.name for path in modules(package) if len(summary(path)) < 20] == []


def test_no_package_is_missing_from_the_map() -> None:
    tops = ("config", "router", "proxy")
    there = {str(path.parent.relative_to(ROOT)) for top in tops for path in (ROOT / top).rglob("*.py")}
    assert there == set(PACKAGES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_a_document_is_there(path: Path) -> None:
    names = re.findall(r"`((?:proxy|router|config|deploy|tests|docs|\.ci)/[\w./-]*)`", path.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name) if name else path
        assert found.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{path.name} links to {target}"


def test_every_command_of_the_documents_is_accepted() -> None:
    lines = [words for _, words in shell_lines() if words[0] == "multiwriter"]
    assert len(lines) > 5
    for words in lines:
        if words[1] == "demo":
            demo._parser().parse_args(words[2:])
        else:
            cli._parser().parse_args(words[1:])


def test_every_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", text_of("Makefile"), re.MULTILINE))
    asked = {words[1] for words in make_lines()}
    assert asked <= targets
    assert {"install", "demo", "test", "check"} <= asked


def test_every_test_that_the_readme_names_is_there() -> None:
    named = [dict(word.split("=", 1) for word in words[2:]) for words in make_lines() if len(words) > 2]
    asked = [shlex.split(variables["TESTS"]) for variables in named if "TESTS" in variables]
    assert len(asked) > 8
    for arguments in asked:
        paths = [argument for argument in arguments if argument.startswith("tests/")]
        assert paths
        for path in paths:
            assert (ROOT / path).exists(), path
            if "-k" in arguments:
                word = arguments[arguments.index("-k") + 1]
                assert re.search(rf"^(async )?def test_\w*{word}", text_of(path), re.MULTILINE), f"{word} in {path}"


def test_the_configuration_in_the_readme_works_as_it_stands() -> None:
    (example,) = [text for name, text in fences("toml") if name == "README.md"]
    found = config.loads(example)
    assert [str(endpoint.listen) for endpoint in found.endpoints] == ["127.0.0.1:3306"]
    assert [str(node) for node in found.cluster.nodes] == ["127.0.0.1:3311", "127.0.0.1:3312", "127.0.0.1:3313"]


@pytest.mark.parametrize("reason", [*PinReason, *Unreplayable], ids=str)
def test_every_reason_is_explained(reason: PinReason | Unreplayable) -> None:
    assert f"`{reason.value}`" in text_of("SUPPORTED.md")


@pytest.mark.parametrize("reason", sorted({why for *_, why in UNMARKED} | {"no_slot", "warnings"}))
def test_every_reason_for_a_commit_without_a_marker_is_explained(reason: str) -> None:
    assert f"`{reason}`" in text_of("SUPPORTED.md").partition("multiwriter_commits_unmarked_total`:")[2]


def test_the_capabilities_that_are_not_offered_are_the_ones_named() -> None:
    offered = {name for name in vars(constants) if name.startswith("CLIENT_") and getattr(constants, name) & OFFERED}
    text = text_of("SUPPORTED.md").partition("## Capabilities")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(CLIENT_\w+)`", text.partition("`CLIENT_SSL`")[0]))
    every = {name for name in vars(constants) if name.startswith("CLIENT_")}
    # Those that go with a certificate or a setting, and those that say something about the client alone.
    others = {"CLIENT_SSL", "CLIENT_COMPRESS", "CLIENT_ZSTD_COMPRESSION_ALGORITHM"}
    others |= {"CLIENT_SSL_VERIFY_SERVER_CERT", "CLIENT_REMEMBER_OPTIONS"}
    assert named == every - offered - others


def test_the_commands_that_are_refused_are_the_ones_named() -> None:
    refused = {
        name
        for code, name in constants.COMMAND_NAMES.items()
        if HANDLERS.get(code, unknown) is unknown and name != "COM_CHANGE_USER"
    }
    text = text_of("SUPPORTED.md").partition("## Commands")[2].partition("\n## ")[0]
    (paragraph,) = [part for part in text.split("\n\n") if part.startswith("Refused")]
    assert set(re.findall(r"`(COM_\w+)`", paragraph)) == refused


@pytest.mark.parametrize("word", [*NodeState, *Stage, *Outcome, *Phase], ids=str)
def test_the_states_in_the_architecture_are_those_of_the_code(word: NodeState | Stage | Outcome | Phase) -> None:
    assert re.search(rf"\b{word.value}\b", text_of("ARCHITECTURE.md"))


def test_the_changes_begin_with_the_version_that_is_next() -> None:
    first = re.search(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert first is not None
    assert first[1] == VERSION


def test_the_license_is_the_one_that_the_project_declares() -> None:
    assert 'license = "Apache-2.0"' in text_of("pyproject.toml")
    assert "Apache License\n                           Version 2.0" in text_of("LICENSE")


if __name__ == "__main__":
    write()
