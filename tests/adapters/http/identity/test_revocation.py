"""Revocation across processes: immediate in the same one, within 5 s in others."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from attrs import define

from tests.services.accounts import AccountServiceSet
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.adapters.system import SystemClock, SystemRandomness, UuidIds
from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import Role, User
from workbell.ports.mail import Email
from workbell.services.identity.actor_cache import TTL
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import UserChange

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PASSWORD, NEW = "correct horse 7", "battery staple 9"
KEY = b"k" * 32
HASHER = Argon2Hasher.create(memory_kib=8, passes=1)


@define
class Clock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


class NoMail:
    def send(self, message: Email) -> None:
        """Discard the email."""


@define
class Process:
    """One process of the service; processes share only the database."""

    store: SqlStore
    login_service: LoginService
    members: AccountServiceSet

    def knows(self, token: str) -> bool:
        try:
            return bool(self.login_service.authenticate(token).user_id)
        except Unauthenticated:
            return False


def a_process(url: str, clock: Clock) -> Process:
    store = open_store(url, clock)
    identity = RegistrationService(
        store=store, clock=clock, randomness=SystemRandomness(), hasher=HASHER, mailer=NoMail()
    )
    tokens = JwtTokens.create([KEY], clock, issuer="us")
    login_service = LoginService(
        store=store, clock=clock, ids=UuidIds(), hasher=HASHER, tokens=tokens, totp=PyotpTotp()
    )
    return Process(store, login_service, AccountServiceSet.of(identity, login_service))


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'w.db'}"
    store = open_store(url, SystemClock())
    store.migrate()
    with store.begin() as tx:
        for name, role in (("ana", Role.MANAGER), ("root", Role.ADMIN)):
            tx.users.add(
                User(
                    username=name, email=f"{name}@example.org", role=role, created_at=NOON,
                    password_hash=HASHER.hash(PASSWORD), is_super_user=name == "root",
                )
            )  # fmt: skip
    store.close()
    return url


@pytest.fixture
def processes(url: str) -> Iterator[tuple[Clock, Process, Process]]:
    clock = Clock()
    here, there = a_process(url, clock), a_process(url, clock)
    yield clock, here, there
    here.store.close()
    there.store.close()


def other_login(here: Process) -> Actor:
    return here.login_service.authenticate(here.login_service.login("ana", PASSWORD).access)


def root(here: Process) -> Actor:
    return here.login_service.authenticate(here.login_service.login("root", PASSWORD).access)


DEEDS: dict[str, Callable[[Process, Actor], object]] = {
    "logout": lambda here, ana: here.login_service.logout(ana),
    "a changed password": lambda here, ana: here.members.passwords.change(
        other_login(here), PASSWORD, NEW
    ),
    "deactivation": lambda here, ana: here.members.users.change(
        root(here), ana.user_id, UserChange(is_active=False)
    ),
    "demotion": lambda here, ana: here.members.users.change(
        root(here), ana.user_id, UserChange(role=Role.MEMBER)
    ),
    "revocation": lambda here, ana: here.members.sessions.revoke(other_login(here), ana.session_id),
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=list(DEEDS))
def test_revocation_is_immediate_here_and_within_five_seconds_elsewhere(
    processes: tuple[Clock, Process, Process], deed: Callable[[Process, Actor], object]
) -> None:
    clock, here, there = processes
    token = here.login_service.login("ana", PASSWORD).access
    assert here.knows(token) and there.knows(token)
    deed(here, here.login_service.authenticate(token))
    assert not here.knows(token)
    clock.at += timedelta(seconds=5)
    assert not there.knows(token)
    assert timedelta(seconds=5) >= TTL


CHILD = """
import sys
from tests.adapters.http.identity.test_revocation import Clock, a_process
there = a_process(sys.argv[1], Clock())
for token in sys.stdin:
    print(there.knows(token.strip()), flush=True)
"""


def test_a_process_that_has_not_cached_the_token_rejects_it_immediately(url: str) -> None:
    """The cache of 5 s holds only tokens that the process has checked itself."""
    here = a_process(url, Clock())
    first, second = (here.login_service.login("ana", PASSWORD).access for _ in range(2))
    root = Path(__file__).parents[4]
    command = [sys.executable, "-c", CHILD, url]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=root) as there:
        assert there.stdin and there.stdout

        def knows(token: str) -> str:
            print(token, file=there.stdin, flush=True)
            return str(there.stdout.readline() if there.stdout else "").strip()

        assert knows(first) == "True"
        here.login_service.logout(here.login_service.authenticate(second))
        assert knows(second) == "False"
        assert knows(first) == "True"
        there.stdin.close()
    here.store.close()
