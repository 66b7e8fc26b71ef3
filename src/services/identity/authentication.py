"""Authentication of access tokens, session tokens and API keys."""

from contextlib import suppress
from datetime import datetime, timedelta

from attrs import Factory, evolve, field, frozen

from workbell.domain.errors import NotFound, Unauthenticated, Unavailable
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.opaque_token import OpaqueToken, Prefix, is_opaque
from workbell.domain.identity.second_factor import SecondFactorPolicy
from workbell.domain.identity.session import MAX_LIFE, Claims, Session, SessionKind, TokenKind
from workbell.domain.identity.user import User, UserId
from workbell.ports.identity.crypto import Tokens
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.identity.second_factor_check import must_enrol

SESSION_ENDED = "This session has ended: sign in again."
UNKNOWN_CLIENT = ClientInfo()
_NO_HASH = "0" * 64


@frozen(kw_only=True)
class TokenAuthenticator:
    """
    Authenticates tokens; all methods raise `Unauthenticated` on failure.

    Access tokens and API keys are cached for 5 s; opaque session tokens and
    cookies are read from the store each time. `idle` is how long an unused
    browser session lasts, `session_life` the maximum for any session.
    """

    store: Store[IdentityTx]
    clock: Clock
    tokens: Tokens
    idle: timedelta = timedelta(days=1)
    session_life: timedelta = MAX_LIFE
    policy: SecondFactorPolicy = SecondFactorPolicy.NONE
    actor_cache: ActorCache = field(default=Factory(ActorCache), eq=False)

    def authenticate(self, token: str, client_info: ClientInfo = UNKNOWN_CLIENT) -> Actor:
        """Return the actor of an access token, session token or API key."""
        if is_opaque(token, Prefix.SESSION):
            return self.by_session(token, SessionKind.OPAQUE, client_info)
        now, generation = self.clock.now(), self.actor_cache.generation()
        actor = self.actor_cache.find(token, now)
        if actor is None:
            by_key = is_opaque(token, Prefix.API_KEY)
            actor, until = self._by_key(token, now) if by_key else self._by_claims(token, now)
            self.actor_cache.put(token, actor, now, until, generation)
        return evolve(actor, client_info=client_info)

    def by_session(
        self, token: str, kind: SessionKind, client_info: ClientInfo = UNKNOWN_CLIENT
    ) -> Actor:
        """Return the actor of an opaque session token or cookie."""
        opaque, now = OpaqueToken.parse(token), self.clock.now()
        if opaque.prefix is not Prefix.SESSION:
            raise Unauthenticated("This kind of token is not accepted here.")
        with self.store.view() as tx:
            session = tx.sessions.find(opaque.id)
            user = _active(tx, session.user_id) if session else None
            enrolment_due = user is not None and must_enrol(tx, self.policy, user)
        matches = opaque.matches(session.current_jti if session else _NO_HASH)
        if user is None or session is None or not matches or session.kind is not kind:
            raise Unauthenticated(SESSION_ENDED)
        if not session.is_active(now):
            raise Unauthenticated(SESSION_ENDED)
        self._record_use(session, now)
        return Actor.of(
            user, session_id=session.id, client_info=client_info, must_enrol=enrolment_due
        )

    def _by_claims(self, token: str, now: datetime) -> tuple[Actor, datetime]:
        claims = self.tokens.read(token, TokenKind.ACCESS)
        with self.store.view() as tx:
            session = tx.sessions.find(claims.session_id)
            user = user_from_actor(tx, claims)
            enrolment_due = user is not None and must_enrol(tx, self.policy, user)
        if user is None or session is None or not session.is_active(now):
            raise Unauthenticated(SESSION_ENDED)
        if session.user_id != user.id or session.kind is not SessionKind.TOKENS:
            raise Unauthenticated("This kind of token is not accepted here.")
        self._record_use(session, now)
        actor = Actor.of(user, session_id=session.id, must_enrol=enrolment_due)
        return actor, min(claims.expires_at, session.expires_at)

    def _by_key(self, token: str, now: datetime) -> tuple[Actor, datetime]:
        opaque = OpaqueToken.parse(token)
        with self.store.view() as tx:
            key = tx.api_keys.by_prefix(opaque.id)
            user = _active(tx, key.user_id) if key else None
        matches = opaque.matches(key.secret_hash if key else _NO_HASH)
        if user is None or key is None or not matches or not key.is_usable(now):
            raise Unauthenticated("The API key is wrong, expired or revoked.")
        self._record_key_use(key, now)
        until = key.expires_at or now + self.session_life
        return Actor.of(user, key_scopes=key.scopes), until

    def _record_use(self, session: Session, now: datetime) -> None:
        if session.should_record_use(now):
            with suppress(Unavailable), self.store.begin() as tx:
                tx.sessions.record_use(session.used(now, self.idle, self.session_life))

    def _record_key_use(self, key: ApiKey, now: datetime) -> None:
        if key.should_record_use(now):
            with suppress(Unavailable), self.store.begin() as tx:
                tx.api_keys.record_use(key.used(now))


def user_from_actor(tx: IdentityTx, claims: Claims) -> User | None:
    """Return the active user of a token, unless its version is revoked."""
    user = _active(tx, claims.user_id)
    return user if user is not None and user.token_version == claims.version else None


def _active(tx: IdentityTx, user_id: UserId) -> User | None:
    try:
        user = tx.users.get(user_id)
    except NotFound:
        return None
    return user if user.is_active else None
