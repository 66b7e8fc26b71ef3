"""Account use cases retry transactions that lost to another one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import define, field

from tests.services.accounts import PASSWORD, AccountFixture, AccountServiceSet, Numbers
from tests.services.registration import Clock, FixedRandomness, Hasher, Outbox
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.domain.errors import Contended
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import KeyScope, Tier
from workbell.domain.rate_limits.policy import Policies
from workbell.services.identity.login import LoginService
from workbell.services.identity.profiles import ProfileChange
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import UserChange
from workbell.services.rate_limits import RateLimiting

NO_LIMITS = Policies.of(anonymous=None, user=None, login=None, ingest=None, free=None, premium=None)
NEW = "battery staple 9"


@define
class ConflictStore:
    """A store that rolls back one chosen transaction as a lost conflict."""

    store: MemoryStore
    conflict_at: int
    transactions: int = field(default=0, init=False)

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Iterator[Any]:
        self.transactions += 1
        with self.store.begin() as tx:
            yield tx
            if self.transactions == self.conflict_at:
                raise Contended

    def view(self) -> Any:
        return self.store.view()


def run(
    use_case: Callable[[AccountFixture], object], conflict_at: int = 0
) -> tuple[int, list[str], list[str]]:
    """Return the number of transactions, the audit actions and recipients."""
    clock = Clock()
    plain = MemoryStore(clock)
    hasher, outbox, store = Hasher(plain), Outbox(), ConflictStore(plain, conflict_at)
    identity = RegistrationService(
        store=store, clock=clock, randomness=FixedRandomness(), hasher=hasher, mailer=outbox
    )
    login_service = LoginService(
        store=store,
        clock=clock,
        ids=Numbers(),
        hasher=hasher,
        tokens=JwtTokens.create([b"k" * 32], clock, issuer="us"),
        totp=PyotpTotp(),
        rate_limits=RateLimiting(
            store=store, limiter=MemoryRateLimiter(), clock=clock, policies=NO_LIMITS
        ),
    )
    services = AccountServiceSet.of(identity, login_service)
    accounts = AccountFixture(clock, plain, hasher, outbox, identity, login_service, services)
    accounts.join("ana")
    accounts.join("root", is_super_user=True)
    use_case(accounts)
    return store.transactions, accounts.actions(), [message.to for message in outbox.messages]


DEEDS: dict[str, Callable[[AccountFixture], object]] = {
    "register": lambda on: on.identity.register(
        Registration(username="new", email="new@example.com", password=NEW)
    ),
    "register quietly": lambda on: on.identity.register_without_disclosure("new@example.com", NEW),
    "resend": lambda on: on.identity.resend_otp("ana@example.com"),
    "login": lambda on: on.login(),
    "change a password": lambda on: on.services.passwords.change(on.ana(), PASSWORD, NEW),
    "ask for a reset": lambda on: on.services.passwords.request_reset("ana@example.com"),
    "change a profile": lambda on: on.services.profiles.change(
        on.ana(), ProfileChange(first_name="Ana")
    ),
    "change address and password": lambda on: on.services.profiles.change(
        on.ana(), ProfileChange(email="b@example.com", password=NEW, current_password=PASSWORD)
    ),
    "change a person": lambda on: on.services.users.change(
        on.actor(on.login("root")), on.user("ana").id, UserChange(tier=Tier.PREMIUM)
    ),
    "sign somebody out": lambda on: on.services.users.sign_out(
        on.actor(on.login("root")), on.user("ana").id
    ),
    "make a key": lambda on: on.services.api_keys.create(on.ana(), "key", [KeyScope.READ]),
}


def reset(on: AccountFixture) -> None:
    on.services.passwords.request_reset("ana@example.com")
    on.services.passwords.reset("ana@example.com", on.outbox.code(), NEW)


def verify(on: AccountFixture) -> None:
    on.identity.resend_otp("ana@example.com")
    on.identity.verify_otp("ana@example.com", on.outbox.code())


@pytest.mark.parametrize(
    "use_case", [*DEEDS.values(), reset, verify], ids=[*DEEDS, "reset", "verify"]
)
def test_each_lost_transaction_is_retried_and_applied_once(
    use_case: Callable[[AccountFixture], object],
) -> None:
    times, actions, recipients = run(use_case)
    assert times >= 1
    for lost in range(1, times + 1):
        assert run(use_case, conflict_at=lost) == (times + 1, actions, recipients), lost
