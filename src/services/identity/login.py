"""Use cases of login, token refresh and logout."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any, Protocol

from attrs import Factory, evolve, field, frozen

from workbell.domain.audit.entry import AuditEntry
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
    MAX_SESSIONS,
    Claims,
    RefreshTokenState,
    Session,
    SessionKind,
    TokenKind,
)
from workbell.domain.identity.user import EmailNotVerified, User, WrongCredentials
from workbell.domain.rate_limits.policy import account_key
from workbell.ports.identity.crypto import PasswordHasher, Tokens
from workbell.ports.identity.totp import Totp
from workbell.ports.identity.users import IdentityTx
from workbell.ports.rate_limits import RateLimitTx
from workbell.ports.store import Store
from workbell.ports.system import Clock, Ids
from workbell.services.audit.entries import AuditBurstFilter, account_audit_entry
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.identity.authentication import (
    SESSION_ENDED,
    UNKNOWN_CLIENT,
    TokenAuthenticator,
    user_from_actor,
)
from workbell.services.identity.second_factor_check import SecondFactorCheck
from workbell.services.rate_limits import RateLimiting, known_address, refund_login_failure
from workbell.services.transaction_retry import retry_on_contention


class LoginTx(IdentityTx, RateLimitTx, Protocol):
    """The repositories that logins use within one transaction."""


@frozen(kw_only=True)
class TokenLogin:
    """A logged-in user and their access and refresh tokens."""

    user: User
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_expires_at: datetime
    refresh_expires_at: datetime


@frozen(kw_only=True)
class OpaqueLogin:
    """A logged-in user and the opaque token of their session."""

    user: User
    token: OpaqueToken
    expires_at: datetime


@frozen(kw_only=True)
class LoginService:
    """
    Logs users in and out, and refreshes their tokens.

    Passwords are hashed outside of transactions. No session lasts longer than
    `session_life`; a browser session ends if unused for `refresh_life`.
    `min_duration` hides how long it takes to record a failed login. `rate_limits`
    counts failures in the same store.
    """

    store: Store[LoginTx]
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
        client_info: ClientInfo = UNKNOWN_CLIENT,
        *,
        code: str = "",
        require_verified: bool = False,
    ) -> TokenLogin:
        """
        Start a session for a username or email address and a password.

        An unknown name takes as long as a known one. An outdated password hash is
        replaced. Users with a second factor also give a `code`.

        Raises:
            WrongCredentials: No active user has this name and password.
            EmailNotVerified: A verified address is required.
            SecondFactorRequired, WrongSecondFactor: The code is missing or wrong.
            RateLimited: The password or the code was wrong too often.
            Unavailable: The store is down, or too many hashes are running.
        """
        user, account = self._verify_password(identifier, password, client_info, require_verified)
        with self._undo_failure_on_error(account):
            seed = self._check_second_factor(user, code, client_info)
            session = Session.start(
                self.ids.new(),
                user.id,
                self.ids.new(),
                self.clock.now(),
                min(self.refresh_life, self.session_life),
                client_info=client_info,
            )
            current = self._store_session(user, password, seed, session, client_info, account)
        return self._issue_tokens(current, session)

    def login_opaque(
        self,
        identifier: str,
        password: str,
        client_info: ClientInfo = UNKNOWN_CLIENT,
        *,
        code: str = "",
        kind: SessionKind = SessionKind.OPAQUE,
        replaces: str = "",
    ) -> OpaqueLogin:
        """
        Log in as `login` does, with one opaque token in place of a pair.

        `replaces` is the browser's previous session id. That session is revoked
        to prevent session fixation.
        """
        user, account = self._verify_password(
            identifier, password, client_info, require_verified=False
        )
        with self._undo_failure_on_error(account):
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
            current = self._store_session(
                user, password, seed, session, client_info, account, replaces
            )
        return OpaqueLogin(user=current, token=token, expires_at=session.expires_at)

    @retry_on_contention
    def refresh(self, token: str, client_info: ClientInfo = UNKNOWN_CLIENT) -> TokenLogin:
        """
        Exchange a refresh token for the next pair; raises Unauthenticated.

        The same token returns the same pair for 10 s, which allows parallel and
        repeated calls. Later reuse means theft: the session is revoked.
        """
        claims = self.tokens.read(token, TokenKind.REFRESH)
        with self.store.begin() as tx:
            locked = _lock_session(tx, claims)
            rotated = locked and self._rotate_tokens(tx, *locked, claims.jti, client_info)
        if rotated is None:
            self.actor_cache.evict(claims.user_id)
            raise Unauthenticated(SESSION_ENDED)
        return self._issue_tokens(*rotated)

    @retry_on_contention
    def logout(self, actor: Actor) -> None:
        """Revoke the session of the actor's token; Invalid if there is none."""
        check(actor, Action.SIGN_OUT, owner=actor.user_id)
        if not actor.session_id:
            raise Invalid("There is no session to end.")
        with self.store.begin() as tx:
            session, now = tx.sessions.get_for_update(actor.session_id), self.clock.now()
            if session.revoked_at is None:
                tx.sessions.replace(session.revoked(now))
                user = tx.users.get(actor.user_id)
                changes = {"is_active": [True, False]}
                tx.audit.add(
                    _session_entry(user, "LOGOUT", session, actor.client_info, now, changes)
                )
        self.actor_cache.evict(actor.user_id)

    def authenticate(self, token: str, client_info: ClientInfo = UNKNOWN_CLIENT) -> Actor:
        """Return the actor of a token or API key; see TokenAuthenticator."""
        return self.authenticator.authenticate(token, client_info)

    def _verify_password(
        self, identifier: str, password: str, client_info: ClientInfo, require_verified: bool
    ) -> tuple[User, str]:
        """
        Return the user with this password, or raise and audit.

        Also returns the account under which a failure is still counted.
        """
        with self.store.view() as tx:
            user = tx.users.by_login(identifier)
            account = account_key(user, identifier, known_address(tx, user, client_info.address))
        if not self._matches(user, password, account) or user is None:
            raise self._audit_refusal(user, WrongCredentials(), client_info)
        with self._undo_failure_on_error(account):
            if not user.may_sign_in(self.clock.now()):
                raise self._audit_refusal(user, WrongCredentials(), client_info)
            if (require_verified or self.require_verified_email) and not user.is_email_verified:
                raise self._audit_refusal(user, EmailNotVerified(), client_info)
        return user, account

    def _matches(self, user: User | None, password: str, account: str) -> bool:
        """Compare a password, counted as a failure; an unknown user takes as long."""
        password_hash = "" if user is None else user.password_hash
        if self.rate_limits is None:
            return self.hasher.verify(password_hash, password)
        return self.rate_limits.verify_counted(
            account, lambda: self.hasher.verify(password_hash, password)
        )

    @contextmanager
    def _undo_failure_on_error(self, account: str) -> Iterator[None]:
        """Undo the counted failure if a login with the right password is refused."""
        try:
            yield
        except BaseException:
            if self.rate_limits is not None:
                self.rate_limits.undo_login_failure(account)
            raise

    def _check_second_factor(self, user: User, code: str, client_info: ClientInfo) -> str:
        """Return the secret's seed of the verified second factor, or ""."""
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
        account: str,
        replaces: str = "",
    ) -> User:
        """Store a new session and a renewed hash; undo the failure; return the user."""
        needs_rehash = self.hasher.needs_rehash(user.password_hash)
        new_hash = self.hasher.hash(password) if needs_rehash else None
        with self.store.begin() as tx:
            current = _lock_unchanged(tx, user)
            self.factor_check.check_unchanged(tx, current, seed)
            if new_hash is not None:
                tx.users.replace(evolve(current, password_hash=new_hash))
            if replaces:
                _revoke_session(tx, replaces, session.created_at)
            tx.sessions.add(session)
            now = session.created_at
            ended = tx.sessions.revoke_oldest(user.id, now, keep=MAX_SESSIONS)
            changes = {"sessions_ended": [None, ended]} if ended else None
            tx.audit.add(_session_entry(user, "LOGIN", session, client_info, now, changes))
            if self.rate_limits is not None:
                refund_login_failure(tx, account)
        if ended:
            self.actor_cache.evict(user.id)
        return current

    def _audit_refusal(
        self, user: User | None, error: WorkbellError, client_info: ClientInfo
    ) -> WorkbellError:
        """Record a failed login, without secrets; return the error."""
        changes = {"reason": [None, error.code]}
        with self.min_duration(), self.store.begin() as tx:
            failed = account_audit_entry(
                user, "LOGIN_FAILED", client_info, self.clock.now(), changes
            )
            self._burst_filter.add(tx.audit, failed)
        return error

    def _rotate_tokens(
        self, tx: IdentityTx, user: User, session: Session, jti: str, client_info: ClientInfo
    ) -> tuple[User, Session] | None:
        """Return user and session after the exchange, or None if refused."""
        now = self.clock.now()
        state = session.classify_refresh_token(jti, now)
        if state is RefreshTokenState.JUST_ROTATED:
            return user, session
        if state is RefreshTokenState.CURRENT:
            rotated = session.rotated(self.ids.new(), now, self.refresh_life, self.session_life)
            tx.sessions.replace(rotated)
            tx.audit.add(_session_entry(user, "REFRESH", session, client_info, now))
            return user, rotated
        if state is RefreshTokenState.REUSED:
            tx.sessions.replace(session.revoked(now))
            tx.audit.add(_session_entry(user, "REFRESH_REUSED", session, client_info, now))
        return None

    def _issue_tokens(self, user: User, session: Session) -> TokenLogin:
        """Return the token pair of a session; the same until it rotates."""
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


def _lock_unchanged(tx: IdentityTx, user: User) -> User:
    """Lock the user; raise if the password has changed since it was read."""
    current = tx.users.get_for_update(user.id)
    if current.password_hash != user.password_hash or not current.is_active:
        raise WrongCredentials
    return current


def _lock_session(tx: IdentityTx, claims: Claims) -> tuple[User, Session] | None:
    """Return the user and the locked session of a refresh token."""
    try:
        session = tx.sessions.get_for_update(claims.session_id)
    except NotFound:
        return None
    user = user_from_actor(tx, claims)
    if user is None or session.user_id != user.id or session.kind is not SessionKind.TOKENS:
        return None
    return user, session


def _revoke_session(tx: IdentityTx, session_id: str, now: datetime) -> None:
    before = tx.sessions.find(session_id)
    if before is not None and before.is_active(now):
        tx.sessions.replace(before.revoked(now))


def _session_entry(
    user: User,
    action: str,
    session: Session,
    client_info: ClientInfo,
    at: datetime,
    changes: Mapping[str, Any] | None = None,
) -> AuditEntry:
    return account_audit_entry(
        user, action, client_info, at, changes, model="session", subject=session.id
    )
