"""How many instructions the relay takes for a command, by callgrind: the same on a busy machine as on a quiet one.

    make instructions                              count, and record the figures in instructions.json
    .venv/bin/python -m tests.bench.instructions   count, and fail if one is more than 3 % above the recorded one

A figure is relative to a loop in plain Python that is counted in the same run, and recorded by version, architecture,
and whether the hot modules are compiled. Even so it holds for one build of Python only: those of two distributions were
6 to 13 % apart. Where nothing is recorded for a version, figures are only printed.
"""

import argparse
import ctypes
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE / "instructions.json"
TOLERANCE = 0.03
WARM = 20  # times that each conversation is held before: caches are full, and the interpreter has specialised its code
REFERENCE = "reference"


# -- what is counted, in a process under callgrind --------------------------------------------------------------------


class Thing:
    """What the reference loop works on: attributes, methods, dictionaries, bytes, as the relay's own code does."""

    __slots__ = ("counts", "data", "number")

    def __init__(self) -> None:
        self.number = 0
        self.data = b"0123456789" * 12
        self.counts: dict[str, int] = {"a": 0, "b": 0}

    def step(self, key: str) -> int:
        self.counts[key] += 1
        head = self.data[:4] + self.data[8:]
        self.number += len(head) + head[3]
        return int.from_bytes(head[:2], "little") if self.number else 0


def reference(times: int) -> None:
    thing = Thing()
    for _ in range(times):
        thing.step("a")
        thing.step("b")


def count(library: str) -> None:
    """Hold the conversations, telling callgrind when to count which."""
    import gc

    from tests.bench.conversations import CONVERSATIONS, Conversation, Script
    from tests.proxy.scripted import Stage

    counting = ctypes.CDLL(library)
    reference(200)
    counting.begin()
    reference(200)
    counting.end(REFERENCE.encode())
    for name, script in CONVERSATIONS.items():
        stage = Stage(endpoint={"placement": "adaptive"})
        stage.service.cluster._chance.seed(0)
        conversation = Conversation(stage, script)

        def held(conversation: Conversation = conversation, script: Script = script, name: str = name) -> None:
            conversation.run(WARM)
            # Where the collector would run depends on how many objects there were before.
            gc.collect()
            gc.disable()
            before = conversation.replies
            counting.begin()
            conversation.run(script.times)
            counting.end(name.encode())
            gc.enable()
            assert conversation.replies - before >= script.times * len(conversation._rounds), "a turn was not answered"

        stage.clock.does(held)
        stage.leave()
        stage.close()


# -- counting ---------------------------------------------------------------------------------------------------------


def measured() -> dict[str, float]:
    """Instructions by command of each conversation, divided by those of one turn of the reference loop."""
    from tests.bench.conversations import CONVERSATIONS

    with tempfile.TemporaryDirectory(prefix="multiwriter-instructions-") as name:
        directory = Path(name)
        library = directory / "counting.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, HERE / "counting.c"], check=True)
        # Nothing of the surroundings but what finds the programs: names and their hashes must not differ.
        environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        done = subprocess.run(
            [
                "valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-instr=no", "--dump-line=no",
                f"--callgrind-out-file={directory}/out", sys.executable, *(["-P"] if sys.flags.safe_path else []),
                "-m", "tests.bench.instructions", "--count", str(library),
            ],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        totals: dict[str, int] = {}
        for path in directory.glob("out.*"):
            text = path.read_text()
            what = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
            if what and total:
                totals[what[1]] = int(total[1])
    one = totals[REFERENCE] / 200
    print(f"reference: {one:.0f} instructions")
    found = {}
    for name, script in CONVERSATIONS.items():
        by_command = totals[name] / script.times / len(script.turns)
        print(f"{name}: {by_command:.0f} instructions by command")
        found[name] = by_command / one
    return found


def build() -> str:
    """What figures are comparable with: version, architecture, and whether the relay is compiled."""
    import proxy.relay

    how = "plain" if str(proxy.relay.__file__).endswith(".py") else "compiled"
    return f"{platform.python_implementation()} {platform.python_version()} {platform.machine()} {how}"


def verdict(recorded: Mapping[str, float] | None, found: Mapping[str, float]) -> list[str]:
    """What is wrong, line by line."""
    if recorded is None:
        return []
    faults = [
        f"{name}: {found[name]:.3f}, {found[name] / recorded[name] - 1:+.1%} of the recorded {recorded[name]:.3f}"
        for name in found
        if name in recorded and found[name] > recorded[name] * (1 + TOLERANCE)
    ]
    differing = found.keys() ^ recorded.keys()
    return faults + [f"{name}: not in both, count and record" for name in sorted(differing)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "", allow_abbrev=False)
    parser.add_argument("--record", action="store_true", help="record what is counted")
    parser.add_argument("--count", metavar="LIBRARY", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.count:
        count(options.count)
        return 0
    found = measured()
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    ours = recorded.get(build())
    for name, value in found.items():
        of = f" ({value / ours[name] - 1:+.1%})" if ours and name in ours else ""
        print(f"{name}: {value:.3f} times the reference{of}")
    if options.record:
        recorded[build()] = {name: round(value, 3) for name, value in found.items()}
        RECORDED.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
        print(f"recorded for {build()}")
        return 0
    if ours is None:
        print(f"nothing is recorded for {build()}: `make instructions` does")
    faults = verdict(ours, found)
    if faults:
        print(f"more instructions than recorded, by more than {TOLERANCE:.0%}:", *faults, sep="\n  ", file=sys.stderr)
        print("if that is meant, record it: make instructions", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
