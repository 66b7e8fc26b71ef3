"""The desk that every suite of the services works at."""

from pathlib import Path

import pytest

from tests.services.desk import Desk, a_desk
from workbell.domain.identity.actor import Actor


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk at noon on which nothing has been done yet."""
    return a_desk(tmp_path)


@pytest.fixture
def alice(desk: Desk) -> Actor:
    """Return an ordinary user."""
    return desk.person("alice")


@pytest.fixture
def root(desk: Desk) -> Actor:
    """Return a superuser."""
    return desk.person("root", is_super_user=True)
