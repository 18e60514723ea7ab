"""Hypothesis profiles shared by all tests; JIT makes deadlines meaningless."""

import os

# Plans predict by the rates that somebody has measured here; tests know of none.
os.environ["XDG_CACHE_HOME"] = os.devnull

from hypothesis import HealthCheck, settings

settings.register_profile(
    "dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
