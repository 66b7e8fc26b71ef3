"""Users in memory."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows, sort_rows
from workbell.adapters.memory.tables import Tables
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import AlreadyTaken, User, UserId, normalise_identifier
from workbell.ports.identity.users import UserFilter

_KEYS: Mapping[str, Callable[[User], Any]] = {
    **{name: attrgetter(name) for name in ("id", "created_at")},
    "username": lambda user: normalise_identifier(user.username),
    "email": lambda user: normalise_identifier(user.email),
}


@define(eq=False)
class MemoryUserRepository:
    """Users, active or not."""

    _tables: Tables

    def add(self, user: User) -> User:
        """Insert a user and return it with its id."""
        self._check_free(user, UserId(0))
        stored = evolve(user, id=UserId(self._tables.users.next_id()))
        self._put(stored)
        return stored

    def get(self, user_id: UserId) -> User:
        """Return a user."""
        if (user := self._tables.users.get(user_id)) is None:
            raise NotFound(f"There is no user {user_id}.")
        return user

    get_for_update = get

    def by_login(self, identifier: str) -> User | None:
        """Return the user with a username or, if it contains `@`, an email address."""
        found = self._tables.logins.get(normalise_identifier(identifier))
        return None if found is None else self._tables.users.get(found)

    def by_email(self, email: str) -> User | None:
        """Return the user with an email address, or None."""
        found = self.by_login(email)
        has_email = found and normalise_identifier(found.email) == normalise_identifier(email)
        return found if has_email else None

    def replace(self, user: User) -> None:
        """Update a user, except its id and `created_at`."""
        stored = self.get(user.id)
        self._check_free(user, user.id)
        for name in (stored.username, stored.email):
            self._tables.logins.delete(normalise_identifier(name))
        self._put(evolve(user, created_at=stored.created_at))

    def has_super_user(self) -> bool:
        """Whether there is an active superuser."""
        return any(user.is_super_user and user.is_active for user in self._tables.users)

    def find(
        self,
        filters: UserFilter,
        *,
        ordering: Sequence[str] = ("id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[User]:
        """Return a page of users."""
        rows = sort_rows(list(self._matching(filters)), ordering, _KEYS)
        return rows[offset : offset + limit]

    def count(self, filters: UserFilter) -> int:
        """Return the number of matching users, at most `COUNT_CAP` + 1."""
        return count_rows(self._matching(filters))

    def find_many(self, user_ids: Collection[UserId]) -> Mapping[UserId, User]:
        """Return users by id."""
        users = (self._tables.users.get(user_id) for user_id in user_ids)
        return {user.id: user for user in users if user is not None}

    def usernames(self, *, after: UserId, limit: int) -> Sequence[tuple[UserId, str]]:
        """Return ids and usernames of active users with greater ids, by id."""
        active = [user for user in self._tables.users if user.is_active and user.id > after]
        return [(user.id, user.username) for user in active[:limit]]

    def _matching(self, filters: UserFilter) -> Iterator[User]:
        wanted_values = {
            name: wanted
            for name in ("id", "role", "tier", "is_active", "is_super_user", "is_email_verified")
            if (wanted := getattr(filters, name)) is not None
        }
        email = None if filters.email is None else normalise_identifier(filters.email)
        search = None if filters.search is None else filters.search.casefold()
        for user in self._tables.users:
            texts = (user.username, user.email, user.first_name, user.last_name)
            if (
                all(getattr(user, name) == wanted for name, wanted in wanted_values.items())
                and email in {None, normalise_identifier(user.email)}
                and (search is None or any(search in text.lower() for text in texts))
            ):
                yield user

    def _put(self, user: User) -> None:
        self._tables.users.put(user.id, user)
        for name in (user.username, user.email):
            self._tables.logins.put(normalise_identifier(name), user.id)

    def _check_free(self, user: User, except_id: UserId) -> None:
        names = {"username": user.username, "email": user.email}
        taken = [
            field
            for field, name in names.items()
            if self._tables.logins.get(normalise_identifier(name)) not in {None, except_id}
        ]
        if taken:
            raise AlreadyTaken.of(*taken)
