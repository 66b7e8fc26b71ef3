"""What every test relies on."""

from hypothesis import settings

settings.register_profile("workbell", deadline=None)
settings.load_profile("workbell")
