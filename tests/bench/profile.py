"""Where the proxy's time goes under a load: py-spy samples its stacks while sysbench works through it.

    make profile
    make profile PROFILE="--work oltp_read_write --clients 64 --prepared"

Prints which functions have the most samples, by themselves and with what they call; the folded stacks are written
beside, in the form that flame graph programs read.
"""

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.bench import sysbench
from tests.bench.endpoints import Multiwriter
from tests.bench.setting import SCHEMA, Options, Setting

SHOWN = 30


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__, allow_abbrev=False)
    parser.add_argument("--work", default="oltp_point_select", help="sysbench's script (oltp_point_select)")
    parser.add_argument("--clients", type=int, default=8, help="(8)")
    parser.add_argument("--seconds", type=int, default=10, help="of sampling (10)")
    parser.add_argument("--prepared", action="store_true", help="prepared statements instead of text")
    parser.add_argument("--native", action="store_true", help="show frames of C, too")
    parser.add_argument("--output", type=Path, default=Path(".bench/profile.folded"), help="(.bench/profile.folded)")
    options = parser.parse_args(arguments)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with Setting(Options()) as setting:
        endpoint = Multiwriter(setting.directory / "multiwriter", [node.address for node in setting.cluster])
        setting.run(endpoint)
        sampler = subprocess.Popen(
            [
                Path(sys.executable).parent / "py-spy", "record", "--pid", str(endpoint.proxy.pid), "--rate", "500",
                "--gil", "--duration", str(options.seconds), "--format", "raw", "--output", options.output,
                *(["--native"] if options.native else []),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            figures = sysbench.measure(
                endpoint,
                SCHEMA,
                options.work,
                seconds=options.seconds + 2,
                clients=options.clients,
                prepared=options.prepared,
                database=setting.database,
                rows=setting.options.rows,
            )
            said, _ = sampler.communicate(timeout=60)
        finally:
            sampler.kill()
    if sampler.returncode or not options.output.exists():
        print(said, file=sys.stderr)
        return 1
    print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    print(*table(options.output.read_text()), sep="\n")
    print(f"stacks are in {options.output}")
    return 0


def table(folded: str) -> Iterator[str]:
    """The functions with the most samples of folded stacks ("a;b;c 12"): their own, and those below them."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    total = 0
    for line in folded.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        total += int(number)
        own[frames[-1]] += int(number)
        for frame in set(frames):
            below[frame] += int(number)
    yield "  own  with  function"
    for frame, number in own.most_common(SHOWN):
        yield f"{number / total:5.1%} {below[frame] / total:5.1%}  {frame}"


if __name__ == "__main__":
    sys.exit(main())
