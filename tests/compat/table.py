"""The tables of docs/compatibility.md: which client passed what. Written by the run, between its own marks."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.compat.checks import CHECKS
from tests.compat.runner import Outcome

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "compatibility.md"


def table(outcomes: Sequence[Outcome]) -> str:
    """A list of versions, and a row a check."""
    lines = [f"{number}. {outcome.proxied.version}" for number, outcome in enumerate(outcomes, 1)]
    heads = [str(number) for number in range(1, len(outcomes) + 1)]
    lines += ["", f"| check | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for name, asks in CHECKS.items():
        lines.append(f"| `{name}`: {asks} | {' | '.join(outcome.mark(name) for outcome in outcomes)} |")
    noted = [(outcome.client.name, *note) for outcome in outcomes for note in outcome.faults.items()]
    lines += ["", *(f"- `{name}` of {client}: {why}." for client, name, why in noted)]
    return "\n".join(lines).rstrip() + "\n"


def write(server: str, version: str, outcomes: Sequence[Outcome]) -> None:
    """Puts the table of this kind of server into the document."""
    made = f"Against {version}:\n\n{table(outcomes)}"
    text, times = re.subn(
        rf"(<!-- ran: {server} -->\n\n).*?(\n<!-- end -->)",
        lambda found: found[1] + made + found[2],
        DOCUMENT.read_text(),
        flags=re.DOTALL,
    )
    assert times == 1, f"{DOCUMENT} has no place for {server}"
    DOCUMENT.write_text(text)
