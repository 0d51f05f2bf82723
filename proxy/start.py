"""Where the command begins: so small that nobody can interrupt it before it is there.

All else takes a tenth of a second to import, and Ctrl-C within that would show where in Python it was. Who has SIGINT
ignored, as shells do for what they run in the background, keeps it so.
"""

import signal
import sys

_HEARS = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _HEARS:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Runs the command line; its exit code."""
    from proxy import cli

    if _HEARS:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
