"""Fixtures for the tests of sending: an engine, an Admin and an account."""

from pathlib import Path

import pytest

from tests.services.delivery.sending import DeliveryFixture, make_delivery
from workbell.domain.delivery.account import Account
from workbell.domain.identity.actor import Actor


@pytest.fixture
def env(tmp_path: Path) -> DeliveryFixture:
    """Return the services of delivery at noon with an empty store."""
    return make_delivery(tmp_path)


@pytest.fixture
def admin(env: DeliveryFixture) -> Actor:
    """Return the Admin of the account."""
    return env.engine.add_user("admin")


@pytest.fixture
def account(env: DeliveryFixture, admin: Actor) -> Account:
    """Return an account without destinations."""
    return env.add_account(admin)
