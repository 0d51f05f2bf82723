"""Settings that every test runs under."""

import os

from hypothesis import HealthCheck, settings

# A few dozen examples find what a parser gets wrong at a boundary; a deadline would measure the machine, not the code.
settings.register_profile("default", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A failure on the continuous integration's machine must be the same failure here.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
