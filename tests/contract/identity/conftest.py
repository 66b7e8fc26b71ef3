"""Users whose credentials a test stores."""

from typing import Any

import pytest

from tests.contract.factories import AnyStore, a_user
from workbell.domain.identity.user import User, UserId


def person(store: AnyStore, name: str = "alice", **fields: Any) -> User:
    with store.begin() as tx:
        return tx.users.add(a_user(name, **fields))


@pytest.fixture
def people(store: AnyStore) -> tuple[UserId, UserId]:
    """Return the ids of two people, Alice's and Bob's."""
    return person(store, "alice").id, person(store, "bob").id
