"""The command line of the benchmark: which cases, how long, where to write."""

import argparse
import os
import sys
from pathlib import Path

import pymysql

from proxy.demo.galera import Cluster
from proxy.demo.processes import StartError
from tests import test_docs
from tests.bench import endpoints, plot, report
from tests.bench.cases import CASES
from tests.bench.results import Results
from tests.bench.setting import Options, Setting
from tests.bench.sysbench import Failed

OUTPUT = Path(".bench")
PUBLISHED = Path("docs/bench.json")


def main(arguments: list[str] | None = None, cluster: Cluster | None = None) -> int:
    """`cluster` is one that runs already; otherwise one is started.

    Exit code 0 when all cases were measured, 1 when one failed, 2 for wrong options."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        for case in CASES.values():
            print(f"{case.name:24} {case.shows}")
        return 0
    chosen = options.only.split(",") if options.only else list(CASES)
    if unknown := [name for name in chosen if name not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    with Setting(_options(parser, options), running_cluster=cluster) as setting:
        failed = []
        for name in chosen:
            try:
                CASES[name].run(setting)
            except (Failed, StartError, pymysql.MySQLError) as error:
                # The others can be measured all the same.
                failed.append(name)
                print(f"{name} failed: {error}", file=sys.stderr)
    print(report.tables(setting.results))
    results = setting.results
    if options.publish and results.measurements:
        # Cases that were not measured now keep the figures that they had.
        results = results.over(Results.read(PUBLISHED)) if PUBLISHED.exists() else results
        results.write(PUBLISHED)
        plot.draw(results, PUBLISHED.with_suffix(".png"))
        test_docs.write()
        print(f"written to {PUBLISHED} and the documents that show it")
    path = options.output / "results.json"
    results.write(path)
    drawn = plot.draw(results, path.with_suffix(".png"))
    print(f"written to {path}{' and, drawn, beside it' if drawn else ''}")
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    usual = Options()
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument("--only", metavar="CASE,...", help="these cases")
    parser.add_argument("--rounds", type=int, default=None, help=f"rounds of each case ({usual.rounds})")
    parser.add_argument("--seconds", type=float, default=None, help=f"of each measurement ({usual.seconds:g})")
    parser.add_argument("--clients", type=_numbers, default=None, metavar="N,...", help="of sysbench (1,8,64)")
    parser.add_argument("--mode", choices=("text", "prepared"), help="of sysbench's statements (both)")
    parser.add_argument("--endpoints", metavar="NAME,...", help=f"which ({','.join(usual.endpoints)})")
    parser.add_argument("--nodes", type=int, default=usual.nodes, help=f"real nodes of the cluster ({usual.nodes})")
    parser.add_argument("--many", type=int, default=None, help=f"clients where there are many ({usual.many})")
    for name in endpoints.BINARIES:
        variable = name.upper()
        parser.add_argument(
            f"--{name}", default=os.environ.get(variable) or None, metavar="PATH", help=f"its binary (${variable})"
        )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT,PID,...",
        help="one more endpoint, which runs already, and the processes whose CPU time is its own",
    )
    parser.add_argument("--publish", action="store_true", help="put what is measured into the documents")
    parser.add_argument("--short", action="store_true", help="a second each: shows that it works, measures nothing")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIRECTORY", help=f"for results ({OUTPUT})")
    return parser


def _options(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Options:
    usual = Options(rounds=1, seconds=1, clients=(2,), rows=100, many=50, short=True) if given.short else Options()
    try:
        also = tuple(endpoints.foreign(text) for text in given.also)
    except ValueError as error:
        parser.error(str(error))
    names = tuple(given.endpoints.split(",")) if given.endpoints else usual.endpoints
    for name in names:
        if name not in Options().endpoints:
            parser.error(f"there is no endpoint {name}, but {', '.join(Options().endpoints)}")
    return Options(
        rounds=given.rounds or usual.rounds,
        seconds=given.seconds or usual.seconds,
        clients=given.clients or usual.clients,
        modes=(given.mode,) if given.mode else usual.modes,
        nodes=given.nodes,
        rows=usual.rows,
        many=given.many or usual.many,
        endpoints=names,
        binaries={name: path for name in endpoints.BINARIES if (path := getattr(given, name))},
        also=also,
        short=given.short,
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
