"""The tables of docs/compatibility.md: which client passed what. Written by the run, between its own marks."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.compat.checks import CHECKS
from tests.compat.runner import Outcome
from tests.compat.suites import Tally

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


def suites_table(tallies: Sequence[Tally]) -> str:
    """A row a suite, and which tests see that there are several nodes."""
    lines = ["| suite | run directly | passed | run through the proxy | passed |", "|---|---|---|---|---|"]
    lines += [f"| {tally.suite.name} | {tally} |" for tally in tallies]
    lines.append("")
    for tally in tallies:
        if tally.apart:
            named = ", ".join(f"`{name}`" for name in tally.apart)
            lines.append(f"- {tally.suite.name}, in which sessions look at each other's work: {named}.")
        lines += [f"- {tally.suite.name}, `{name}`: {tally.suite.known[name]}." for name in tally.known]
    return "\n".join(lines).rstrip() + "\n"


def write_suites(server: str, tallies: Sequence[Tally]) -> None:
    _put(f"suites: {server}", suites_table(tallies))


def write(server: str, version: str, outcomes: Sequence[Outcome]) -> None:
    """Puts the table of this kind of server into the document."""
    _put(f"ran: {server}", f"Against {version}:\n\n{table(outcomes)}")


def _put(place: str, made: str) -> None:
    text, times = re.subn(
        rf"(<!-- {place} -->\n\n).*?(\n<!-- end -->)",
        lambda found: found[1] + made + found[2],
        DOCUMENT.read_text(),
        flags=re.DOTALL,
    )
    assert times == 1, f"{DOCUMENT} has no place for {place}"
    DOCUMENT.write_text(text)
