"""Fixture for tests of registration: store, clock, hasher and outbox."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define, evolve, field

from workbell.adapters.memory.store import MemoryStore
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import WorkbellError
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import User
from workbell.ports.mail import Email
from workbell.services.identity.registration import RegistrationService

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
CLIENT = ClientInfo(request_id="r", address="192.0.2.1", user_agent="test")
ANA = "ana@example.com"


@define
class Clock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@define
class FixedRandomness:
    last: int = 111110

    def randbelow(self, bound: int) -> int:
        self.last += 1
        return self.last % bound

    def uniform(self, low: float, high: float) -> float:
        return low


@define
class Hasher:
    """Fake hasher that counts calls, and may run a callback during a hash."""

    store: MemoryStore
    hashed: int = 0
    compared: list[str] = field(factory=list)
    during_hash: list[Callable[[], object]] = field(factory=list)

    def hash(self, password: str) -> str:
        self.hashed += 1
        self._outside_a_transaction()
        return f"hash of {password}"

    def verify(self, password_hash: str, password: str) -> bool:
        self.compared.append(password_hash)
        self._outside_a_transaction()
        return password_hash == f"hash of {password}"

    def check_capacity(self) -> None:
        pass

    def needs_rehash(self, password_hash: str) -> bool:
        return False

    def _outside_a_transaction(self) -> None:
        with self.store.begin():  # raises within another
            pass
        while self.during_hash:
            self.during_hash.pop()()


@define
class Outbox:
    messages: list[Email] = field(factory=list)
    fails_with: WorkbellError | None = None

    def send(self, message: Email) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.messages.append(message)

    def code(self) -> str:
        [code] = re.findall(r"\b\d{6}\b", self.messages[-1].text)
        return str(code)


@define
class RegistrationFixture:
    clock: Clock
    store: MemoryStore
    hasher: Hasher
    outbox: Outbox
    identity: RegistrationService

    def register(self, **fields: Any) -> User:
        values: dict[str, Any] = {"email": ANA, "password": "correct horse", "username": "ana"}
        return self.identity.register(Registration(**(values | fields)), CLIENT)

    def audit(self) -> list[AuditEntry]:
        with self.store.view() as tx:
            return list(reversed(tx.audit.latest(limit=100)))

    def actions(self) -> list[str]:
        return [entry.action for entry in self.audit()]

    def change(self, user: User, **fields: Any) -> User:
        with self.store.begin() as tx:
            changed = evolve(tx.users.get(user.id), **fields)
            tx.users.replace(changed)
        return changed

    def user(self, identifier: str) -> User | None:
        with self.store.view() as tx:
            return tx.users.by_login(identifier)


def make_registration() -> RegistrationFixture:
    """Return a fixture with an empty store."""
    clock = Clock()
    store = MemoryStore(clock)
    hasher, outbox = Hasher(store), Outbox()
    identity = RegistrationService(
        store=store, clock=clock, randomness=FixedRandomness(), hasher=hasher, mailer=outbox
    )
    return RegistrationFixture(clock, store, hasher, outbox, identity)
