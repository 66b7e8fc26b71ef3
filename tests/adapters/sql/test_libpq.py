"""PostgreSQL by libpq itself: what is prepared, and what goes by psycopg."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tests.contract.factories import ManualClock
from tests.contract.servers import server
from workbell.adapters.sql.database.statements import Prepared, prepared

pytestmark = pytest.mark.integration


@pytest.fixture
def db() -> Iterator[Connection]:
    """Have a connection for reading, which nobody else has used or will."""
    with server("postgresql").store(ManualClock()).view() as tx:
        renew(tx._db)
        yield tx._db
        renew(tx._db)


def renew(db: Connection) -> None:
    """Have a connection open another one to the server."""
    db.rollback()
    db.invalidate()
    db.rollback()


def more(number: int) -> Prepared:
    """Return a statement of its own for a number."""
    return prepared(text(f"SELECT {number} + CAST(:more AS integer), '%'"), "more")


def kept(db: Connection) -> int:
    """Return how many statements the connection keeps prepared."""
    asked = "SELECT count(*) FROM pg_prepared_statements"
    return int(db.exec_driver_sql(asked).scalar_one())


def test_a_connection_keeps_so_many_statements_and_no_more(db: Connection) -> None:
    for _ in range(2):
        for number in range(120):
            assert more(number).rows(db, (1,)) == [(number + 1, "%")]
    assert kept(db) == 100


def test_a_statement_is_prepared_for_the_types_of_its_values(db: Connection) -> None:
    for value in (1, 70_000, None, 2, 70_001):
        assert more(5).rows(db, (value,)) == [(value and value + 5, "%")]
    assert kept(db) == 3


def test_a_connection_that_must_not_prepare_goes_by_psycopg(db: Connection) -> None:
    driver: Any = db.connection.dbapi_connection
    driver.prepare_threshold = None
    assert more(1).rows(db, (1,)) == [(2, "%")]
    with driver.pipeline():
        assert more(2).rows(db, (1,)) == [(3, "%")]
    assert kept(db) == 0


def test_what_was_discarded_is_prepared_anew(db: Connection) -> None:
    """As psycopg does at a rollback, for its own sake."""
    for _ in range(2):
        assert more(1).rows(db, (1,)) == [(2, "%")]
        assert more(2).rows(db, (1,)) == [(3, "%")]
        db.exec_driver_sql("DEALLOCATE ALL")
    assert kept(db) == 0


def test_what_fails_is_told_as_usual_and_leaves_nothing(db: Connection) -> None:
    from psycopg.errors import DivisionByZero

    with pytest.raises(DBAPIError, match="division by zero") as raised:
        prepared(text("SELECT 1 / CAST(:by AS integer)"), "by").rows(db, (0,))
    assert isinstance(raised.value.orig, DivisionByZero)
    prepared(text("SET LOCAL lock_timeout = 1")).do(db)
    assert more(1).rows(db, (1,)) == [(2, "%")]
