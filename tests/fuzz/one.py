"""One target under the fuzzer, until time is up or it breaks: python -m tests.fuzz.one TARGET SECONDS CORPUS ARTIFACTS.

Modules are instrumented as they are imported, so that nothing of the product may have been imported before.
"""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["proxy", "router", "config"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Does not return: the fuzzer ends the process."""
    name, seconds, corpus, artifacts = sys.argv[1:]
    options = [corpus, f"-max_total_time={seconds}", f"-artifact_prefix={artifacts}", "-timeout=20", "-max_len=4096"]
    logging.disable(logging.CRITICAL)
    atheris.Setup([name, *options, "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1"], TARGETS[name])
    atheris.Fuzz()


main()
