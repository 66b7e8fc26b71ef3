"""People, their one-time codes and sessions; hashing and signing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.identity.one_time_code import OneTimeCode, Purpose
from workbell.domain.identity.session import Claims, Session, TokenKind
from workbell.domain.identity.user import Role, Tier, User, UserId
from workbell.ports.audit import AuditTrail
from workbell.ports.identity.api_keys import ApiKeys
from workbell.ports.identity.second_factors import SecondFactors


@frozen(kw_only=True)
class UserFilter:
    """
    Which people a list shows; None leaves a matter open.

    `email` is compared as `by_email` does; `search` looks for a part of
    username, address, first or last name, regardless of case.
    """

    id: UserId | None = None
    role: Role | None = None
    tier: Tier | None = None
    is_active: bool | None = None
    is_super_user: bool | None = None
    is_email_verified: bool | None = None
    email: str | None = None
    search: str | None = None


class Users(Protocol):
    """
    Every person, active or not.

    Usernames and addresses are unique by `domain.identity.login_key`: a store
    keeps both keys (at most 150 and 254 characters) in columns of their own,
    compared byte by byte, and sets them whenever it writes a user. Usernames
    never contain `@`, addresses always do, so one never is the other.
    The system (id 0) is no row: it is never found, listed or counted.
    """

    def add(self, user: User) -> User:
        """
        Keep a new person, and return them with their id.

        Ids count from 1 and are never reused. Whatever id comes in is
        ignored. The transaction may be lost afterwards: let the error leave
        its block.

        Raises:
            Taken: Names every field (`username`, `email`) that another has.
        """
        ...

    def get(self, user_id: UserId) -> User:
        """
        Return a person, without a lock.

        Raises:
            NotFound: There is none; 0 is nobody.
        """
        ...

    def get_for_update(self, user_id: UserId) -> User:
        """
        Return a person as they now stand, and lock their row.

        Nobody else gets past this call for the same person until the
        transaction ends (`FOR UPDATE`; the single writer on SQLite).

        Raises:
            NotFound: There is none; 0 is nobody.
        """
        ...

    def by_login(self, identifier: str) -> User | None:
        """
        Return who has this username or, if it holds an `@`, this address.

        Takes any text, active people and others; compares by `login_key`.
        Text that no name can have (NUL, lone surrogates, any length) finds
        nobody and is no error.
        """
        ...

    def by_email(self, email: str) -> User | None:
        """Return who has this address, by the rules of `by_login`."""
        ...

    def replace(self, user: User) -> None:
        """
        Keep a person as they now stand: every field but id and `created_at`.

        Raises:
            NotFound: There is none with this id.
            Taken: Names every field that another has, as `add` does.
        """
        ...

    def has_super_user(self) -> bool:
        """Whether there is an active person with `is_super_user`."""
        ...

    def find(
        self,
        which: UserFilter,
        *,
        ordering: Sequence[str] = ("id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[User]:
        """
        Return a part of a list of people.

        `ordering` holds `id`, `username`, `email` and `created_at`, each with
        a minus to go down; what is equal by them goes by id.
        """
        ...

    def count(self, which: UserFilter) -> int:
        """Return how many users the list has, counting no further than one above `COUNT_CAP`."""
        ...

    def usernames(self) -> Sequence[str]:
        """Return the username of every active person, by id."""
        ...


class Codes(Protocol):
    """One-time codes; the rows stay, for counting, until they are purged."""

    def add(self, code: OneTimeCode) -> OneTimeCode:
        """
        Keep a new code, and return it with its id; ids grow.

        Every earlier code of the same person and purpose expires at the new
        one's `created_at`, unless it did before (`OneTimeCode.superseded`).
        The caller holds the person's row (`Users.get_for_update`).
        """
        ...

    def latest(self, user_id: UserId, purpose: Purpose) -> OneTimeCode | None:
        """Return the code with the highest id, whatever its state; no lock."""
        ...

    def count_since(self, user_id: UserId, purpose: Purpose, since: datetime) -> int:
        """Return how many codes were made after a moment (`created_at > since`)."""
        ...

    def count_wrong_since(self, user_id: UserId, since: datetime) -> int:
        """
        Return how many tries failed, of all codes made after a moment.

        A code's `attempts` count, whatever it was for, less the one that used
        it up. The caller holds the person's row, so that nobody is counted
        past.
        """
        ...

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove codes made before a moment, at most so many; return how many."""
        ...

    def try_attempt(self, code_id: int, now: datetime) -> bool:
        """
        Count one try, before it is known whether it will succeed.

        One UPDATE: `attempts` grows by one where `used_at` is null,
        `expires_at > now` and `attempts < domain.otp.MAX_ATTEMPTS`. False,
        and no change, where no row fits. It makes a flood of parallel guesses
        no better than one after another.
        """
        ...

    def try_use(self, code_id: int, now: datetime) -> bool:
        """
        Use a code up.

        One UPDATE: `used_at` becomes now where `used_at` is null and
        `expires_at > now`; attempts are not looked at, for the try was
        counted already. False, and no change, where no row fits; of parallel
        callers one gets True.
        """
        ...


