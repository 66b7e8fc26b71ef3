"""Many simultaneous logins and refreshes: hashes, memory, refusals."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import Factory, define

from tests.services.accounts import AccountServiceSet
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.password_hasher import PROFILES, Argon2Hasher
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.sql.store import SqlStore
from workbell.adapters.system import SystemClock, SystemRandomness, UuidIds
from workbell.domain.errors import Unavailable, WorkbellError
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import User
from workbell.ports.mail import Email
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY = b"k" * 32


@define
class Outbox:
    messages: list[Email] = Factory(list[Email])

    def send(self, message: Email) -> None:
        self.messages.append(message)


@define
class CountingHasher:
    """A real hasher that counts its hashes."""

    real: Argon2Hasher
    hashed: int = 0
    compared: int = 0
    lock: Any = Factory(threading.Lock)

    def hash(self, password: str) -> str:
        with self.lock:
            self.hashed += 1
        return self.real.hash(password)

    def verify(self, password_hash: str, password: str) -> bool:
        with self.lock:
            self.compared += 1
        return self.real.verify(password_hash, password)

    def check_capacity(self) -> None:
        self.real.check_capacity()

    def needs_rehash(self, password_hash: str) -> bool:
        return self.real.needs_rehash(password_hash)

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        before, cost = (self.hashed, self.compared), [0, 0]
        try:
            yield cost
        finally:
            cost[:] = [self.hashed - before[0], self.compared - before[1]]


@define
class Service:
    hasher: CountingHasher
    identity: RegistrationService
    login_service: LoginService
    members: AccountServiceSet


def make_service(store: MemoryStore | SqlStore, hasher: Argon2Hasher | None = None) -> Service:
    counting = CountingHasher(hasher or Argon2Hasher.create(memory_kib=8, passes=1))
    clock = SystemClock()
    identity = RegistrationService(
        store=store, clock=clock, randomness=SystemRandomness(), hasher=counting, mailer=Outbox()
    )
    login_service = LoginService(
        store=store,
        clock=clock,
        ids=UuidIds(),
        hasher=counting,
        tokens=JwtTokens.create([KEY], clock, issuer="us"),
        totp=PyotpTotp(),
    )
    return Service(counting, identity, login_service, AccountServiceSet.of(identity, login_service))


def register(service: Service, name: str = "ana", password: str = "correct horse 7") -> User:
    new = Registration(username=name, email=f"{name}@example.com", password=password)
    return service.identity.register(new)


def test_known_and_unknown_users_cost_the_same_hashes() -> None:
    """Hashes are counted, because they take nearly all of the time."""
    service = make_service(MemoryStore(SystemClock()))
    register(service)
    register(service, "bob")
    names = ("ana@example.com", "nobody@example.com", "ana", "nobody", "", "\0", "x" * 5000)

    flows: dict[str, Callable[[str], object]] = {
        "login": lambda name: service.login_service.login(name, "wrong"),
        "opaque login": lambda name: service.login_service.login_opaque(name, "wrong"),
        "verify": lambda name: service.identity.verify_otp(name, "123456"),
        "resend": lambda name: service.identity.resend_otp(name),
        "request reset": lambda name: service.members.passwords.request_reset(name),
        "reset": lambda name: service.members.passwords.reset(name, "123456", "a good one, 77"),
    }
    for flow, call in flows.items():
        costs = set()
        for name in names:
            with service.hasher.counted() as cost, suppress(WorkbellError):
                call(name)
            costs.add(tuple(cost))
        assert len(costs) == 1, (flow, costs)
    quiet = set()
    for email in ("ana@example.com", "new@example.com", "new@example.com"):
        with service.hasher.counted() as cost:
            service.identity.register_without_disclosure(email, "a good one, 77")
        quiet.add(tuple(cost))
    assert quiet == {(2, 0)}


class FakeHasher:
    """A fake of the library's hasher that counts simultaneous hashes."""

    memory_cost, time_cost, parallelism = 8, 1, 1

    def __init__(self) -> None:
        self.lock, self.running, self.maximum = threading.Lock(), 0, 0

    def hash(self, password: bytes | str) -> str:
        return "hash"

    def verify(self, password_hash: str, password: bytes | str) -> bool:
        with self.lock:
            self.running += 1
            self.maximum = max(self.maximum, self.running)
        threading.Event().wait(0.005)
        with self.lock:
            self.running -= 1
        return True

    def check_needs_rehash(self, password_hash: str) -> bool:
        return False


def test_forty_parallel_logins_take_the_memory_of_two() -> None:
    """Hashes wait for a slot, which limits the memory."""
    fake: Any = FakeHasher()
    hasher = Argon2Hasher(fake, ThreadPoolExecutor(2), threading.BoundedSemaphore(40), 10.0)
    service = make_service(MemoryStore(SystemClock()), hasher)
    with service.identity.store.begin() as tx:
        tx.users.add(
            User(username="ana", email="a@example.com", password_hash="hash", created_at=NOON)
        )
    with ThreadPoolExecutor(40) as pool:
        user_ids = list(
            pool.map(lambda _: service.login_service.login("ana", "x").user.id, range(40))
        )
    assert len(user_ids) == 40
    assert fake.maximum == 2


def test_a_hash_that_waits_too_long_is_refused_with_retry_after() -> None:
    fake: Any = FakeHasher()
    hasher = Argon2Hasher(fake, ThreadPoolExecutor(1), threading.BoundedSemaphore(20), 0.01)
    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(lambda _: _outcome(hasher), range(20)))
    assert True in outcomes
    assert any(isinstance(outcome, float) and outcome > 0 for outcome in outcomes)


def _outcome(hasher: Argon2Hasher) -> object:
    try:
        return hasher.verify("hash", "x")
    except Unavailable as error:
        return error.retry_after


@pytest.mark.parametrize("name", list(PROFILES))
def test_every_profile_is_strong_enough(name: str) -> None:
    """At least the minimum of OWASP's Password Storage Cheat Sheet."""
    profile = PROFILES[name]
    assert (profile.memory_kib >= 19 * 1024 and profile.passes >= 2) or (
        profile.memory_kib >= 46 * 1024
    )


def test_a_hash_of_another_profile_needs_a_rehash() -> None:
    weak, owasp = Argon2Hasher.create(memory_kib=8, passes=1), Argon2Hasher.from_profile("owasp")
    old, new = weak.hash("p"), owasp.hash("p")
    assert new.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert owasp.verify(old, "p")
    assert owasp.needs_rehash(old)
    assert not owasp.needs_rehash(new)
    with pytest.raises(KeyError):
        Argon2Hasher.from_profile("md5")
