"""What every test relies on."""

import os

from hypothesis import settings

# in CI the same examples every time: what fails there fails here, with CI=true
settings.register_profile("workbell", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("workbell")
