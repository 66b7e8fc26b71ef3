"""Destinations in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    update,
)

from workbell.adapters.sql.database.column_types import to_db_values
from workbell.adapters.sql.database.filters import count_limit
from workbell.adapters.sql.database.rows import RowReader
from workbell.adapters.sql.database.statements import (
    PreparedStatement,
    inserted_id,
    prepare,
)
from workbell.adapters.sql.delivery.rows import destination_from_row, destination_values
from workbell.adapters.sql.delivery.scopes import MEMBER, is_visible, member_of
from workbell.adapters.sql.delivery.statistics import read_statistics
from workbell.adapters.sql.schema.delivery import destinations
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.ports.delivery.repository import DestinationStatistics

destinations_c = destinations.c
_READER = RowReader.of(destinations)
_by_id = destinations_c.id == bindparam("destination_id")
_IS_THERE = destinations_c.deleted_at.is_(None)
_VISIBLE = prepare(
    select(destinations).where(_by_id, _IS_THERE, is_visible(destinations_c.account_id)),
    *("destination_id", MEMBER),
)
_LOCKED = prepare(select(destinations).where(_by_id).with_for_update(), "destination_id")
_of_account = (destinations_c.account_id == bindparam("account_id"), _IS_THERE)
_in_account = select(destinations).where(*_of_account).order_by(destinations_c.id)
_ALL_OF = prepare(_in_account, "account_id")
_PAGE = prepare(
    _in_account.offset(bindparam("offset", type_=BigInteger)).limit(
        bindparam("limit", type_=Integer)
    ),
    *("account_id", "offset", "limit"),
)
_counted: Select[Any] = (
    select(literal_column("1")).where(*_of_account).limit(bindparam("limit", type_=Integer))
)
_COUNT = prepare(select(func.count()).select_from(_counted.subquery()), "account_id", "limit")
_CHANGED = tuple(name for name in _READER.names if name != "id")
_REPLACE = prepare(
    update(destinations)
    .where(_by_id)
    .values({destinations_c[name]: bindparam(f"new_{name}") for name in _CHANGED}),
    *(f"new_{name}" for name in _CHANGED),
    "destination_id",
)


@frozen
class SqlDestinationRepository:
    """Destinations of accounts; only `get_for_update` returns deleted ones."""

    _db: Connection

    def add(self, destination: Destination) -> Destination:
        """Insert a destination and return it with its id."""
        result = self._db.execute(insert(destinations), destination_values(destination))
        return evolve(destination, id=DestinationId(inserted_id(result)))

    def get(self, scope: Scope, destination_id: DestinationId) -> Destination:
        """Return a destination in the scope."""
        return self._one(_VISIBLE, destination_id, member_of(scope))

    def get_for_update(self, destination_id: DestinationId) -> Destination:
        """Lock and return a destination, also a deleted one."""
        return self._one(_LOCKED, destination_id)

    def replace(self, destination: Destination) -> None:
        """Update a destination, whose row is locked."""
        values = destination_values(destination)
        stored = to_db_values([values[name] for name in _CHANGED], self._db.dialect)
        if _REPLACE.execute(self._db, (*stored, destination.id)).rowcount == 0:
            raise NotFound(f"There is no destination {destination.id}.")

    def all_of(self, account_id: AccountId) -> Sequence[Destination]:
        """Return all destinations of an account by id."""
        return [self._read(row) for row in _ALL_OF.fetch_all(self._db, (account_id,))]

    def count(self, account_id: AccountId, *, limit: int) -> int:
        """Return the number of destinations of an account, counting up to `limit`."""
        ((count,),) = _COUNT.fetch_all(self._db, (account_id, limit))
        return int(count)

    def list_page(
        self, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Destination], int]:
        """Return a page of destinations by id, and their number up to `COUNT_CAP` + 1."""
        rows = _PAGE.fetch_all(self._db, (account_id, offset, limit))
        return [self._read(row) for row in rows], self.count(account_id, limit=count_limit())

    def statistics(self, destination_id: DestinationId, since: datetime) -> DestinationStatistics:
        """Return the figures of a destination since a time; tests are left out."""
        return read_statistics(self._db, destination_id, since)

    def _one(
        self, query: PreparedStatement, destination_id: DestinationId, *more: int
    ) -> Destination:
        rows = query.fetch_all(self._db, (destination_id, *more))
        if not rows:
            raise NotFound(f"There is no destination {destination_id}.")
        return self._read(rows[0])

    def _read(self, row: Sequence[Any]) -> Destination:
        return destination_from_row(_READER.read(self._db, row))
