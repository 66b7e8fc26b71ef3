"""Accounts of two users, for the services of identity."""

import pytest

from tests.services.accounts import AccountFixture, make_accounts


@pytest.fixture
def accounts() -> AccountFixture:
    """Return services and the users ana and bob."""
    return make_accounts("ana", "bob")
