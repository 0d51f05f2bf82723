"""`multiwriter demo ...`: reads the demo's own arguments and hands on to what does the work.

Exit codes: 0 done, 1 it did not work or the load saw an error, 2 wrong arguments.
"""

import argparse
import contextlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy.demo import control, load, place, up
from proxy.demo.instance import Metrics, scrape
from proxy.demo.place import Ports
from proxy.demo.processes import StartError


def main(arguments: Sequence[str]) -> int:
    """Run one of the demo's commands; `arguments` are those after `demo`."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has printed what there is to say
        return end.code if isinstance(end.code, int) else 2
    directory: Path = options.dir.resolve() if "dir" in options else place.default_directory()
    try:
        match options.command:
            case "up":
                return up.run(directory, options.port, options.http_port, options.node_ports)
            case "load":
                return load.run(place.read_ports(directory), options.clients, options.seconds)
            case "status":
                ports = place.read_ports(directory)
                print(status(scrape(ports.http), ports))
            case action:
                print(control.ask(place.control_socket(directory), action, options.node))
    except StartError as error:
        text = str(error)
        if options.command != "up" and not place.running(directory):
            text = f"no demo is running in {directory} ({text}): `make demo` or `multiwriter demo up` starts one"
        print(f"multiwriter demo: {text}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"multiwriter demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--dir", type=Path, metavar="DIR", help="where it lives (default: .demo in the source tree)")
    parser = argparse.ArgumentParser(
        prog="multiwriter demo",
        parents=[where],
        description="A Galera cluster of three on this machine with the proxy before it, for trying and breaking.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    start = commands.add_parser("up", help="start it, and end it at Ctrl-C", parents=[where], allow_abbrev=False)
    start.add_argument(
        "--port", type=_port, help=f"the endpoint's port (default: {place.PORT}, another if it is taken)"
    )
    start.add_argument("--http-port", type=_port, help=f"the metrics' port (default: {place.HTTP_PORT})")
    start.add_argument(
        "--node-ports",
        type=_port,
        metavar="FIRST",
        help=f"the first node's port, the others follow (default: {place.FIRST_NODE_PORT})",
    )
    work = commands.add_parser(
        "load", help="put work through the proxy and show what it costs", parents=[where], allow_abbrev=False
    )
    work.add_argument("--seconds", type=_positive, help="how long (default: until Ctrl-C)")
    work.add_argument(
        "--clients", type=int, default=12, choices=range(1, 501), metavar="N", help="how many (default: 12)"
    )
    for action, text in control.ACTIONS.items():
        command = commands.add_parser(action, help=text, description=text, parents=[where], allow_abbrev=False)
        command.add_argument("node", type=int, choices=range(1, place.NODES + 1), help="the node's number")
    commands.add_parser("status", help="the nodes as the proxy sees them", parents=[where], allow_abbrev=False)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no TCP port: one of 1 to 65535 is needed")
    return int(text)


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is no time in seconds: a number above 0 is needed")


def status(metrics: Metrics, ports: Ports) -> str:
    """A line for each node: its state as the proxy sees it, its connections, and its work since the proxy began."""
    lines = [f"{'node':<7}{'address':<17}{'state':<10}{'backends':>9}{'transactions':>14}{'conflicts':>11}"]
    for address, state in sorted(metrics.node_states().items()):
        backends = metrics.total("multiwriter_backends", node=address)
        transactions = metrics.total("multiwriter_transactions_total", node=address)
        conflicts = metrics.total("multiwriter_conflicts_total", node=address)
        name = ports.node_name(address)
        lines.append(f"{name:<7}{address:<17}{state:<10}{backends:>9.0f}{transactions:>14.0f}{conflicts:>11.0f}")
    retries = ", ".join(
        f"{labels.get('reason')} {labels.get('result')} {value:.0f}"
        for _, labels, value in metrics.matching("multiwriter_retries_total")
        if value
    )
    lines.append(f"retries: {retries or 'none'}")
    return "\n".join(lines)
