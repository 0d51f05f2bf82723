"""Two hundred lost nodes and connections under load, with the commit marker on: no error, no unknown outcome.

`make chaos` runs it; FAULTS is how many, SEED chooses others. With MULTIWRITER_FLAVOR=group-replication it is done to a
MySQL group (see `make mysql`).
"""

import os

import pytest

from tests.support.faults import Setting

FAULTS = int(os.environ.get("MULTIWRITER_FAULTS", "200"))
SEED = int(os.environ.get("MULTIWRITER_SEED", "1"))
REPORT = os.environ.get("MULTIWRITER_REPORT", "")


def reported(text: str) -> None:
    print(f"\n{text}", flush=True)
    if REPORT:
        with open(REPORT, "a") as report:
            report.write(text + "\n")


@pytest.mark.timeout(60 + 60 * FAULTS)
@pytest.mark.parametrize(
    ("change", "plan"),
    [
        ("any", {"cut": FAULTS - FAULTS // 4, "kill": FAULTS // 4}),
        # What was read on a node that others have left may have been changed by them since: it can't be read again.
        ("blindly", {"stop": max(1, FAULTS // 10), "isolate": max(1, FAULTS // 10)}),
    ],
    ids=["kills and cuts", "stops and isolations"],
)
def test_faults(change: str, plan: dict[str, int], setting: Setting) -> None:
    setting.run(change, plan, seed=SEED, tell=reported)
