"""Repositories of users and second factors; the transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import frozen

from workbell.domain.identity.second_factor import SecondFactor
from workbell.domain.identity.user import Role, Tier, User, UserId
from workbell.ports.audit import AuditTx
from workbell.ports.identity.api_keys import ApiKeyRepository
from workbell.ports.identity.one_time_codes import OneTimeCodeRepository
from workbell.ports.identity.sessions import SessionRepository


@frozen(kw_only=True)
class UserFilter:
    """
    Conditions of a list of users; None means any.

    `email` is compared as `by_email` does; `search` matches part of the username,
    address, first or last name, case-insensitively.
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
    All users, active or not.

    Usernames and addresses are unique by `normalise_identifier`: the store has a
    column for each normalised form (at most 150 and 254 characters, compared
    byte by byte) and sets both on every write. Only addresses contain `@`, so a
    username never equals an address. The system (id 0) has no row.
    """

    def add(self, user: User) -> User:
        """
        Insert a user and return it with its id; a given id is ignored.

        Ids count from 1 and are never reused. The transaction may be unusable after
        an error: let it leave the block.

        Raises:
            AlreadyTaken: Names every field (`username`, `email`) that is taken.
        """

    def get(self, user_id: UserId) -> User:
        """Return a user, without a lock, or raise NotFound."""

    def get_for_update(self, user_id: UserId) -> User:
        """Return a user and lock their row, or raise NotFound."""

    def by_login(self, identifier: str) -> User | None:
        """
        Return the user with this username or, if it contains `@`, this address.

        Compares by `normalise_identifier` and finds inactive users, too. Accepts any
        text: NUL, lone surrogates and any length simply match no user.
        """

    def by_email(self, email: str) -> User | None:
        """Return the user with this address, by the rules of `by_login`."""

    def replace(self, user: User) -> None:
        """
        Update a user, except id and `created_at`.

        Raises:
            NotFound: There is no user with this id.
            AlreadyTaken: Names every field that is taken, as `add` does.
        """

    def has_super_user(self) -> bool:
        """Whether there is an active superuser."""

    def find(
        self,
        filters: UserFilter,
        *,
        ordering: Sequence[str] = ("id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[User]:
        """
        Return one page of the users.

        `ordering` holds `id`, `username`, `email` or `created_at`, with a leading
        minus for descending; ties are ordered by id.
        """

    def count(self, filters: UserFilter) -> int:
        """Return how many users match, counting up to `COUNT_CAP` + 1."""

    def find_many(self, user_ids: Collection[UserId]) -> Mapping[UserId, User]:
        """Return users by id, active or not; unknown ids are omitted."""

    def usernames(self, *, after: UserId, limit: int) -> Sequence[tuple[UserId, str]]:
        """Return ids and usernames of active users with ids above `after`, by id."""


class SecondFactorRepository(Protocol):
    """Second factors, confirmed or not; at most one per user."""

    def find(self, user_id: UserId) -> SecondFactor | None:
        """Return a user's factor, without a lock; None if there is none."""

    def put(self, factor: SecondFactor) -> None:
        """
        Insert a factor, or replace the user's previous one.

        The caller holds the user's row (`UserRepository.get_for_update`).
        """

    def replace(self, before: SecondFactor, after: SecondFactor) -> bool:
        """
        Update a factor unless it has changed since; return whether it did.

        One UPDATE of `confirmed_at`, `last_step` and `recovery`, where seed,
        `last_step` and `recovery` equal those of `before`: of parallel callers
        exactly one gets True.
        """

    def remove(self, user_id: UserId) -> bool:
        """Delete a user's factor; return whether there was one."""


class IdentityTx(AuditTx, Protocol):
    """The repositories that identity uses within one transaction."""

    @property
    def users(self) -> UserRepository:
        """The users."""

    @property
    def codes(self) -> OneTimeCodeRepository:
        """The one-time codes."""

    @property
    def sessions(self) -> SessionRepository:
        """The sessions."""

    @property
    def api_keys(self) -> ApiKeyRepository:
        """The API keys."""

    @property
    def second_factors(self) -> SecondFactorRepository:
        """The second factors."""
