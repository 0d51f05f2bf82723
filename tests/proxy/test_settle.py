"""What is left for after the start, and what the garbage collector is told."""

import subprocess
import sys

CODE = """
import asyncio, gc, sys
gc.disable()
from proxy import settle
kept = [[] for _ in range(1000)]
settle.started()
assert gc.isenabled() and gc.get_threshold()[0] == settle.GARBAGE
assert gc.get_freeze_count() > 1000
assert "sqlglot" not in sys.modules
before = gc.get_freeze_count()
asyncio.run(settle.complete())
assert "sqlglot" in sys.modules
assert gc.get_freeze_count() > before
"""


def test_what_was_left_out_of_the_start_is_imported_behind_it() -> None:
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
