"""Users in SQL."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.column_types import instant_reader
from workbell.adapters.sql.database.filters import contains_text, count_rows, equals, order_by
from workbell.adapters.sql.database.statements import (
    AnyRow,
    PreparedStatement,
    column_names,
    inserted_id,
    prepare,
    row_to_dict,
)
from workbell.adapters.sql.schema.tables import users
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import (
    AlreadyTaken,
    Role,
    Tier,
    User,
    UserId,
    normalise_identifier,
)
from workbell.ports.identity.users import UserFilter

users_c = users.c
_ONE = select(users).where(users_c.id == bindparam("user_id"))
_USER = prepare(_ONE, "user_id")
USER_LOCKED = prepare(_ONE.with_for_update(), "user_id")
_COLUMNS = column_names(users)
_FLAGS = ("is_super_user", "is_active", "is_email_verified")
_BY_USERNAME = prepare(select(users).where(users_c.username_key == bindparam("login")), "login")
_BY_EMAIL = prepare(select(users).where(users_c.email_key == bindparam("login")), "login")
_WITH_SAME_KEYS = select(users_c.username_key, users_c.email_key).where(
    or_(users_c.username_key == bindparam("name"), users_c.email_key == bindparam("email")),
    users_c.id != bindparam("except_id"),
)
_SUPER_USER: Select[Any] = (
    select(literal_column("1"))
    .where(users_c.is_super_user.is_(True), users_c.is_active.is_(True))
    .limit(1)
)
_MANY = select(users).where(users_c.id.in_(bindparam("ids", expanding=True)))
_USERNAMES = (
    select(users_c.id, users_c.username)
    .where(users_c.is_active.is_(True), users_c.id > bindparam("after"))
    .order_by(users_c.id)
    .limit(bindparam("max_rows"))
)
_ORDERINGS: Mapping[str, ColumnElement[Any]] = {
    **{name: users_c[name] for name in ("id", "created_at")},
    "username": users_c.username_key,
    "email": users_c.email_key,
}


@frozen
class SqlUserRepository:
    """Users, active or not."""

    _db: Connection

    def add(self, user: User) -> User:
        """Insert a user and return it with its id."""
        values = _user_values(user)
        self._check_free(values, UserId(0))
        try:
            result = self._db.execute(insert(users).values(values))
        except IntegrityError as error:
            raise _to_already_taken(error) from error
        return evolve(user, id=UserId(inserted_id(result)))

    def get(self, user_id: UserId) -> User:
        """Return a user."""
        return self._one(_USER, user_id)

    def get_for_update(self, user_id: UserId) -> User:
        """Lock and return a user."""
        return self._one(USER_LOCKED, user_id)

    def by_login(self, identifier: str) -> User | None:
        """Return the user with a username or, if it contains `@`, an email address."""
        query = _BY_EMAIL if "@" in identifier else _BY_USERNAME
        return self._by_key(query, identifier)

    def by_email(self, email: str) -> User | None:
        """Return the user with an email address, or None."""
        return self._by_key(_BY_EMAIL, email)

    def replace(self, user: User) -> None:
        """Update a user, except its id and `created_at`."""
        values = _user_values(user)
        del values["created_at"]
        self._check_free(values, user.id)
        try:
            changed = self._db.execute(update(users).where(users_c.id == user.id).values(values))
        except IntegrityError as error:
            raise _to_already_taken(error) from error
        if changed.rowcount == 0:
            raise NotFound(f"There is no user {user.id}.")

    def has_super_user(self) -> bool:
        """Whether there is an active superuser."""
        return self._db.execute(_SUPER_USER).first() is not None

    def find(
        self,
        filters: UserFilter,
        *,
        ordering: Sequence[str] = ("id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[User]:
        """Return a page of users."""
        terms = order_by(ordering, _ORDERINGS)
        query = select(users).where(*_conditions(filters)).order_by(*terms)
        return [_user(row) for row in self._db.execute(query.offset(offset).limit(limit))]

    def count(self, filters: UserFilter) -> int:
        """Return the number of matching users, at most `COUNT_CAP` + 1."""
        return self._db.execute(count_rows(users, *_conditions(filters))).scalar_one()

    def find_many(self, user_ids: Collection[UserId]) -> Mapping[UserId, User]:
        """Return users by id."""
        rows = self._db.execute(_MANY, {"ids": list(user_ids)}) if user_ids else ()
        return {user.id: user for user in map(_user, rows)}

    def usernames(self, *, after: UserId, limit: int) -> Sequence[tuple[UserId, str]]:
        """Return ids and usernames of active users with greater ids, by id."""
        rows = self._db.execute(_USERNAMES, {"after": after, "max_rows": limit})
        return [(UserId(row.id), row.username) for row in rows]

    def _one(self, query: PreparedStatement, user_id: UserId) -> User:
        rows = query.fetch_all(self._db, (user_id,))
        if not rows:
            raise NotFound(f"There is no user {user_id}.")
        return user_from_row(self._db, rows[0])

    def _by_key(self, query: PreparedStatement, identifier: str) -> User | None:
        key = normalise_identifier(identifier)
        if "\0" in key or any("\ud800" <= character <= "\udfff" for character in key):
            return None
        rows = query.fetch_all(self._db, (key,))
        return user_from_row(self._db, rows[0]) if rows else None

    def _check_free(self, values: Mapping[str, Any], except_id: UserId) -> None:
        name, email = values["username_key"], values["email_key"]
        parameters = {"name": name, "email": email, "except_id": except_id}
        rows = self._db.execute(_WITH_SAME_KEYS, parameters).all()
        taken = ["username"] if any(row.username_key == name for row in rows) else []
        taken += ["email"] if any(row.email_key == email for row in rows) else []
        if taken:
            raise AlreadyTaken.of(*taken)


def _conditions(filters: UserFilter) -> Iterator[ColumnElement[bool]]:
    yield from equals(users_c.role, filters.role and str(filters.role))
    yield from equals(users_c.tier, filters.tier and str(filters.tier))
    for name in ("id", "is_active", "is_super_user", "is_email_verified"):
        yield from equals(users_c[name], getattr(filters, name))
    if filters.email is not None:
        yield users_c.email_key == normalise_identifier(filters.email)
    if filters.search is not None:
        columns = (users_c.username, users_c.email, users_c.first_name, users_c.last_name)
        yield or_(*(contains_text(column, filters.search) for column in columns))


def _to_already_taken(error: IntegrityError) -> AlreadyTaken:
    """Convert a unique violation after a race; databases name only one key."""
    return AlreadyTaken.of("email" if "email_key" in str(error.orig) else "username")


def _user_values(user: User) -> dict[str, Any]:
    values = asdict(user)
    del values["id"]
    values["role"], values["tier"] = str(user.role), str(user.tier)
    values["username_key"] = normalise_identifier(user.username)
    values["email_key"] = normalise_identifier(user.email)
    return values


def _user(row: AnyRow) -> User:
    return _user_from_values(row_to_dict(row))


def user_from_row(db: Connection, row: Sequence[Any]) -> User:
    """Convert a driver's row of `USER_LOCKED`."""
    values = dict(zip(_COLUMNS, row, strict=True))
    read = instant_reader(db.dialect)
    values["created_at"] = read(values["created_at"])
    if (until := values["password_expires_at"]) is not None:
        values["password_expires_at"] = read(until)
    return _user_from_values(values | {name: bool(values[name]) for name in _FLAGS})


def _user_from_values(values: dict[str, Any]) -> User:
    del values["username_key"], values["email_key"]
    values["role"], values["tier"] = Role(values["role"]), Tier(values["tier"])
    return User(**values)
