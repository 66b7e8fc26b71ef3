"""Login, token refresh and authentication."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, evolve, field

from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.session import Claims, Session, TokenKind
from workbell.domain.identity.user import EmailNotVerified, User, UserId, WrongCredentials
from workbell.domain.rate_limits.policy import Policies, RateLimited
from workbell.services.identity.login import LoginService, TokenLogin
from workbell.services.rate_limits import RateLimiting

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
CLIENT = ClientInfo(request_id="r", address="192.0.2.1", user_agent="test")
NO_POLICIES = Policies.of(
    anonymous=None, user=None, login=None, ingest=None, free=None, premium=None
)
ANA, PASSWORD = "ana@example.com", "correct horse"


@define
class Clock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@define
class Numbers:
    last: int = 0

    def new(self) -> str:
        self.last += 1
        return f"id{self.last}"


@define
class Hasher:
    """Fake hasher that counts calls, and may run a callback during a hash."""

    compared: list[str] = field(factory=list)
    stale: bool = False
    during_hash: list[Callable[[], object]] = field(factory=list)

    def hash(self, password: str) -> str:
        return f"new hash of {password}"

    def verify(self, password_hash: str, password: str) -> bool:
        self.compared.append(password_hash)
        while self.during_hash:
            self.during_hash.pop()()
        return password_hash.removeprefix("new ") == f"hash of {password}"

    def check_capacity(self) -> None:
        pass

    def needs_rehash(self, password_hash: str) -> bool:
        return self.stale and not password_hash.startswith("new ")


@define
class LoginFixture:
    clock: Clock
    store: MemoryStore
    hasher: Hasher
    tokens: JwtTokens
    login_service: LoginService
    ana: User

    def login(
        self, identifier: str = "ana", password: str = PASSWORD, **arguments: Any
    ) -> TokenLogin:
        return self.login_service.login(identifier, password, CLIENT, **arguments)

    def change(self, **fields: Any) -> None:
        with self.store.begin() as tx:
            tx.users.replace(evolve(tx.users.get(self.ana.id), **fields))

    def audit(self) -> list[AuditEntry]:
        with self.store.view() as tx:
            return list(reversed(tx.audit.latest(limit=100)))

    def actions(self) -> list[str]:
        return [entry.action for entry in self.audit()]

    def session(self, signed_in: TokenLogin) -> Session:
        claims = self.tokens.read(signed_in.refresh, TokenKind.REFRESH)
        with self.store.view() as tx:
            session = tx.sessions.find(claims.session_id)
        assert session is not None
        return session


@pytest.fixture
def logins() -> LoginFixture:
    clock, hasher = Clock(), Hasher()
    store = MemoryStore(clock)
    tokens = JwtTokens.create([b"k" * 32], clock, issuer="us")
    login_service = LoginService(
        store=store, clock=clock, ids=Numbers(), hasher=hasher, tokens=tokens, totp=PyotpTotp()
    )
    ana = User(username="ana", email=ANA, password_hash=f"hash of {PASSWORD}", created_at=NOON)
    with store.begin() as tx:
        ana = tx.users.add(ana)
    return LoginFixture(clock, store, hasher, tokens, login_service, ana)


# login


@pytest.mark.parametrize("identifier", ["ana", "ANA", ANA, "Ana@Example.COM"])
def test_a_username_or_an_address_and_the_password_start_a_session(
    logins: LoginFixture, identifier: str
) -> None:
    signed_in = logins.login(identifier)
    assert signed_in.user == logins.ana
    assert signed_in.access_expires_at == NOON + timedelta(minutes=15)
    assert signed_in.refresh_expires_at == NOON + timedelta(days=1)
    actor = logins.login_service.authenticate(signed_in.access, CLIENT)
    session = logins.session(signed_in)
    assert (actor.user_id, actor.session_id, actor.client_info) == (
        logins.ana.id,
        session.id,
        CLIENT,
    )


def test_a_login_is_audited_without_secrets(logins: LoginFixture) -> None:
    signed_in = logins.login()
    [entry] = logins.audit()
    assert (entry.action, entry.model_name) == ("LOGIN", "session")
    assert (entry.user_id, entry.address) == (logins.ana.id, "192.0.2.1")
    for secret in (PASSWORD, signed_in.access, signed_in.refresh):
        assert secret not in str(entry)
        assert secret not in repr(signed_in)


def test_every_login_starts_its_own_session(logins: LoginFixture) -> None:
    assert logins.session(logins.login()).id != logins.session(logins.login()).id


@pytest.fixture
def counted(logins: LoginFixture) -> LoginFixture:
    """Return logins whose failures are counted: 20 within an hour."""
    rate_limits = RateLimiting(
        store=logins.store, limiter=MemoryRateLimiter(), clock=logins.clock, policies=NO_POLICIES
    )
    service = evolve(logins.login_service, rate_limits=rate_limits, require_verified_email=True)
    logins.change(is_email_verified=True)
    return evolve(logins, login_service=service)


def wrong_passwords(logins: LoginFixture) -> int:
    """Return how many wrong passwords are compared before logins are refused."""
    for compared in range(100):
        with pytest.raises((WrongCredentials, RateLimited)) as refused:
            logins.login(password="wrong")
        if refused.type is RateLimited:
            return compared
    raise AssertionError("Logins are not limited.")


def test_right_passwords_are_not_counted_as_failures(counted: LoginFixture) -> None:
    for _ in range(30):
        counted.login()
        counted.login_service.login_opaque("ana", PASSWORD, CLIENT)
    assert wrong_passwords(counted) == 20


def test_after_too_many_failures_even_the_right_password_is_refused(counted: LoginFixture) -> None:
    counted.login()
    counted.clock.wait(1)
    assert wrong_passwords(counted) == 20
    with pytest.raises(RateLimited):
        counted.login()
    counted.clock.wait(3600)
    assert counted.login().user.username == "ana"


@pytest.mark.parametrize("field_name", ["is_active", "is_email_verified"])
def test_refused_logins_with_the_right_password_are_not_counted(
    counted: LoginFixture, field_name: str
) -> None:
    counted.change(**{field_name: False})
    for _ in range(30):
        with pytest.raises((WrongCredentials, EmailNotVerified)):
            counted.login()
    counted.change(**{field_name: True})
    assert wrong_passwords(counted) == 20


def test_a_login_whose_session_is_not_stored_is_not_counted(counted: LoginFixture) -> None:
    """The password changes during the hash; the transaction of the session rolls back."""
    for _ in range(30):
        counted.change(password_hash=f"hash of {PASSWORD}")
        counted.hasher.during_hash.append(lambda: counted.change(password_hash="hash of another"))
        with pytest.raises(WrongCredentials):
            counted.login()
    assert wrong_passwords(counted) == 20


@pytest.mark.parametrize("identifier", ["ana", "bob", "", "\0", "\ud800", "x" * 5000])
def test_all_wrong_credentials_get_the_same_error_after_one_comparison(
    logins: LoginFixture, identifier: str
) -> None:
    with pytest.raises(WrongCredentials) as caught:
        logins.login(identifier, "wrong")
    assert caught.value.detail == WrongCredentials().detail
    assert len(logins.hasher.compared) == 1
    [entry] = logins.audit()
    assert (entry.action, entry.changes) == (
        "LOGIN_FAILED",
        {"reason": [None, "wrong_credentials"]},
    )
    assert entry.user_id == (logins.ana.id if identifier == "ana" else 0)
    assert "wrong'" not in str(entry)


def test_a_user_without_a_password_cannot_log_in(logins: LoginFixture) -> None:
    logins.change(password_hash="")
    with pytest.raises(WrongCredentials):
        logins.login(password="")


def test_an_inactive_user_gets_the_same_error(logins: LoginFixture) -> None:
    logins.change(is_active=False)
    with pytest.raises(WrongCredentials):
        logins.login()


def test_a_login_may_require_a_verified_address(logins: LoginFixture) -> None:
    with pytest.raises(EmailNotVerified):
        logins.login(require_verified=True)
    with pytest.raises(WrongCredentials):
        logins.login(password="wrong", require_verified=True)
    assert logins.audit()[0].changes == {"reason": [None, "email_not_verified"]}
    logins.change(is_email_verified=True)
    assert logins.login(require_verified=True).user.id == logins.ana.id


def test_the_settings_may_require_a_verified_address(logins: LoginFixture) -> None:
    strict = evolve(logins.login_service, require_verified_email=True)
    with pytest.raises(EmailNotVerified):
        strict.login("ana", PASSWORD)


def test_an_outdated_hash_is_replaced(logins: LoginFixture) -> None:
    logins.hasher.stale = True
    logins.login()
    with logins.store.view() as tx:
        assert tx.users.get(logins.ana.id).password_hash == f"new hash of {PASSWORD}"
    assert logins.login().user.id == logins.ana.id


@pytest.mark.parametrize("fields", [{"password_hash": "hash of other"}, {"is_active": False}])
def test_a_change_during_the_comparison_is_respected(
    logins: LoginFixture, fields: dict[str, Any]
) -> None:
    logins.hasher.stale = True
    logins.hasher.during_hash.append(lambda: logins.change(**fields))
    with pytest.raises(WrongCredentials):
        logins.login()
    with logins.store.view() as tx:
        assert not tx.users.get(logins.ana.id).password_hash.startswith("new ")


# refresh


def test_a_refresh_token_is_exchanged_for_the_next_pair(logins: LoginFixture) -> None:
    first = logins.login()
    logins.clock.wait(3600)
    second = logins.login_service.refresh(first.refresh, CLIENT)
    assert second.refresh != first.refresh
    assert second.refresh_expires_at == logins.clock.at + timedelta(days=1)
    assert logins.login_service.authenticate(second.access).user_id == logins.ana.id
    assert logins.session(second).id == logins.session(first).id
    assert logins.actions() == ["LOGIN", "REFRESH"]


def test_within_the_grace_period_the_same_pair_is_returned(logins: LoginFixture) -> None:
    first = logins.login()
    second = logins.login_service.refresh(first.refresh)
    logins.clock.wait(10)
    assert logins.login_service.refresh(first.refresh) == second
    assert logins.actions() == ["LOGIN", "REFRESH"]
    assert logins.login_service.refresh(second.refresh).refresh != second.refresh


def test_fifty_parallel_refreshes_return_one_pair_and_end_no_session(logins: LoginFixture) -> None:
    first = logins.login()
    with ThreadPoolExecutor(16) as pool:
        pairs = list(pool.map(logins.login_service.refresh, [first.refresh] * 50))
    assert len({(pair.access, pair.refresh) for pair in pairs}) == 1
    assert logins.session(first).revoked_at is None


def test_reuse_after_the_grace_period_revokes_the_session(logins: LoginFixture) -> None:
    first = logins.login()
    second = logins.login_service.refresh(first.refresh)
    other = logins.login()
    logins.clock.wait(10.001)
    with pytest.raises(Unauthenticated):
        logins.login_service.refresh(first.refresh, CLIENT)
    assert logins.actions()[-1] == "REFRESH_REUSED"
    assert logins.session(first).revoked_at == logins.clock.at
    with pytest.raises(Unauthenticated):
        logins.login_service.refresh(second.refresh)
    with pytest.raises(Unauthenticated):
        logins.login_service.authenticate(second.access)
    assert logins.login_service.authenticate(other.access).user_id == logins.ana.id
    assert logins.actions()[-1] == "REFRESH_REUSED"


def test_a_session_ends_with_its_refresh_token(logins: LoginFixture) -> None:
    signed_in = logins.login()
    logins.clock.wait(24 * 3600)
    with pytest.raises(Unauthenticated):
        logins.login_service.refresh(signed_in.refresh)


def test_an_access_token_never_outlives_its_session(logins: LoginFixture) -> None:
    short = evolve(logins.login_service, refresh_life=timedelta(minutes=5))
    assert short.login("ana", PASSWORD).access_expires_at == NOON + timedelta(minutes=5)


@pytest.mark.parametrize("fields", [{"is_active": False}, {"token_version": 1}])
def test_deactivation_and_revocation_take_effect_at_once(
    logins: LoginFixture, fields: dict[str, Any]
) -> None:
    signed_in = logins.login()
    logins.change(**fields)
    with pytest.raises(Unauthenticated):
        logins.login_service.refresh(signed_in.refresh)
    with pytest.raises(Unauthenticated):
        logins.login_service.authenticate(signed_in.access)
    assert logins.session(signed_in).revoked_at is None


def test_access_and_refresh_tokens_are_not_interchangeable(logins: LoginFixture) -> None:
    signed_in = logins.login()
    with pytest.raises(Unauthenticated):
        logins.login_service.refresh(signed_in.access)
    with pytest.raises(Unauthenticated):
        logins.login_service.authenticate(signed_in.refresh)


def signed(logins: LoginFixture, kind: TokenKind, **fields: Any) -> str:
    claims = Claims(
        kind=kind,
        user_id=logins.ana.id,
        session_id=logins.session(logins.login()).id,
        jti="x",
        version=0,
        issued_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
    )
    return logins.tokens.issue(evolve(claims, **fields))


@pytest.mark.parametrize("fields", [{"session_id": "unknown"}, {"user_id": UserId(99)}])
def test_tokens_of_deleted_users_and_sessions_are_invalid(
    logins: LoginFixture, fields: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        logins.login_service.refresh(signed(logins, TokenKind.REFRESH, **fields))
    with pytest.raises(Unauthenticated):
        logins.login_service.authenticate(signed(logins, TokenKind.ACCESS, **fields))


def test_a_session_is_valid_for_its_own_user_only(logins: LoginFixture) -> None:
    with logins.store.begin() as tx:
        bob = tx.users.add(User(username="bob", email="bob@example.com", created_at=NOON))
    with pytest.raises(Unauthenticated):
        logins.login_service.refresh(signed(logins, TokenKind.REFRESH, user_id=bob.id))
    with pytest.raises(Unauthenticated):
        logins.login_service.authenticate(signed(logins, TokenKind.ACCESS, user_id=bob.id))
