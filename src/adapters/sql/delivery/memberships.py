"""Members of accounts in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    union,
    update,
)
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.filters import COUNT_LIMIT, count_limit, count_rows
from workbell.adapters.sql.database.rows import RowReader
from workbell.adapters.sql.database.statements import inserted_id, prepare
from workbell.adapters.sql.delivery.rows import membership_from_row, membership_values
from workbell.adapters.sql.identity.users import user_from_row
from workbell.adapters.sql.schema.delivery import accounts, memberships
from workbell.adapters.sql.schema.tables import users
from workbell.domain.delivery.account import AccountId, AccountRole, Membership
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.user import User, UserId, normalise_identifier
from workbell.ports.delivery.repository import Member

MAX_ADMINS = 100
members_c = memberships.c
_of_account = members_c.account_id == bindparam("account_id", type_=BigInteger)
_of_user = members_c.user_id == bindparam("user_id", type_=BigInteger)
_is_admin = members_c.role == literal_column(str(int(AccountRole.ADMIN)))
_account_exists = accounts.c.deleted_at.is_(None)
_offset = bindparam("offset", type_=BigInteger)
_limit = bindparam("limit", type_=Integer)
_with_user = memberships.join(users, users.c.id == members_c.user_id)
_with_account = memberships.join(accounts, accounts.c.id == members_c.account_id)

_FIND = prepare(select(memberships).where(_of_account, _of_user), "account_id", "user_id")
_ROLES = select(members_c.account_id, members_c.role).where(
    _of_user, members_c.account_id.in_(bindparam("account_ids", expanding=True))
)
_FIRST = prepare(
    select(memberships)
    .select_from(_with_account)
    .where(_of_user, _account_exists)
    .order_by(members_c.id)
    .limit(literal_column("1")),
    "user_id",
)
_COUNT_ADMINS = prepare(
    select(func.count()).select_from(memberships).where(_of_account, _is_admin), "account_id"
)
_ADMINS = prepare(
    select(users)
    .select_from(_with_user)
    .where(_of_account, _is_admin, users.c.is_active.is_(True))
    .order_by(members_c.user_id)
    .limit(literal_column(str(MAX_ADMINS))),
    "account_id",
)
_PAGE = prepare(
    select(*members_c, *users.c)
    .select_from(_with_user)
    .where(_of_account)
    .order_by(members_c.id)
    .offset(_offset)
    .limit(_limit),
    *("account_id", "offset", "limit"),
)
_others = memberships.alias("others")
_administered = _with_account.join(_others, _others.c.account_id == members_c.account_id)
_SHARES = prepare(
    select(literal_column("1"))
    .select_from(_administered)
    .where(_of_user, _is_admin, _account_exists)
    .where(_others.c.user_id == bindparam("other_id", type_=BigInteger))
    .limit(literal_column("1")),
    *("user_id", "other_id"),
)
# A union, joined: no database would look up `id = ? OR id IN (...)` by the key of users.
_visible_ids = union(
    select(bindparam("user_id", type_=BigInteger).label("id")),
    select(_others.c.user_id)
    .select_from(_administered)
    .where(_of_user, _is_admin, _account_exists),
).subquery("visible")
_visible_users = users.join(_visible_ids, _visible_ids.c.id == users.c.id)
_has_email = users.c.email_key == bindparam("email")
_visible: Select[Any] = (
    select(users).select_from(_visible_users).order_by(users.c.id).offset(_offset).limit(_limit)
)
_VISIBLE = prepare(_visible, "user_id", "offset", "limit")
_VISIBLE_BY_EMAIL = prepare(_visible.where(_has_email), "user_id", "email", "offset", "limit")
_COUNT_VISIBLE = prepare(count_rows(_visible_users), "user_id", COUNT_LIMIT)
_COUNT_BY_EMAIL = prepare(count_rows(_visible_users, _has_email), "user_id", "email", COUNT_LIMIT)
_READER = RowReader.of(memberships)


@frozen
class SqlMembershipRepository:
    """Members of accounts."""

    _db: Connection

    def add(self, membership: Membership) -> Membership:
        """Insert a membership and return it with its id."""
        try:
            result = self._db.execute(insert(memberships), membership_values(membership))
        except IntegrityError as error:
            raise Conflict("The user is a member already.") from error
        return evolve(membership, id=inserted_id(result))

    def find(self, account_id: AccountId, user_id: UserId) -> Membership | None:
        """Return a user's membership, or None."""
        return self._first(_FIND.fetch_all(self._db, (account_id, user_id)))

    def roles(
        self, user_id: UserId, account_ids: Sequence[AccountId]
    ) -> Mapping[AccountId, AccountRole]:
        """Return a user's role in each of the accounts of which they are a member."""
        values = {"user_id": user_id, "account_ids": list(account_ids)}
        rows = self._db.execute(_ROLES, values)
        return {AccountId(account_id): AccountRole(role) for account_id, role in rows}

    def first_of(self, user_id: UserId) -> Membership | None:
        """Return the user's oldest membership in an account that is not deleted."""
        return self._first(_FIRST.fetch_all(self._db, (user_id,)))

    def replace(self, membership: Membership) -> None:
        """Update the role of a membership."""
        changes = {"role": int(membership.role), "updated_at": membership.updated_at}
        change = update(memberships).where(
            members_c.account_id == membership.account_id, members_c.user_id == membership.user_id
        )
        if self._db.execute(change, changes).rowcount == 0:
            raise NotFound(f"The user {membership.user_id} is not a member.")

    def remove(self, account_id: AccountId, user_id: UserId) -> bool:
        """Delete a membership; return whether there was one."""
        row = delete(memberships).where(
            members_c.account_id == account_id, members_c.user_id == user_id
        )
        return self._db.execute(row).rowcount == 1

    def count_admins(self, account_id: AccountId) -> int:
        """Return the number of Admins of an account."""
        ((count,),) = _COUNT_ADMINS.fetch_all(self._db, (account_id,))
        return int(count)

    def admins(self, account_id: AccountId) -> Sequence[User]:
        """Return the active users who are Admins, by id, at most 100."""
        return self._users(_ADMINS.fetch_all(self._db, (account_id,)))

    def list_page(
        self, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Member], int]:
        """Return a page of members by id, and their number up to `COUNT_CAP` + 1."""
        size = len(_READER.names)
        members = [
            Member(
                membership=membership_from_row(_READER.read(self._db, row[:size])),
                user=user_from_row(self._db, row[size:]),
            )
            for row in _PAGE.fetch_all(self._db, (account_id, offset, limit))
        ]
        total = count_rows(memberships, members_c.account_id == account_id)
        return members, self._db.execute(total).scalar_one()

    def shares_account(self, admin_id: UserId, user_id: UserId) -> bool:
        """Whether a user is a member of an account of which `admin_id` is an Admin."""
        return bool(_SHARES.fetch_all(self._db, (admin_id, user_id)))

    def list_visible_users(
        self, admin_id: UserId, *, email: str | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[User], int]:
        """Return a page of `admin_id` and the members of the accounts that they administer."""
        values: tuple[Any, ...] = (admin_id,)
        page, total = _VISIBLE, _COUNT_VISIBLE
        if email is not None:
            values += (normalise_identifier(email),)
            page, total = _VISIBLE_BY_EMAIL, _COUNT_BY_EMAIL
        ((count,),) = total.fetch_all(self._db, (*values, count_limit()))
        return self._users(page.fetch_all(self._db, (*values, offset, limit))), int(count)

    def _first(self, rows: Sequence[Sequence[Any]]) -> Membership | None:
        return membership_from_row(_READER.read(self._db, rows[0])) if rows else None

    def _users(self, rows: Sequence[Sequence[Any]]) -> list[User]:
        return [user_from_row(self._db, row) for row in rows]
