"""Signing in, staying signed in, and signing out."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta

from attrs import Factory, evolve, field, frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.errors import Invalid, NotFound, Unauthenticated, WorkbellError
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.opaque_token import OpaqueToken, Prefix
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.second_factor import (
    FactorKeys,
    SecondFactorPolicy,
    SecondFactorRequired,
    WrongSecondFactor,
)
from workbell.domain.identity.session import (
    MAX_LIFE,
    Claims,
    RefreshTokenState,
    Session,
    SessionKind,
    TokenKind,
)
from workbell.domain.identity.user import EmailNotVerified, User, WrongCredentials
from workbell.ports.identity.crypto import PasswordHasher, Tokens
from workbell.ports.identity.totp import Totp
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock, Ids
from workbell.services.audit import AuditBurstFilter, account_audit_entry
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.identity.authentication import ENDED, TokenAuthenticator, user_from_actor
from workbell.services.identity.second_factor_check import SecondFactorCheck
from workbell.services.rate_limits import RateLimiting, known_address, verify_counting_failures
from workbell.services.transaction_retry import retry_on_contention

_UNKNOWN_CLIENT = ClientInfo()


@frozen(kw_only=True)
class TokenLogin:
    """A person, and the two tokens that stand for them until they expire."""

    user: User
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_expires_at: datetime
    refresh_expires_at: datetime


@frozen(kw_only=True)
class OpaqueLogin:
    """A person, and the opaque token of the session that was opened for them."""

    user: User
    token: OpaqueToken
    expires_at: datetime


@frozen(kw_only=True)
class LoginService:
    """
    Turn passwords into tokens, old tokens into new ones, and tokens into people.

    Nothing is hashed within a transaction. No session lasts longer than
    `session_life`, however often it is renewed; a browser's ends when it was
    not used for `refresh_life`. Keeping that a login failed takes as long
    whoever it was, by `min_duration`.
    """

    store: Store[IdentityTx]
    clock: Clock
    ids: Ids
    hasher: PasswordHasher
    tokens: Tokens
    totp: Totp
    access_life: timedelta = timedelta(minutes=15)
    refresh_life: timedelta = timedelta(days=1)
    session_life: timedelta = MAX_LIFE
    require_verified_email: bool = False
    rate_limits: RateLimiting | None = None
    factor_keys: FactorKeys = field(factory=FactorKeys)
    second_factor_policy: SecondFactorPolicy = SecondFactorPolicy.NONE
    min_duration: Callable[[], AbstractContextManager[object]] = nullcontext
    actor_cache: ActorCache = field(default=Factory(ActorCache), eq=False)
    authenticator: TokenAuthenticator = field(
        default=Factory(
            lambda self: TokenAuthenticator(
                store=self.store,
                clock=self.clock,
                tokens=self.tokens,
                idle=self.refresh_life,
                session_life=self.session_life,
                actor_cache=self.actor_cache,
                policy=self.second_factor_policy,
            ),
            takes_self=True,
        ),
        init=False,
    )
    factor_check: SecondFactorCheck = field(
        default=Factory(
            lambda self: SecondFactorCheck(
                store=self.store,
                clock=self.clock,
                keys=self.factor_keys,
                totp=self.totp,
                policy=self.second_factor_policy,
                rate_limits=self.rate_limits,
            ),
            takes_self=True,
        ),
        init=False,
    )
    _burst_filter: AuditBurstFilter = field(factory=AuditBurstFilter, init=False, eq=False)

    def login(
        self,
        identifier: str,
        password: str,
        client_info: ClientInfo = _UNKNOWN_CLIENT,
        *,
        code: str = "",
        require_verified: bool = False,
    ) -> TokenLogin:
        """
        Open a session for who has this username or address, and this password.

        Takes as long for a name that nobody has. A hash with old parameters
        is made anew. Who has a second factor gives a `code` of it besides.

        Raises:
            WrongCredentials: There is no such active person and password.
            EmailNotVerified: They are right, but a verified address is wanted,
                by the settings or by `require_verified`.
            SecondFactorRequired, WrongSecondFactor: They are right, but the code
                is missing or wrong.
            TooMany: The password or the code was wrong too often.
            Unavailable: The store does not answer, or too many are hashing.
        """
        user = self._verify_password(identifier, password, client_info, require_verified)
        seed = self._check_second_factor(user, code, client_info)
        session = Session.start(
            self.ids.new(),
            user.id,
            self.ids.new(),
            self.clock.now(),
            min(self.refresh_life, self.session_life),
            client_info=client_info,
        )
        return self._issue_tokens(
            self._store_session(user, password, seed, session, client_info), session
        )

    def login_opaque(
        self,
        identifier: str,
        password: str,
        client_info: ClientInfo = _UNKNOWN_CLIENT,
        *,
        code: str = "",
        kind: SessionKind = SessionKind.OPAQUE,
        replaces: str = "",
    ) -> OpaqueLogin:
        """
        Do as `login` does, and return one opaque token in place of the pair.

        `replaces` is the session that a browser had before: it ends, so that
        nobody is left with a cookie that somebody else gave them.

        Raises:
            WrongCredentials, EmailNotVerified, SecondFactorRequired,
            WrongSecondFactor, TooMany, Unavailable: As `login` does.
        """
        user = self._verify_password(identifier, password, client_info, require_verified=False)
        seed = self._check_second_factor(user, code, client_info)
        token = OpaqueToken(Prefix.SESSION, self.ids.new(), self.ids.new() + self.ids.new())
        life = self.session_life if kind is SessionKind.OPAQUE else self.refresh_life
        session = Session.start(
            token.id,
            user.id,
            token.hashed,
            self.clock.now(),
            min(life, self.session_life),
            kind=kind,
            client_info=client_info,
        )
        current = self._store_session(user, password, seed, session, client_info, replaces)
        return OpaqueLogin(user=current, token=token, expires_at=session.expires_at)

    @retry_on_contention
    def refresh(self, token: str, client_info: ClientInfo = _UNKNOWN_CLIENT) -> TokenLogin:
        """
        Exchange a refresh token for the next pair of tokens.

        The same token again within 10 s is answered with the same pair, so
        that parallel or repeated calls sign nobody out. After that it was
        stolen, on one side or the other, and the session ends.

        Raises:
            Unauthenticated: The token, its session or its user serves no more.
        """
        claims, next_jti = self.tokens.read(token, TokenKind.REFRESH), self.ids.new()
        with self.store.begin() as tx:
            now = self.clock.now()
            found = _locked(tx, claims)
            signed_in = found and self._rotate_tokens(
                tx, found, claims.jti, next_jti, now, client_info
            )
        if signed_in is None:
            self.actor_cache.evict(claims.user_id)
            raise Unauthenticated(ENDED)
        return self._issue_tokens(*signed_in)

    @retry_on_contention
    def logout(self, actor: Actor) -> None:
        """
        End the session that the actor asks with, at once.

        Raises:
            NotAllowed: They ask with an API key.
            Invalid: There is no session to end.
        """
        check(actor, Action.SIGN_OUT, owner=actor.user_id)
        if not actor.session_id:
            raise Invalid("There is no session to end.")
        with self.store.begin() as tx:
            session, now = tx.sessions.get_for_update(actor.session_id), self.clock.now()
            if session.revoked_at is None:
                tx.sessions.replace(session.revoked(now))
                user = tx.users.get(actor.user_id)
                tx.audit.add(_of_session(user, "LOGOUT", session, actor.client_info, now))
        self.actor_cache.evict(actor.user_id)

    def authenticate(self, token: str, client_info: ClientInfo = _UNKNOWN_CLIENT) -> Actor:
        """
        Return who asks with this token: signed, opaque, or an API key.

        Raises:
            Unauthenticated: The token, its session or its user serves no more.
        """
        return self.authenticator.authenticate(token, client_info)

    # ----------------------------------------------------------------------------- the factor_check

    def _verify_password(
        self, identifier: str, password: str, client_info: ClientInfo, require_verified: bool
    ) -> User:
        """Return who has this password: the one way to any token, with `_passed_by`."""
        with self.store.view() as tx:
            user = tx.users.by_login(identifier)
            trusted_address = known_address(tx, user, client_info.address)
        fits = verify_counting_failures(
            self.rate_limits, self.hasher, user, identifier, password, trusted_address
        )
        if user is None or not fits or not user.may_sign_in(self.clock.now()):
            raise self._audit_refusal(user, WrongCredentials(), client_info)
        if (require_verified or self.require_verified_email) and not user.is_email_verified:
            raise self._audit_refusal(user, EmailNotVerified(), client_info)
        return user

    def _check_second_factor(self, user: User, code: str, client_info: ClientInfo) -> str:
        """Return the seed of the second factor that somebody has shown, if they have one."""
        try:
            return self.factor_check.verify(user, code, client_info)
        except (SecondFactorRequired, WrongSecondFactor) as error:
            raise self._audit_refusal(user, error, client_info) from None

    @retry_on_contention
    def _store_session(
        self,
        user: User,
        password: str,
        seed: str,
        session: Session,
        client_info: ClientInfo,
        replaces: str = "",
    ) -> User:
        """Keep a new session, and return its user, whose hash may be a new one."""
        renewed = self._rehash(user, password)
        with self.store.begin() as tx:
            current = _unchanged(tx, user)
            self.factor_check.check_unchanged(tx, current, seed)
            if renewed is not None:
                tx.users.replace(evolve(current, password_hash=renewed))
            if replaces:
                _end(tx, replaces, session.created_at)
            tx.sessions.add(session)
            tx.audit.add(_of_session(user, "LOGIN", session, client_info, session.created_at))
        return current

    def _audit_refusal(
        self, user: User | None, why: WorkbellError, client_info: ClientInfo
    ) -> WorkbellError:
        """Keep that somebody was refused, never what they typed; return the error."""
        changes = {"reason": [None, why.code]}
        with self.min_duration(), self.store.begin() as tx:
            failed = account_audit_entry(
                user, "LOGIN_FAILED", client_info, self.clock.now(), changes
            )
            self._burst_filter.add(tx.audit, failed)
        return why

    def _rehash(self, user: User, password: str) -> str | None:
        if not self.hasher.needs_rehash(user.password_hash):
            return None
        return self.hasher.hash(password)

    def _rotate_tokens(
        self,
        tx: IdentityTx,
        found: tuple[User, Session],
        jti: str,
        next_jti: str,
        now: datetime,
        client_info: ClientInfo,
    ) -> tuple[User, Session] | None:
        """Return user and session as the exchange leaves them, or None if it is refused."""
        user, session = found
        standing = session.classify_refresh_token(jti, now)
        if standing is RefreshTokenState.JUST_ROTATED:
            return found
        if standing is RefreshTokenState.CURRENT:
            rotated = session.rotated(next_jti, now, self.refresh_life, self.session_life)
            tx.sessions.replace(rotated)
            tx.audit.add(_of_session(user, "REFRESH", session, client_info, now))
            return user, rotated
        if standing is RefreshTokenState.REUSED:
            tx.sessions.replace(session.revoked(now))
            tx.audit.add(_of_session(user, "REFRESH_REUSED", session, client_info, now))
        return None

    def _issue_tokens(self, user: User, session: Session) -> TokenLogin:
        """Return the pair that belongs to a session as it stands: always the same one."""
        access = self._claims(TokenKind.ACCESS, user, session)
        refresh = self._claims(TokenKind.REFRESH, user, session)
        return TokenLogin(
            user=user,
            access=self.tokens.issue(access),
            refresh=self.tokens.issue(refresh),
            access_expires_at=access.expires_at,
            refresh_expires_at=refresh.expires_at,
        )

    def _claims(self, kind: TokenKind, user: User, session: Session) -> Claims:
        for_access = kind is TokenKind.ACCESS
        end = session.expires_at
        return Claims(
            kind=kind,
            user_id=user.id,
            session_id=session.id,
            jti=f"{session.current_jti}-a" if for_access else session.current_jti,
            version=user.token_version,
            issued_at=session.rotated_at,
            expires_at=min(session.rotated_at + self.access_life, end) if for_access else end,
        )


def _unchanged(tx: IdentityTx, seen: User) -> User:
    """Lock the user, and refuse if the password was changed while it was checked."""
    current = tx.users.get_for_update(seen.id)
    if current.password_hash != seen.password_hash or not current.is_active:
        raise WrongCredentials
    return current


def _locked(tx: IdentityTx, claims: Claims) -> tuple[User, Session] | None:
    """Return the user and the locked session of a refresh token."""
    try:
        session = tx.sessions.get_for_update(claims.session_id)
    except NotFound:
        return None
    user = user_from_actor(tx, claims)
    if user is None or session.user_id != user.id or session.kind is not SessionKind.TOKENS:
        return None
    return user, session


def _end(tx: IdentityTx, session_id: str, now: datetime) -> None:
    before = tx.sessions.find(session_id)
    if before is not None and before.is_active(now):
        tx.sessions.replace(before.revoked(now))


def _of_session(
    user: User, action: str, session: Session, client_info: ClientInfo, at: datetime
) -> AuditEntry:
    return account_audit_entry(user, action, client_info, at, model="session", subject=session.id)
