"""An event is one line, whatever it holds."""

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.log import event, setup

logger = logging.getLogger("tests.log")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def written(format: str, level: str = "info") -> io.StringIO:  # noqa: A002
    """Set the log up and write it to memory."""
    setup(level, format)  # type: ignore[arg-type]
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    return stream


def test_text() -> None:
    log = written("text")
    event(logger, "node.change", level=logging.WARNING, node="10.0.0.1:3306", reason='said "no"', epoch=3, seconds=0.25)
    assert re.fullmatch(
        STAMP + r'warning node\.change node=10\.0\.0\.1:3306 reason="said \\"no\\"" epoch=3 seconds=0\.25\n',
        log.getvalue(),
    )


def test_json() -> None:
    log = written("json")
    event(logger, "node.change", node="a", epoch=3, up=True, nothing=None, load=float("nan"), level_=1, time="x")
    line = json.loads(log.getvalue())
    assert re.fullmatch(STAMP.strip(), line.pop("time"))
    assert line == {
        "level": "info", "event": "node.change", "node": "a", "epoch": 3, "up": True, "nothing": None, "load": "nan",
        "level_": 1, "time_": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ("plain-word_1.2", "plain-word_1.2"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ("back\\slash", '"back\\\\slash"'),
        ("line\nfeed\r", '"line\\nfeed\\u000d"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("\u2028\u202e\ud800", '"\\u2028\\u202e\\ud800"'),
        ("größe", '"größe"'),
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (0.1 + 0.2, "0.3"),
    ],
)
def test_values_in_text(value: object, text: str) -> None:
    log = written("text")
    event(logger, "e", v=value)
    assert log.getvalue().endswith(f" info e v={text}\n")


@given(st.text(st.characters()), st.sampled_from(["text", "json"]))
def test_nothing_breaks_the_line(value: str, format: str) -> None:  # noqa: A002
    log = written(format)
    event(logger, "e", v=value)
    logger.info("%s", value)
    lines = log.getvalue().splitlines()
    assert len(lines) == 2
    assert log.getvalue().encode()
    if format == "json":
        assert json.loads(lines[0])["v"] == value
        assert json.loads(lines[1])["message"] == value


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_is_one_field(format: str) -> None:  # noqa: A002
    log = written(format)
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        event(logger, "internal.error", level=logging.ERROR)
    assert len(log.getvalue().splitlines()) == 1
    assert "RuntimeError: first\\nsecond" in log.getvalue()
    assert "Traceback" in log.getvalue()


def test_an_error_outside_an_exception_has_none() -> None:
    log = written("text")
    event(logger, "e", level=logging.ERROR)
    assert log.getvalue().endswith(" error e\n")


def test_levels() -> None:
    log = written("text", "warning")
    event(logger, "quiet")
    event(logger, "loud", level=logging.WARNING)
    assert [line.split()[2] for line in log.getvalue().splitlines()] == ["loud"]


def test_what_libraries_say_comes_out_the_same_way() -> None:
    log = written("text")
    logging.getLogger("asyncio").warning("took %d\nseconds", 3)
    assert log.getvalue().endswith(' warning log message="took 3\\nseconds" logger=asyncio\n')


def test_python_warnings_are_logged() -> None:
    log = written("text")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
    assert "logger=py.warnings" in log.getvalue()


def test_setting_up_again_does_not_double_the_lines() -> None:
    written("text")
    log = written("text")
    event(logger, "once")
    assert len(log.getvalue().splitlines()) == 1
