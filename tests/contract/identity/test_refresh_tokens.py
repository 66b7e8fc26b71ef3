"""Parallel token refresh on every store."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.contract.factories import NOON, AnyStore, ManualClock
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.system import UuidIds
from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.user import User
from workbell.services.identity.login import LoginService, TokenLogin

PASSWORD = "correct horse 7"
HASHER = Argon2Hasher.create(memory_kib=8, passes=1)


def a_process(store: AnyStore, clock: ManualClock) -> LoginService:
    tokens = JwtTokens.create([b"k" * 32], clock, issuer="us")
    return LoginService(
        store=store, clock=clock, ids=UuidIds(), hasher=HASHER, tokens=tokens, totp=PyotpTotp()
    )


def signed_in(process: LoginService) -> TokenLogin:
    with process.store.begin() as tx:
        tx.users.add(
            User(
                username="ana", email="ana@example.org", created_at=NOON,
                password_hash=HASHER.hash(PASSWORD),
            )
        )  # fmt: skip
    return process.login("ana", PASSWORD)


def test_fifty_refreshes_of_one_token_have_one_successor(
    store: AnyStore, clock: ManualClock
) -> None:
    """By two processes at once: each has caches of its own."""
    here, there = a_process(store, clock), a_process(store, clock)
    first = signed_in(here)
    with ThreadPoolExecutor(25) as pool:
        pairs = list(pool.map(lambda one: one.refresh(first.refresh), [here, there] * 25))
    (pair,) = {(one.access, one.refresh) for one in pairs}
    session = here.authenticate(pair[0]).session_id
    with store.view() as tx:
        alive = tx.sessions.list_for_user(first.user.id, clock.now())
        refreshed = [one for one in tx.audit.latest(limit=100) if one.action == "REFRESH"]
    assert [one.id for one in alive] == [session]
    assert len(refreshed) == 1
    assert there.refresh(pair[1]).refresh != pair[1]


def test_reusing_an_old_token_revokes_its_family(store: AnyStore, clock: ManualClock) -> None:
    here, there = a_process(store, clock), a_process(store, clock)
    first = signed_in(here)
    second = here.refresh(first.refresh)
    clock.at += timedelta(seconds=11)

    def stolen(one: LoginService) -> bool:
        with pytest.raises(Unauthenticated):
            one.refresh(first.refresh)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(stolen, [here, there] * 4))
    for one in (here, there):
        with pytest.raises(Unauthenticated):
            one.refresh(second.refresh)
        with pytest.raises(Unauthenticated):
            one.authenticate(second.access)
