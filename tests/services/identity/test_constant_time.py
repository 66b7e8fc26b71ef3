"""Responses that must not reveal whether a user exists take constant time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
from attrs import define, evolve, field

from tests.services.accounts import AccountFixture, AccountServiceSet, make_accounts
from workbell.domain.errors import WorkbellError
from workbell.domain.identity.user import WrongCredentials
from workbell.services.identity.registration import RegistrationService

NEW = "a good one, 77"


@define
class TimingBlocks:
    """Counts `min_duration` blocks, and knows whether one is active."""

    blocks: int = 0
    within: bool = False

    @contextmanager
    def min_duration(self) -> Iterator[None]:
        self.blocks, self.within = self.blocks + 1, True
        try:
            yield
        finally:
            self.within = False


@define
class RecordingStore:
    """A store and mailer that record their calls outside of such a block."""

    store: Any
    timing: TimingBlocks
    outside: list[str] = field(factory=list[str])

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[Any]:
        self._note("begin")
        return self.store.begin(single_statement=single_statement)  # type: ignore[no-any-return]

    def view(self) -> AbstractContextManager[Any]:
        self._note("view")
        return self.store.view()  # type: ignore[no-any-return]

    def send(self, message: Any) -> None:
        self._note("send")

    def _note(self, what: str) -> None:
        if not self.timing.within:
            self.outside.append(what)


Flow = Callable[[RegistrationService, AccountServiceSet, str], object]
FLOWS: dict[str, Flow] = {
    "register": lambda identity, _, email: identity.register_without_disclosure(email, NEW),
    "resend": lambda identity, _, email: identity.resend_otp(email),
    "verify": lambda identity, _, email: identity.verify_otp(email, "123456"),
    "ask for a reset": lambda _, services, email: services.passwords.request_reset(email),
    "reset": lambda _, services, email: services.passwords.reset(email, "123456", NEW),
}


@pytest.fixture
def accounts() -> AccountFixture:
    accounts = make_accounts("ana")
    accounts.join("vera", is_email_verified=True)
    accounts.join("off", is_active=False)
    return accounts


@pytest.mark.parametrize("flow", FLOWS.values(), ids=list(FLOWS))
def test_work_that_depends_on_the_user_has_a_minimum_duration(
    accounts: AccountFixture, flow: Flow
) -> None:
    """Equally many blocks for all users; outside there is one hash each."""
    blocks = set()
    for name in ("ana", "vera", "off", "nobody", "ana"):
        timing = TimingBlocks()
        recorder: Any = RecordingStore(accounts.store, timing)
        identity = evolve(
            accounts.identity,
            store=recorder,
            background_mailer=recorder,
            min_duration=timing.min_duration,
        )
        before = accounts.hasher.hashed, len(accounts.hasher.compared)
        with suppress(WorkbellError):
            flow(
                identity,
                AccountServiceSet.of(identity, accounts.login_service),
                f"{name}@example.com",
            )
        assert recorder.outside == []
        hashes = accounts.hasher.hashed - before[0], len(accounts.hasher.compared) - before[1]
        blocks.add((timing.blocks, *hashes))
    assert len(blocks) == 1


def test_a_failed_login_is_recorded_within_the_minimum_duration(accounts: AccountFixture) -> None:
    for name in ("ana", "off", "nobody", "ana"):
        timing = TimingBlocks()
        recorder: Any = RecordingStore(accounts.store, timing)
        login_service = evolve(
            accounts.login_service, store=recorder, min_duration=timing.min_duration
        )
        with pytest.raises(WrongCredentials):
            login_service.login(name, "wrong")
        assert (recorder.outside, timing.blocks) == (["view"], 1)
