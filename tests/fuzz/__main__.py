"""Runs the targets under a fuzzer that is guided by coverage (atheris), each in a process of its own.

An input that breaks one is put into found/ beside this file, where it is a test of every run from then on. The corpus
with which coverage was found stays in .fuzz/, so that the next run goes on from there.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.fuzz.test_fuzz import FOUND, USUAL

CORPUS = Path(".fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("-s", "--seconds", type=int, default=60, help="time for each (default: %(default)s)")
    options = parser.parse_args()
    if unknown := sorted(set(options.targets) - set(TARGETS)):
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    broken = [name for name in options.targets or TARGETS if not survives(name, options.seconds)]
    print(f"broken: {', '.join(broken)}; the inputs are in {FOUND}" if broken else "nothing broke", flush=True)
    return bool(broken)


def survives(name: str, seconds: int) -> bool:
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(exist_ok=True)
    for number, usual in enumerate(USUAL[name]):
        (corpus / f"usual-{number}").write_bytes(usual)
    print(f"{name}: {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(seconds), str(corpus), f"{FOUND}/{name}-"]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
