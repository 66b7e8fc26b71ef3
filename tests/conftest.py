"""Settings of all tests."""

import os

from hypothesis import settings

# in CI the examples are deterministic: reproduce a failure with CI=true
settings.register_profile("workbell", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("workbell")
