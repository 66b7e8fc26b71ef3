"""What every test relies on."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from workbell.adapters.cpu_affinity import PROCESSORS

# in CI the same examples every time: what fails there fails here, with CI=true
settings.register_profile("workbell", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("workbell")


@pytest.fixture(autouse=True)
def everywhere() -> Iterator[None]:
    """Let a test's own thread, which may have answered while others hashed, run anywhere again."""
    yield
    if sys.platform == "linux":
        os.sched_setaffinity(0, PROCESSORS.everywhere)
    PROCESSORS._threads.away = False
