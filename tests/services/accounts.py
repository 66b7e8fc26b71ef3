"""Fixture for tests of accounts: users, logins and account services."""

from typing import Any

from attrs import define, evolve, frozen

from tests.services.registration import CLIENT, Clock, FixedRandomness, Hasher, Outbox
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.session import Session
from workbell.domain.identity.user import User
from workbell.ports.system import Randomness
from workbell.services.audit.entries import AuditBurstFilter
from workbell.services.identity.api_keys import ApiKeyService
from workbell.services.identity.login import LoginService, TokenLogin
from workbell.services.identity.passwords import PasswordService
from workbell.services.identity.profiles import ProfileService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.second_factor import SecondFactorService
from workbell.services.identity.sessions import SessionService
from workbell.services.identity.users import UserAdministration

PASSWORD = "correct horse"


@define
class Numbers:
    last: int = 0

    def new(self) -> str:
        self.last += 1
        return f"id{self.last}"


@frozen(kw_only=True)
class AccountServiceSet:
    """The account services, built around one actor cache."""

    passwords: PasswordService
    profiles: ProfileService
    users: UserAdministration
    sessions: SessionService
    api_keys: ApiKeyService
    second_factor: SecondFactorService

    @classmethod
    def of(cls, identity: RegistrationService, login_service: LoginService) -> "AccountServiceSet":
        codes, actor_cache = identity.codes, login_service.actor_cache
        store, clock, ids = login_service.store, login_service.clock, login_service.ids
        passwords = PasswordService(
            codes=codes,
            mailer=identity.background_mailer,
            actor_cache=actor_cache,
            burst_filter=AuditBurstFilter(),
            rate_limits=login_service.rate_limits,
        )
        return cls(
            passwords=passwords,
            profiles=ProfileService(passwords=passwords),
            users=UserAdministration(codes=codes, mailer=identity.mailer, actor_cache=actor_cache),
            sessions=SessionService(store=store, clock=clock, actor_cache=actor_cache),
            api_keys=ApiKeyService(store=store, clock=clock, ids=ids, actor_cache=actor_cache),
            second_factor=SecondFactorService(
                factor_check=login_service.factor_check, passwords=passwords, ids=ids
            ),
        )


@define
class AccountFixture:
    clock: Clock
    store: MemoryStore
    hasher: Hasher
    outbox: Outbox
    identity: RegistrationService
    login_service: LoginService
    services: AccountServiceSet

    def join(self, name: str, **fields: Any) -> User:
        user = User(
            username=name,
            email=f"{name}@example.com",
            password_hash=f"hash of {PASSWORD}",
            created_at=self.clock.at,
        )
        with self.store.begin() as tx:
            return tx.users.add(evolve(user, **fields))

    def login(self, name: str = "ana", password: str = PASSWORD) -> TokenLogin:
        return self.login_service.login(name, password, CLIENT)

    def actor(self, signed_in: TokenLogin) -> Actor:
        return self.login_service.authenticate(signed_in.access, CLIENT)

    def refuses(self, token: str) -> bool:
        try:
            self.login_service.authenticate(token, CLIENT)
        except Unauthenticated:
            return True
        return False

    def ana(self) -> Actor:
        return self.actor(self.login())

    def user(self, name: str) -> User:
        with self.store.view() as tx:
            user = tx.users.by_login(name)
        assert user is not None
        return user

    def change(self, name: str, **fields: Any) -> None:
        with self.store.begin() as tx:
            tx.users.replace(evolve(self.user(name), **fields))

    def session(self, session_id: str) -> Session:
        with self.store.view() as tx:
            session = tx.sessions.find(session_id)
        assert session is not None
        return session

    def audit(self) -> list[AuditEntry]:
        with self.store.view() as tx:
            return list(reversed(tx.audit.latest(limit=1000)))

    def actions(self) -> list[str]:
        return [entry.action for entry in self.audit()]


def make_accounts(*names: str, chance: Randomness | None = None, **more: Any) -> AccountFixture:
    """Return a fixture with these users; `more` are LoginService arguments."""
    clock = Clock()
    store = MemoryStore(clock)
    hasher, outbox = Hasher(store), Outbox()
    identity = RegistrationService(
        store=store,
        clock=clock,
        randomness=chance or FixedRandomness(),
        hasher=hasher,
        mailer=outbox,
    )
    tokens = JwtTokens.create([b"k" * 32], clock, issuer="us")
    login_service = LoginService(
        store=store,
        clock=clock,
        ids=Numbers(),
        hasher=hasher,
        tokens=tokens,
        totp=PyotpTotp(),
        **more,
    )
    services = AccountServiceSet.of(identity, login_service)
    accounts = AccountFixture(clock, store, hasher, outbox, identity, login_service, services)
    for name in names:
        accounts.join(name)
    return accounts
