"""Settings shared by all tests: reproducible property tests, and how many cases they look at."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ordinary", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("ordinary")
os.environ.setdefault("OMP_NUM_THREADS", "1")
