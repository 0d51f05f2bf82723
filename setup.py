"""Compiles the modules that every query and every login passes through; what else the build needs to know is in
pyproject.toml.

They are typed Python, and mypyc makes them C extensions. Where there is no compiler, or with MULTIWRITER_PURE set, the
distribution is the same Python without them. An editable installation is never compiled: what is edited is what runs.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup

# All of them or none: compiled classes know each other by their layout. Those that wait (tasks, replays, what a login
# asks for beyond the usual) are left out, as they are not in a query's way, nor in that of most logins.
COMPILED = (
    "proxy/wire/compression.py",
    "proxy/wire/digest.py",
    "proxy/wire/framing.py",
    "proxy/wire/packets.py",
    "proxy/wire/prepared.py",
    "proxy/wire/proxied.py",
    "proxy/wire/replies.py",
    "proxy/ahead.py",
    "proxy/backend.py",
    "proxy/board.py",
    "proxy/causality.py",
    "proxy/channel.py",
    "proxy/cluster.py",
    "proxy/commands.py",
    "proxy/continued.py",
    "proxy/counters.py",
    "proxy/deadlines.py",
    "proxy/endpoint.py",
    "proxy/frontend.py",
    "proxy/hello.py",
    "proxy/holding.py",
    "proxy/insert_id.py",
    "proxy/late.py",
    "proxy/launch.py",
    "proxy/leaseholder.py",
    "proxy/listener.py",
    "proxy/low_water.py",
    "proxy/opening.py",
    "proxy/parked.py",
    "proxy/places.py",
    "proxy/policy.py",
    "proxy/pool.py",
    "proxy/prepared.py",
    "proxy/proof.py",
    "proxy/ready.py",
    "proxy/relay.py",
    "proxy/request.py",
    "proxy/rows.py",
    "proxy/session.py",
    "proxy/shelf.py",
    "proxy/success.py",
    "proxy/turns.py",
    "proxy/waiter.py",
    "router/causality.py",
    "router/contention.py",
    "router/digits.py",
    "router/facts.py",
    "router/journal.py",
    "router/leases.py",
    "router/lines.py",
    "router/membership.py",
    "router/openers.py",
    "router/ownership.py",
    "router/pins.py",
    "router/placement.py",
    "router/plan.py",
    "router/statements.py",
    "router/transaction.py",
)
BUILDING = {"build", "build_ext", "bdist_wheel", "install"}


def has_compiler() -> bool:
    """Can a module be made: is there a C compiler, and Python's headers?"""
    compiler = shutil.which((os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0])
    if compiler is None:
        return False
    headers = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "probe.c")
        source.write_text("#include <Python.h>\n")
        return subprocess.run([compiler, *headers, "-c", "probe.c"], cwd=directory, capture_output=True).returncode == 0


def extensions() -> list[Extension]:
    """What is to be compiled in this run, if anything."""
    if not BUILDING & set(sys.argv):
        return []  # setup.py is also run to be asked for names and versions
    if os.environ.get("MULTIWRITER_PURE"):
        return []
    if not has_compiler():
        print("no C compiler or no Python headers: the proxy is installed uncompiled", file=sys.stderr)
        return []
    from mypyc.build import mypycify

    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    found = mypycify([*options, *COMPILED], opt_level="1", debug_level="0", target_dir="build/compiling")
    for extension in found:
        # They are one library, nobody else calls them: a call from one to another needs no look-up.
        extension.extra_compile_args.append("-fvisibility=hidden")
    return found


setup(ext_modules=extensions())
