"""Fixtures for the tests of jobs, schedules and goals."""

from pathlib import Path

import pytest

from tests.services.engine import EngineFixture, make_engine
from workbell.domain.identity.actor import Actor


@pytest.fixture
def engine(tmp_path: Path) -> EngineFixture:
    """Return an engine fixture at noon with an empty store."""
    return make_engine(tmp_path)


@pytest.fixture
def alice(engine: EngineFixture) -> Actor:
    """Return an ordinary user."""
    return engine.add_user("alice")


@pytest.fixture
def root(engine: EngineFixture) -> Actor:
    """Return a superuser."""
    return engine.add_user("root", is_super_user=True)
