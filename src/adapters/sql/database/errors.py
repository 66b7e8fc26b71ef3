"""Translation of driver errors into domain errors."""

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
"""Row changed since it was read, lock wait timeout, deadlock."""
_CONTENDED_ON_POSTGRESQL = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock."""
_DUPLICATE_KEY_MYSQL = 1062
# PostgreSQL reports a write in a read-only transaction or on a standby as InternalError.
_CONNECTION_ERRORS = (
    OperationalError,
    InterfaceError,
    InternalError,
    sqlite3.OperationalError,
    PoolTimeoutError,
)


@contextmanager
def translate_errors() -> Iterator[None]:
    """
    Translate the driver's errors into domain errors.

    Raises:
        Conflict: A unique or foreign key constraint was violated.
        Contended: A lock or serialization conflict.
        Unavailable: The database does not answer.
        Invalid: A value does not fit its column.
    """
    try:
        yield
    except IntegrityError as error:
        raise Conflict("A unique or foreign key constraint was violated.") from error
    except DataError as error:
        raise Invalid(f"A value cannot be stored: {_reason(error)}.") from error
    except (DBAPIError, sqlite3.Error, PoolTimeoutError) as error:
        if is_contended(error):
            raise Contended(f"Conflict with another transaction: {_reason(error)}.") from error
        if not _is_connection_error(error):
            raise
        raise Unavailable(f"The database does not answer: {_reason(error)}.") from error


def is_contended(error: Exception) -> bool:
    """Whether the transaction may succeed when it is retried."""
    driver = getattr(error, "orig", None)
    if getattr(driver, "sqlstate", None) in _CONTENDED_ON_POSTGRESQL:
        return True
    return _mysql_number(driver) in _CONTENDED_ON_MYSQL


def is_unique_violation_mysql(error: IntegrityError) -> bool:
    """Whether a unique key, and no other constraint, was violated."""
    return _mysql_number(error.orig) == _DUPLICATE_KEY_MYSQL


def _mysql_number(driver: object) -> int | None:
    arguments = getattr(driver, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _is_connection_error(error: Exception) -> bool:
    if isinstance(error, _CONNECTION_ERRORS):
        return True
    return not isinstance(error, DBAPIError) or error.connection_invalidated


def _reason(error: Exception) -> str:
    """Return the first line of the driver's message."""
    message = str(getattr(error, "orig", None) or error).strip()
    return message.partition("\n")[0].rstrip(".")
