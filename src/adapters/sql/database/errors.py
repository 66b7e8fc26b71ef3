"""Failures: what a driver raises, as one of the error families."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from workbell.domain.errors import Conflict, Contended, Invalid, Unavailable

_CONTENDED_ON_MYSQL = frozenset({1020, 1205, 1213})
"""Changed since it was read, lock wait timeout, deadlock."""
_CONTENDED_ON_POSTGRESQL = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock."""
_TAKEN_ON_MYSQL = 1062
# An InternalError is PostgreSQL's word where nothing may be written: in a view, on a standby.
_AWAY = OperationalError, InterfaceError, InternalError, sqlite3.OperationalError, PoolTimeoutError


@contextmanager
def translate_errors() -> Iterator[None]:
    """
    Turn the driver's errors into the error families.

    Raises:
        Conflict: A unique key is taken, or a row that is referred to is not there.
        Contended: Another transaction was in the way.
        Unavailable: The database does not answer.
        Invalid: A value does not fit into its column.
    """
    try:
        yield
    except IntegrityError as error:
        raise Conflict("Something else has taken its place.") from error
    except DataError as error:
        raise Invalid(f"A value cannot be kept: {_reason(error)}.") from error
    except (DBAPIError, sqlite3.Error, PoolTimeoutError) as error:
        if is_contended(error):
            raise Contended(f"Another transaction was in the way: {_reason(error)}.") from error
        if not _is_connection_error(error):
            raise
        raise Unavailable(f"The database does not answer: {_reason(error)}.") from error


def is_contended(error: Exception) -> bool:
    """Whether the same work, done again, may succeed at once."""
    driver = getattr(error, "orig", None)
    if getattr(driver, "sqlstate", None) in _CONTENDED_ON_POSTGRESQL:
        return True
    return _mysql_number(driver) in _CONTENDED_ON_MYSQL


def is_unique_violation_mysql(error: IntegrityError) -> bool:
    """Whether it was a unique key, and no other constraint, that stood against a row."""
    return _mysql_number(error.orig) == _TAKEN_ON_MYSQL


def _mysql_number(driver: object) -> int | None:
    arguments = getattr(driver, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _is_connection_error(error: Exception) -> bool:
    if isinstance(error, _AWAY):
        return True
    return not isinstance(error, DBAPIError) or error.connection_invalidated


def _reason(error: Exception) -> str:
    """Return the driver's word; what PostgreSQL asks on further lines is left out."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.partition("\n")[0].rstrip(".")
