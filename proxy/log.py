"""Structured logs: one line per event worth waking for, as text a person reads or as JSON.

    2026-01-01T00:00:00.000Z warning node.change node=10.0.0.1:3306 was=up now=down reason="connection refused"

Built on the standard logging, so that what libraries say comes out the same way. Whatever a value holds, an event stays
one line: clients, servers and exceptions write into it. This module must not know what is logged, and never sees a
password: callers pass names and reasons.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

Format = Literal["text", "json"]

_FIELDS: Final = "fields"  # the attribute of a LogRecord that event() sets
_BARE: Final = re.compile(r"[A-Za-z0-9_.,:;/@+*()%<>|\[\]-]+")
# Controls, line separators, marks that turn the direction of writing, and halves of surrogate pairs.
_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def setup(level: str = "info", format: Format = "text") -> None:  # noqa: A002  # the setting's name
    """Send everything of `level` ("debug" to "critical") and above to stderr. Replaces an earlier setup."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(as_json=format == "json"))
    logging.captureWarnings(True)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def event(logger: logging.Logger, name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event: a dotted name, and what is known of it. At ERROR inside an `except`, the exception too."""
    if logger.isEnabledFor(level):
        failing = level >= logging.ERROR and sys.exc_info()[0] is not None
        logger.log(level, name, extra={_FIELDS: fields}, exc_info=failing, stacklevel=2)


class _Lines(logging.Formatter):
    """One line for a record. A record that event() did not make is a `log` event with its message and logger."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {}
        given: Mapping[str, object] | None = getattr(record, _FIELDS, None)
        if given is None:
            name = "log"
            fields["message"] = record.getMessage()
            fields["logger"] = record.name
        else:
            name = str(record.msg)
            # In JSON a field must not take the place of the line's own keys.
            fields |= {f"{key}_" if key in ("time", "level", "event") else key: value for key, value in given.items()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        stamp = f"{seconds}.{int(record.msecs):03d}Z"
        level = record.levelname.lower()
        if self._as_json:
            line: dict[str, Any] = {"time": stamp, "level": level, "event": name}
            line |= {key: _plain(value) for key, value in fields.items()}
            return json.dumps(line)  # ASCII only: every other character is escaped
        return " ".join([stamp, level, _quoted(name), *(f"{key}={_quoted(value)}" for key, value in fields.items())])


def _plain(value: object) -> str | int | float | bool | None:
    if isinstance(value, float):
        return round(value, 6) if abs(value) < float("inf") else str(value)  # JSON has no infinity and no NaN
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _quoted(value: object) -> str:
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, bool) or value is None:
        text = json.dumps(value)
    else:
        text = str(value)
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
