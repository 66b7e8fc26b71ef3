"""Repositories of users and second factors; the transaction."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from workbell.domain.identity.second_factor import SecondFactor
from workbell.domain.identity.user import Role, Tier, User, UserId
from workbell.ports.audit import AuditRepository
from workbell.ports.identity.api_keys import ApiKeyRepository
from workbell.ports.identity.one_time_codes import OneTimeCodeRepository
from workbell.ports.identity.sessions import SessionRepository


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


class UserRepository(Protocol):
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
        filters: UserFilter,
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

    def count(self, filters: UserFilter) -> int:
        """Return how many users the list has, counting no further than one above `COUNT_CAP`."""
        ...

    def usernames(self) -> Sequence[str]:
        """Return the username of every active person, by id."""
        ...


class SecondFactorRepository(Protocol):
    """Second factors, at most one of a person, confirmed or not."""

    def find(self, user_id: UserId) -> SecondFactor | None:
        """Return a person's factor as it now stands, without a lock."""
        ...

    def put(self, factor: SecondFactor) -> None:
        """
        Keep a new factor in place of the one that its person had.

        The caller holds the person's row (`Users.get_for_update`).
        """
        ...

    def replace(self, before: SecondFactor, after: SecondFactor) -> bool:
        """
        Keep a factor as it now stands, if nobody has used or changed it since.

        One UPDATE: `confirmed_at`, `last_step` and `recovery` change where
        seed, `last_step` and `recovery` are those of `before`. False, and no
        change, where no row fits; of parallel callers one gets True.
        """
        ...

    def remove(self, user_id: UserId) -> bool:
        """Remove a person's factor with its recovery codes; return whether there was one."""
        ...


class IdentityTx(Protocol):
    """What identity may touch within one transaction."""

    @property
    def users(self) -> UserRepository:
        """The people."""
        ...

    @property
    def codes(self) -> OneTimeCodeRepository:
        """The one-time codes."""
        ...

    @property
    def sessions(self) -> SessionRepository:
        """The logins."""
        ...

    @property
    def api_keys(self) -> ApiKeyRepository:
        """The keys of programs."""
        ...

    @property
    def second_factors(self) -> SecondFactorRepository:
        """The second factors."""
        ...

    @property
    def audit(self) -> AuditRepository:
        """The audit trail."""
        ...
