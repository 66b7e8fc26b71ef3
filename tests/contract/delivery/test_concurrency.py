"""Accounts under concurrent requests: an Admin remains, no change is lost."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest

from tests.contract.delivery.rows import Tenant, a_membership
from tests.contract.factories import AnyStore, ManualClock, a_user
from tests.services.delivery_accounts import RecordingWebhookClient
from tests.services.registration import Outbox
from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.system import SystemRandomness
from workbell.domain.delivery.account import AccountRole
from workbell.domain.errors import Conflict, StaleVersion
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.user import User
from workbell.services.delivery.destinations import DestinationService
from workbell.services.delivery.members import MemberService
from workbell.services.delivery.requests import Invitation, RoleChange
from workbell.services.delivery.secrets import DeliverySecrets
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.identity.one_time_codes import OneTimeCodeService
from workbell.services.identity.users import UserAdministration

CROWD = 8
T = TypeVar("T")


def at_once(work: Callable[[int], T]) -> list[T | type[Exception]]:
    """Return what threads that begin together get, or the class of a Conflict."""
    barrier = Barrier(CROWD)

    def one(number: int) -> T | type[Exception]:
        barrier.wait(10)
        try:
            return work(number)
        except Conflict as error:
            return type(error)

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(one, range(CROWD)))


@pytest.fixture
def members(store: AnyStore, clock: ManualClock) -> MemberService:
    hasher = Argon2Hasher.create(memory_kib=8, passes=1, slots=CROWD)
    codes = OneTimeCodeService(
        store=store, clock=clock, randomness=SystemRandomness(), hasher=hasher
    )
    people = UserAdministration(codes=codes, mailer=Outbox(), actor_cache=ActorCache())
    return MemberService(store=store, clock=clock, people=people)


@pytest.fixture
def admins(store: AnyStore, ann: Tenant) -> Sequence[User]:
    """Return the Admins of Ann's account, one for each thread."""
    with store.begin() as tx:
        others = [tx.users.add(a_user(f"admin{number}")) for number in range(1, CROWD)]
        for user in others:
            tx.memberships.add(a_membership(ann.account, user, role=AccountRole.ADMIN))
    return [ann.user, *others]


def test_of_admins_who_leave_or_step_down_at_once_one_remains(
    store: AnyStore, ann: Tenant, members: MemberService, admins: Sequence[User]
) -> None:
    def go(number: int) -> None:
        actor, account_id = Actor.of(admins[number]), ann.account.id
        if number % 2:
            members.remove(actor, account_id, actor.user_id)
        else:
            members.change_role(actor, account_id, actor.user_id, RoleChange(role=2))

    assert at_once(go).count(Conflict) == 1
    with store.view() as tx:
        assert tx.memberships.count_admins(ann.account.id) == 1


def test_an_address_that_is_invited_at_once_becomes_one_user_and_one_member_of_each_account(
    store: AnyStore, ann: Tenant, ben: Tenant, members: MemberService
) -> None:
    tenants = (ann, ben)

    def invite(number: int) -> bool:
        tenant, invitation = tenants[number % 2], Invitation(email="new@example.com")
        return members.invite(Actor.of(tenant.user), tenant.account.id, invitation)[1]

    results = at_once(invite)
    assert [results.count(each) for each in (True, False, Conflict)] == [1, 1, CROWD - 2]
    with store.view() as tx:
        user = tx.users.by_email("new@example.com")
        assert user is not None
        assert all(tx.memberships.find(each.account.id, user.id) for each in tenants)


def test_of_changes_to_one_version_one_is_stored(
    store: AnyStore, clock: ManualClock, ann: Tenant
) -> None:
    destinations = DestinationService(
        store=store,
        clock=clock,
        secrets=DeliverySecrets(
            randomness=SystemRandomness(), box=SodiumSecretBox.create([b"k" * 32])
        ),
        client=RecordingWebhookClient(),
        serializer=JsonSerializer(),
    )
    with store.view() as tx:
        (before,) = tx.destinations.all_of(ann.account.id)
    nor = Actor.of(_join(store, ann))

    def change(number: int) -> int:
        updates = {"concurrency": number + 10}
        return destinations.change(nor, before.id, updates, version=1).destination.concurrency

    results = at_once(change)
    assert results.count(StaleVersion) == CROWD - 1
    with store.view() as tx:
        after = tx.destinations.get(ALL_OWNERS, before.id)
    assert (after.version, after.concurrency in results) == (2, True)


def _join(store: AnyStore, tenant: Tenant) -> User:
    """Add a Normal user, because the secrets of these rows cannot be decrypted."""
    with store.begin() as tx:
        user = tx.users.add(a_user("nor"))
        tx.memberships.add(a_membership(tenant.account, user, role=AccountRole.NORMAL))
    return user