class Sessions(Protocol):
    """Logins, by their opaque id (text of at most 64 characters)."""

    def add(self, session: Session) -> None:
        """
        Keep a new session.

        Raises:
            Conflict: There is one with this id.
        """
        ...

    def find(self, session_id: str) -> Session | None:
        """Return a session whatever its state, without a lock; None if unknown."""
        ...

    def get_for_update(self, session_id: str) -> Session:
        """
        Return a session as it now stands, and lock its row.

        Raises:
            NotFound: There is none.
        """
        ...

    def replace(self, session: Session) -> None:
        """
        Keep a session as it now stands; its id, user and start stay.

        The caller holds its row (`get_for_update`).

        Raises:
            NotFound: There is none with this id.
        """
        ...

    def note_use(self, session: Session) -> None:
        """
        Keep `last_used_at` and `expires_at` of a session that is not revoked.

        One UPDATE, and no lock: who revokes it meanwhile wins.
        """
        ...

    def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Return a person's sessions that are alive, the newest first."""
        ...

    def opened_from(self, user_id: UserId, address: str) -> bool:
        """Whether a person has signed in from an address, as long as sessions are kept."""
        ...

    def revoke_all(self, user_id: UserId, now: datetime, *, but: str = "") -> int:
        """
        End every session of a person that is alive, but perhaps one.

        The caller holds the person's row, as every login does, so that none
        slips in. Returns how many there were.
        """
        ...

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove sessions that expired before a moment, at most so many; return how many."""
        ...


class PasswordHasher(Protocol):
    """Slow, salted hashes of passwords and codes. Never called in a transaction."""

    def hash(self, password: str) -> str:
        """
        Return a new hash, with its salt and parameters, as one text.

        Raises:
            Unavailable: Too many others are hashing.
        """
        ...

    def verify(self, password_hash: str, password: str) -> bool:
        """
        Whether a password made the hash.

        The empty hash (nobody, or no password) never matches, and takes as
        long as any other.

        Raises:
            Unavailable: Too many others are hashing.
        """
        ...

    def check_room(self) -> None:
        """
        Refuse early who would be refused later, before anything was done for them.

        Raises:
            Unavailable: Too many others are hashing.
        """
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than are used now."""
        ...


class Tokens(Protocol):
    """Signed tokens that a client carries."""

    def issue(self, claims: Claims) -> str:
        """Return the token that says this; the same claims give the same text."""
        ...

    def read(self, token: str, kind: TokenKind) -> Claims:
        """
        Return what a token says, if we signed it and it has not expired.

        Raises:
            Unauthenticated: It is malformed, forged, expired or of another kind.
        """
        ...


class IdentityTx(Protocol):
    """What identity may touch within one transaction."""

    @property
    def users(self) -> Users:
        """The people."""
        ...

    @property
    def codes(self) -> Codes:
        """The one-time codes."""
        ...

    @property
    def sessions(self) -> Sessions:
        """The logins."""
        ...

    @property
    def api_keys(self) -> ApiKeys:
        """The keys of programs."""
        ...

    @property
    def second_factors(self) -> SecondFactors:
        """The second factors."""
        ...

    @property
    def audit(self) -> AuditTrail:
        """The audit trail."""
        ...
