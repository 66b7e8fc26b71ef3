"""Use cases of accounts retry transactions that lost to another one."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.services.delivery_accounts import DeliveryAccountFixture, make_delivery_accounts
from tests.services.registration import CLIENT
from tests.services.test_concurrent_changes import ConflictStore
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.identity.registration import Registration
from workbell.services.delivery.requests import (
    Invitation,
    NewAccount,
    NewDestination,
    NewMember,
    RoleChange,
)

UseCase = Callable[[DeliveryAccountFixture], object]
ACCOUNT, DESTINATION = AccountId(1), DestinationId(1)
INVITATION = Invitation(email="new@example.com")
REGISTRATION = Registration(email="new@example.com", password="a good one, 7")

DEEDS: dict[str, UseCase] = {
    "create": lambda on: on.accounts.create(on.actor("ana"), NewAccount(name="Shop")),
    "rename": lambda on: on.accounts.rename(on.actor("ana"), ACCOUNT, NewAccount(name="Store")),
    "rotate a token": lambda on: on.accounts.rotate_token(on.actor("ana"), ACCOUNT),
    "delete": lambda on: on.accounts.delete(on.actor("ana"), ACCOUNT),
    "register": lambda on: on.users.register(REGISTRATION, CLIENT),
    "add a member": lambda on: on.members.add(on.actor("ana"), ACCOUNT, NewMember(user=3)),
    "invite": lambda on: on.members.invite(on.actor("ana"), ACCOUNT, INVITATION),
    "change a role": lambda on: on.members.change_role(
        on.actor("ana"), ACCOUNT, on.actor("nor").user_id, RoleChange(role=1)
    ),
    "leave": lambda on: on.members.remove(on.actor("nor"), ACCOUNT, on.actor("nor").user_id),
    "add a destination": lambda on: on.destinations.create(
        on.actor("ana"), ACCOUNT, NewDestination(url="https://example.com/")
    ),
    "pause": lambda on: on.destinations.change(on.actor("ana"), DESTINATION, {"is_active": False}),
    "enable": lambda on: on.destinations.enable(on.actor("ana"), DESTINATION),
    "rotate a secret": lambda on: on.destinations.rotate_secret(on.actor("ana"), DESTINATION),
    "delete a destination": lambda on: on.destinations.delete(on.actor("ana"), DESTINATION),
}


def run(use_case: UseCase, conflict_at: int = 0) -> tuple[int, list[str], int]:
    """Return the numbers of transactions, and of emails, and the audit actions."""
    stores: list[ConflictStore] = []

    def wrap(store: Any) -> ConflictStore:
        stores.append(ConflictStore(store, conflict_at=0))
        return stores[0]

    env = make_delivery_accounts(wrap)
    account = env.account("ana", "nor").account
    env.actor("bob")
    env.destination(account)
    (store,) = stores
    store.transactions, store.conflict_at = 0, conflict_at
    use_case(env)
    emails = len(env.jobs("email.send")) + len(env.people.outbox.messages)
    return store.transactions, env.people.actions(), emails


@pytest.mark.parametrize("use_case", DEEDS.values(), ids=DEEDS)
def test_each_lost_transaction_is_retried_and_applied_once(use_case: UseCase) -> None:
    times, actions, emails = run(use_case)
    assert times == 1
    assert run(use_case, conflict_at=1) == (2, actions, emails)
