"""Random sessions, each held with one server and with the proxy, whose replies may not differ in a byte.

A difference is reported as the shortest conversation that shows it; once it is explained it goes to test_kept.py.
"""

import os
import time

import pytest

from tests.differential.generator import conversation
from tests.differential.runner import AT_ONCE, Runner

pytestmark = pytest.mark.only("galera")

SESSIONS = int(os.environ.get("MULTIWRITER_SESSIONS", "400"))
FIRST = int(os.environ.get("MULTIWRITER_SEED", "0"))
SHOWN = 5
"""Differences after which it ends: to make one short takes a while."""
TOLD = 30.0
"""Seconds after which it says again how far it has come."""


@pytest.mark.timeout(0)  # as long as so many take
def test_random_sessions(runner: Runner) -> None:
    found: list[str] = []
    begun = told = time.monotonic()
    held = 0
    while held < SESSIONS and len(found) < SHOWN:
        seed = FIRST + held
        conversations = [conversation(each) for each in range(seed, min(seed + AT_ONCE, FIRST + SESSIONS))]
        for difference in runner.run(conversations, seed):
            which = seed + conversations.index(difference.conversation)
            found.append(f"seed {which}, in the run of {seed}:\n{runner.minimise(difference)}")
            print(found[-1])  # in case that it does not come to its end
        held += len(conversations)
        now = time.monotonic()
        if now - told >= TOLD or held >= SESSIONS:
            told = now
            rate = held / (now - begun)
            print(f"{held} of {SESSIONS} sessions, {rate:.1f} a second, {len(found)} differences", flush=True)
    assert not found, "\n\n".join(found)
