"""A scene for tests of accounts: people who have signed in, and what they hold."""

from typing import Any

from attrs import define, evolve, frozen

from tests.services.identity_scene import ORIGIN, Chance, Clock, Hasher, Outbox
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.audit import AuditEntry
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.session import Session
from workbell.domain.identity.user import User
from workbell.ports.system import Randomness
from workbell.services.audit import Floods
from workbell.services.identity.api_keys import ApiKeyService
from workbell.services.identity.login import SignedIn, SigningIn
from workbell.services.identity.passwords import Passwords
from workbell.services.identity.profiles import Profiles
from workbell.services.identity.registration import Identity
from workbell.services.identity.second_factor import FactorKeeping
from workbell.services.identity.sessions import SessionService
from workbell.services.identity.users import People

PASSWORD = "correct horse"


@define
class Numbers:
    last: int = 0

    def new(self) -> str:
        self.last += 1
        return f"id{self.last}"


@frozen(kw_only=True)
class Members:
    """The services of accounts, built around one cache of actors as an application does."""

    passwords: Passwords
    profiles: Profiles
    people: People
    sessions: SessionService
    api_keys: ApiKeyService
    second_factor: FactorKeeping

    @classmethod
    def of(cls, identity: Identity, signing_in: SigningIn) -> "Members":
        codes, recent = identity.codes, signing_in.recent
        store, clock, ids = signing_in.store, signing_in.clock, signing_in.ids
        passwords = Passwords(
            codes=codes,
            mailer=identity.quiet_mailer,
            recent=recent,
            floods=Floods(),
            throttling=signing_in.throttling,
        )
        return cls(
            passwords=passwords,
            profiles=Profiles(passwords=passwords),
            people=People(codes=codes, mailer=identity.mailer, recent=recent),
            sessions=SessionService(store=store, clock=clock, recent=recent),
            api_keys=ApiKeyService(store=store, clock=clock, ids=ids, recent=recent),
            second_factor=FactorKeeping(gate=signing_in.gate, passwords=passwords, ids=ids),
        )


@define
class Stage:
    clock: Clock
    store: MemoryStore
    hasher: Hasher
    outbox: Outbox
    identity: Identity
    signing_in: SigningIn
    members: Members

    def join(self, name: str, **fields: Any) -> User:
        user = User(
            username=name,
            email=f"{name}@example.com",
            password_hash=f"hash of {PASSWORD}",
            created_at=self.clock.at,
        )
        with self.store.begin() as tx:
            return tx.users.add(evolve(user, **fields))

    def login(self, name: str = "ana", password: str = PASSWORD) -> SignedIn:
        return self.signing_in.login(name, password, ORIGIN)

    def actor(self, signed_in: SignedIn) -> Actor:
        return self.signing_in.authenticate(signed_in.access, ORIGIN)

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


def a_stage(*names: str, chance: Randomness | None = None, **more: Any) -> Stage:
    """Return a stage with these people, where signing in has these facts besides."""
    clock = Clock()
    store = MemoryStore(clock)
    hasher, outbox = Hasher(store), Outbox()
    identity = Identity(
        store=store, clock=clock, randomness=chance or Chance(), hasher=hasher, mailer=outbox
    )
    tokens = JwtTokens.create([b"k" * 32], clock, issuer="us")
    signing_in = SigningIn(
        store=store,
        clock=clock,
        ids=Numbers(),
        hasher=hasher,
        tokens=tokens,
        totp=PyotpTotp(),
        **more,
    )
    members = Members.of(identity, signing_in)
    stage = Stage(clock, store, hasher, outbox, identity, signing_in, members)
    for name in names:
        stage.join(name)
    return stage
