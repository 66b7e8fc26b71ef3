"""Signing in, staying signed in, and knowing who asks."""

from datetime import datetime, timedelta

from attrs import evolve, field, frozen

from ..domain.audit import AuditEntry
from ..domain.errors import NotFound, Unauthenticated, WorkbellError
from ..domain.identity import SYSTEM_ID, Actor, EmailNotVerified, Origin, User, WrongCredentials
from ..domain.sessions import Claims, Session, Standing, TokenKind
from ..ports.identity import IdentityTx, PasswordHasher, Tokens
from ..ports.store import Store
from ..ports.system import Clock, Ids
from .contention import done_again

_NOWHERE = Origin()


@frozen(kw_only=True)
class SignedIn:
    """A person, and the two tokens that stand for them until they expire."""

    user: User
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_expires_at: datetime
    refresh_expires_at: datetime


@frozen(kw_only=True)
class SigningIn:
    """
    Turn passwords into tokens, old tokens into new ones, and tokens into people.

    Nothing is hashed within a transaction.
    """

    store: Store[IdentityTx]
    clock: Clock
    ids: Ids
    hasher: PasswordHasher
    tokens: Tokens
    access_life: timedelta = timedelta(minutes=15)
    refresh_life: timedelta = timedelta(days=1)
    require_verified_email: bool = False

    def login(
        self,
        identifier: str,
        password: str,
        origin: Origin = _NOWHERE,
        *,
        require_verified: bool = False,
    ) -> SignedIn:
        """
        Open a session for who has this username or address, and this password.

        Takes as long for a name that nobody has. A hash with old parameters
        is made anew.

        Raises:
            WrongCredentials: There is no such active person and password.
            EmailNotVerified: They are right, but a verified address is wanted,
                by the settings or by `require_verified`.
            Unavailable: The store does not answer, or too many are hashing.
        """
        with self.store.view() as tx:
            user = tx.users.by_login(identifier)
        fits = self.hasher.verify(user.password_hash if user else "", password)
        if user is None or not fits or not user.is_active:
            raise self._refused(user, WrongCredentials(), origin)
        if (require_verified or self.require_verified_email) and not user.is_email_verified:
            raise self._refused(user, EmailNotVerified(), origin)
        session, now = self._new_session(user), self.clock.now()
        renewed = self._renewed(user, password)
        with self.store.begin() as tx:
            current = _unchanged(tx, user)
            if renewed is not None:
                tx.users.replace(evolve(current, password_hash=renewed))
            tx.sessions.add(session)
            tx.audit.add(_entry(user, "LOGIN", "session", session.id, origin, now))
        return self._signed_in(current, session)

    @done_again
    def refresh(self, token: str, origin: Origin = _NOWHERE) -> SignedIn:
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
            signed_in = found and self._exchanged(tx, found, claims.jti, next_jti, now, origin)
        if signed_in is None:
            raise Unauthenticated("This session has ended: sign in again.")
        return self._signed_in(*signed_in)

    def authenticate(self, token: str, origin: Origin = _NOWHERE) -> Actor:
        """
        Return who asks with this access token.

        Raises:
            Unauthenticated: The token, its session or its user serves no more.
        """
        claims, now = self.tokens.read(token, TokenKind.ACCESS), self.clock.now()
        with self.store.view() as tx:
            session = tx.sessions.find(claims.session_id)
            user = _user_of(tx, claims)
        if user is None or session is None or not session.alive(now):
            raise Unauthenticated("This session has ended: sign in again.")
        if session.user_id != user.id:
            raise Unauthenticated("This token does not serve here.")
        return Actor.of(user, session_id=session.id, origin=origin)

    def _refused(self, user: User | None, why: WorkbellError, origin: Origin) -> WorkbellError:
        """Keep that somebody was refused, never what they typed; return the error."""
        who = Actor.of(user, origin=origin) if user else Actor(user_id=SYSTEM_ID, origin=origin)
        subject = user.id if user else ""
        changes = {"reason": [None, why.code]}
        with self.store.begin() as tx:
            now = self.clock.now()
            tx.audit.add(AuditEntry.of(who, "LOGIN_FAILED", "user", subject, now, changes))
        return why

    def _new_session(self, user: User) -> Session:
        ids = self.ids
        return Session.start(ids.new(), user.id, ids.new(), self.clock.now(), self.refresh_life)

    def _renewed(self, user: User, password: str) -> str | None:
        if not self.hasher.needs_rehash(user.password_hash):
            return None
        return self.hasher.hash(password)

    def _exchanged(
        self,
        tx: IdentityTx,
        found: tuple[User, Session],
        jti: str,
        next_jti: str,
        now: datetime,
        origin: Origin,
    ) -> tuple[User, Session] | None:
        """Return user and session as the exchange leaves them, or None if it is refused."""
        user, session = found
        standing = session.standing(jti, now)
        if standing is Standing.JUST_ROTATED:
            return found
        if standing is Standing.CURRENT:
            rotated = session.rotated(next_jti, now, self.refresh_life)
            tx.sessions.replace(rotated)
            tx.audit.add(_entry(user, "REFRESH", "session", session.id, origin, now))
            return user, rotated
        if standing is Standing.REUSED:
            tx.sessions.replace(session.revoked(now))
            tx.audit.add(_entry(user, "REFRESH_REUSED", "session", session.id, origin, now))
        return None

    def _signed_in(self, user: User, session: Session) -> SignedIn:
        """Return the pair that belongs to a session as it stands: always the same one."""
        access = self._claims(TokenKind.ACCESS, user, session)
        refresh = self._claims(TokenKind.REFRESH, user, session)
        return SignedIn(
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


def _user_of(tx: IdentityTx, claims: Claims) -> User | None:
    """Return the active user of a token, unless all their tokens were called back."""
    try:
        user = tx.users.get(claims.user_id)
    except NotFound:
        return None
    return user if user.is_active and user.token_version == claims.version else None


def _locked(tx: IdentityTx, claims: Claims) -> tuple[User, Session] | None:
    """Return the user and the locked session of a refresh token."""
    try:
        session = tx.sessions.get_for_update(claims.session_id)
    except NotFound:
        return None
    user = _user_of(tx, claims)
    return (user, session) if user is not None and session.user_id == user.id else None


def _entry(
    user: User, action: str, model: str, subject: object, origin: Origin, at: datetime
) -> AuditEntry:
    return AuditEntry.of(Actor.of(user, origin=origin), action, model, subject, at)
