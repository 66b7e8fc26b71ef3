"""Accounts in SQL."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.filters import contains_text, count_rows
from workbell.adapters.sql.database.rows import RowReader
from workbell.adapters.sql.database.statements import (
    PreparedStatement,
    inserted_id,
    prepare,
    row_to_dict,
)
from workbell.adapters.sql.delivery.scopes import MEMBER, is_member, member_of
from workbell.adapters.sql.schema.delivery import accounts, memberships
from workbell.domain.delivery.account import Account, AccountId
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import Scope

accounts_c = accounts.c
_IS_THERE = accounts_c.deleted_at.is_(None)
_ONE = select(accounts).where(
    accounts_c.id == bindparam("account_id"), _IS_THERE, is_member(accounts_c.id)
)
_ACCOUNT = prepare(_ONE, "account_id", MEMBER)
_ACCOUNT_LOCKED = prepare(_ONE.with_for_update(), "account_id", MEMBER)
_index: BindParameter[str] = bindparam("token_index")
_BY_TOKEN = prepare(
    select(accounts).where(accounts_c.token_index == _index, _IS_THERE), "token_index"
)
_BY_PREVIOUS_TOKEN = prepare(
    select(accounts).where(accounts_c.previous_token_index == _index, _IS_THERE), "token_index"
)
_READER = RowReader.of(accounts)


@frozen
class SqlAccountRepository:
    """Accounts that are not deleted."""

    _db: Connection

    def add(self, account: Account) -> Account:
        """Insert an account and return it with its id."""
        try:
            result = self._db.execute(insert(accounts), _values(account))
        except IntegrityError as error:
            raise Conflict("There is another account with this token.") from error
        return evolve(account, id=AccountId(inserted_id(result)))

    def get(self, scope: Scope, account_id: AccountId) -> Account:
        """Return an account in the scope."""
        return self._one(_ACCOUNT, scope, account_id)

    def get_for_update(self, scope: Scope, account_id: AccountId) -> Account:
        """Lock and return an account in the scope."""
        return self._one(_ACCOUNT_LOCKED, scope, account_id)

    def find_by_token(self, indexes: Sequence[str], now: datetime) -> Account | None:
        """Return the account whose current or valid previous token has one of the indexes."""
        for query in (_BY_TOKEN, _BY_PREVIOUS_TOKEN):
            for index in indexes:
                for row in query.fetch_all(self._db, (index,)):
                    account = Account(**_READER.read(self._db, row))
                    if account.accepts(index, now):
                        return account
        return None

    def replace(self, account: Account) -> None:
        """Update an account, whose row is locked."""
        change = update(accounts).where(accounts_c.id == account.id)
        if self._db.execute(change, _values(account)).rowcount == 0:
            raise NotFound(f"There is no account {account.id}.")

    def list_page(
        self, scope: Scope, *, search: str | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Account], int]:
        """Return a page of accounts by id, and their number up to `COUNT_CAP` + 1."""
        conditions = list(_conditions(scope, search))
        rows: FromClause = accounts
        by_id: ColumnElement[Any] = accounts_c.id
        if scope.owner is not None:  # by the index of the user's memberships
            rows, by_id = accounts.join(memberships, _is_joined), memberships.c.account_id
        query = select(accounts).select_from(rows).where(*conditions).order_by(by_id)
        page = self._db.execute(query.offset(offset).limit(limit))
        found = [Account(**row_to_dict(row)) for row in page]
        return found, self._db.execute(count_rows(rows, *conditions)).scalar_one()

    def _one(self, query: PreparedStatement, scope: Scope, account_id: AccountId) -> Account:
        rows = query.fetch_all(self._db, (account_id, member_of(scope)))
        if not rows:
            raise NotFound(f"There is no account {account_id}.")
        return Account(**_READER.read(self._db, rows[0]))


_is_joined = memberships.c.account_id == accounts_c.id


def _values(account: Account) -> dict[str, Any]:
    values = asdict(account)
    del values["id"]
    return values


def _conditions(scope: Scope, search: str | None) -> Iterator[ColumnElement[bool]]:
    yield _IS_THERE
    if scope.owner is not None:
        yield memberships.c.user_id == scope.owner
    if search is not None:
        yield contains_text(accounts_c.name, search)
