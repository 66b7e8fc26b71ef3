"""People and one-time codes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.column_types import moment_reader
from workbell.adapters.sql.database.filters import count_rows, equal, holds, ordered
from workbell.adapters.sql.database.statements import (
    AnyRow,
    Prepared,
    named,
    new_id,
    plain_names,
    prepared,
)
from workbell.adapters.sql.schema.tables import codes, users
from workbell.domain.errors import NotFound
from workbell.domain.identity.one_time_code import MAX_ATTEMPTS, OneTimeCode, Purpose
from workbell.domain.identity.user import Role, Taken, Tier, User, UserId, login_key
from workbell.ports.identity.users import UserFilter

_u, _k = users.c, codes.c
_ONE = select(users).where(_u.id == bindparam("user_id"))
_USER = prepared(_ONE, "user_id")
USER_LOCKED = prepared(_ONE.with_for_update(), "user_id")
_COLUMNS = plain_names(users)
_FLAGS = ("is_super_user", "is_active", "is_email_verified")
_BY_USERNAME = prepared(select(users).where(_u.username_key == bindparam("login")), "login")
_BY_EMAIL = prepared(select(users).where(_u.email_key == bindparam("login")), "login")
_TAKEN = select(_u.username_key, _u.email_key).where(
    or_(_u.username_key == bindparam("name"), _u.email_key == bindparam("email")),
    _u.id != bindparam("itself"),
)
_SUPER_USER: Select[Any] = (
    select(literal_column("1")).where(_u.is_super_user.is_(True), _u.is_active.is_(True)).limit(1)
)
_USERNAMES = select(_u.username).where(_u.is_active.is_(True)).order_by(_u.id)
_ORDERINGS: Mapping[str, ColumnElement[Any]] = {
    "id": _u.id,
    "username": _u.username_key,
    "email": _u.email_key,
    "created_at": _u.created_at,
}
_of_person = (_k.user_id == bindparam("whose"), _k.purpose == bindparam("what_for"))
_LATEST = select(codes).where(*_of_person).order_by(_k.id.desc()).limit(1)
_COUNT_SINCE = (
    select(func.count()).select_from(codes).where(*_of_person, _k.created_at > bindparam("since"))
)
_WRONG = select(
    func.coalesce(
        func.sum(
            case((_k.used_at.is_not(None) & (_k.attempts > 0), _k.attempts - 1), else_=_k.attempts)
        ),
        0,
    )
).where(_k.user_id == bindparam("whose"), _k.created_at > bindparam("since"))
_SUPERSEDE = (
    update(codes)
    .where(*_of_person, _k.expires_at > bindparam("now"))
    .values(expires_at=bindparam("now"))
)
_is_usable = (
    _k.id == bindparam("code_id"),
    _k.used_at.is_(None),
    _k.expires_at > bindparam("now"),
)
_TRY = update(codes).where(*_is_usable, _k.attempts < MAX_ATTEMPTS).values(attempts=_k.attempts + 1)
_USE = update(codes).where(*_is_usable).values(used_at=bindparam("now"))


@frozen
class SqlUsers:
    """Every person, active or not."""

    _db: Connection

    def add(self, user: User) -> User:
        """Keep a new person, and return them with their id."""
        values = _user_values(user)
        self._check_free(values, UserId(0))
        try:
            result = self._db.execute(insert(users).values(values))
        except IntegrityError as error:
            raise _taken(error) from error
        return evolve(user, id=UserId(new_id(result)))

    def get(self, user_id: UserId) -> User:
        """Return a person, without a lock."""
        return self._one(_USER, user_id)

    def get_for_update(self, user_id: UserId) -> User:
        """Return a person as they now stand, and lock their row."""
        return self._one(USER_LOCKED, user_id)

    def by_login(self, identifier: str) -> User | None:
        """Return who has this username or, if it holds an `@`, this address."""
        query = _BY_EMAIL if "@" in identifier else _BY_USERNAME
        return self._by_key(query, identifier)

    def by_email(self, email: str) -> User | None:
        """Return who has this address."""
        return self._by_key(_BY_EMAIL, email)

    def replace(self, user: User) -> None:
        """Keep a person as they now stand: every field but id and `created_at`."""
        values = _user_values(user)
        del values["created_at"]
        self._check_free(values, user.id)
        try:
            changed = self._db.execute(update(users).where(_u.id == user.id).values(values))
        except IntegrityError as error:
            raise _taken(error) from error
        if changed.rowcount == 0:
            raise NotFound(f"There is no user {user.id}.")

    def has_super_user(self) -> bool:
        """Whether there is an active person with `is_super_user`."""
        return self._db.execute(_SUPER_USER).first() is not None

    def find(
        self,
        which: UserFilter,
        *,
        ordering: Sequence[str] = ("id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[User]:
        """Return a part of a list of people."""
        terms = ordered(ordering, _ORDERINGS)
        query = select(users).where(*_conditions(which)).order_by(*terms)
        return [_user(row) for row in self._db.execute(query.offset(offset).limit(limit))]

    def count(self, which: UserFilter) -> int:
        """Return how many users the list has, counting no further than one above `COUNT_CAP`."""
        return self._db.execute(count_rows(users, *_conditions(which))).scalar_one()

    def usernames(self) -> Sequence[str]:
        """Return the username of every active person, by id."""
        return self._db.execute(_USERNAMES).scalars().all()

    def _one(self, query: Prepared, user_id: UserId) -> User:
        rows = query.rows(self._db, (user_id,))
        if not rows:
            raise NotFound(f"There is no user {user_id}.")
        return user_of_kept(self._db, rows[0])

    def _by_key(self, query: Prepared, identifier: str) -> User | None:
        key = login_key(identifier)
        if "\0" in key or any("\ud800" <= character <= "\udfff" for character in key):
            return None
        rows = query.rows(self._db, (key,))
        return user_of_kept(self._db, rows[0]) if rows else None

    def _check_free(self, values: Mapping[str, Any], itself: UserId) -> None:
        name, email = values["username_key"], values["email_key"]
        asked = {"name": name, "email": email, "itself": itself}
        rows = self._db.execute(_TAKEN, asked).all()
        taken = [
            field
            for field, is_taken in (
                ("username", any(row.username_key == name for row in rows)),
                ("email", any(row.email_key == email for row in rows)),
            )
            if is_taken
        ]
        if taken:
            raise Taken.of(*taken)


def _conditions(which: UserFilter) -> Iterator[ColumnElement[bool]]:
    yield from equal(_u.id, which.id)
    yield from equal(_u.role, which.role and str(which.role))
    yield from equal(_u.tier, which.tier and str(which.tier))
    yield from equal(_u.is_active, which.is_active)
    yield from equal(_u.is_super_user, which.is_super_user)
    yield from equal(_u.is_email_verified, which.is_email_verified)
    if which.email is not None:
        yield _u.email_key == login_key(which.email)
    if which.search is not None:
        columns = (_u.username, _u.email, _u.first_name, _u.last_name)
        yield or_(*(holds(column, which.search) for column in columns))


def _taken(error: IntegrityError) -> Taken:
    """Return what a lost race means; databases name one key only."""
    return Taken.of("email" if "email_key" in str(error.orig) else "username")


def _user_values(user: User) -> dict[str, Any]:
    values = asdict(user)
    del values["id"]
    values["role"], values["tier"] = str(user.role), str(user.tier)
    values["username_key"] = login_key(user.username)
    values["email_key"] = login_key(user.email)
    return values


def _user(row: AnyRow) -> User:
    return _user_of(named(row))


def user_of_kept(db: Connection, row: Sequence[Any]) -> User:
    """Return the person of a row of `USER_LOCKED`, as the driver returns it."""
    values = dict(zip(_COLUMNS, row, strict=True))
    read = moment_reader(db.dialect)
    values["created_at"] = read(values["created_at"])
    if (until := values["password_expires_at"]) is not None:
        values["password_expires_at"] = read(until)
    return _user_of(values | {name: bool(values[name]) for name in _FLAGS})


def _user_of(values: dict[str, Any]) -> User:
    del values["username_key"], values["email_key"]
    values["role"], values["tier"] = Role(values["role"]), Tier(values["tier"])
    return User(**values)


@frozen
class SqlCodes:
    """One-time codes; the rows stay, for counting, until they are purged."""

    _db: Connection

    def add(self, code: OneTimeCode) -> OneTimeCode:
        """Keep a new code, which supersedes the earlier ones."""
        person = {"whose": code.user_id, "what_for": str(code.purpose)}
        self._db.execute(_SUPERSEDE, {**person, "now": code.created_at})
        values = {**asdict(code), "purpose": str(code.purpose)}
        del values["id"]
        result = self._db.execute(insert(codes).values(values))
        return evolve(code, id=new_id(result))

    def latest(self, user_id: UserId, purpose: Purpose) -> OneTimeCode | None:
        """Return the code with the highest id, whatever its state."""
        person = {"whose": user_id, "what_for": str(purpose)}
        row = self._db.execute(_LATEST, person).one_or_none()
        if row is None:
            return None
        values: dict[str, Any] = named(row)
        values["purpose"] = Purpose(row.purpose)
        return OneTimeCode(**values)

    def count_since(self, user_id: UserId, purpose: Purpose, since: datetime) -> int:
        """Return how many codes were made after a moment."""
        values = {"whose": user_id, "what_for": str(purpose), "since": since}
        return self._db.execute(_COUNT_SINCE, values).scalar_one()

    def count_wrong_since(self, user_id: UserId, since: datetime) -> int:
        """Return how many tries failed, of all codes made after a moment."""
        return int(self._db.execute(_WRONG, {"whose": user_id, "since": since}).scalar_one())

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove codes made before a moment, at most so many; return how many."""
        old = select(_k.id).where(_k.created_at < before).order_by(_k.id).limit(limit)
        found = self._db.execute(old).scalars().all()
        self._db.execute(delete(codes).where(_k.id.in_(found)))
        return len(found)

    def try_attempt(self, code_id: int, now: datetime) -> bool:
        """Count one try, before it is known whether it will succeed."""
        return self._db.execute(_TRY, {"code_id": code_id, "now": now}).rowcount == 1

    def try_use(self, code_id: int, now: datetime) -> bool:
        """Use a code up."""
        return self._db.execute(_USE, {"code_id": code_id, "now": now}).rowcount == 1
