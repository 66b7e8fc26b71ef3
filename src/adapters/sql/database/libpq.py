"""
PostgreSQL by libpq itself, where a statement is its own transaction.

psycopg's cursors send, flush, wait and read by calls of their own, and give the
interpreter away at each. Here it is one call into C; values and rows cross by
psycopg's own adapters.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from sqlalchemy import Connection

Rows = Sequence[tuple[Any, ...]]
_MOST = 100
"""So many statements one connection keeps prepared, as many as psycopg does."""
_BINARY = 1
_GONE = b"26000"
_numbers = count()


def may_ask(driver: Any) -> bool:
    """Whether a statement is a transaction by itself, and may be prepared."""
    return bool(driver.autocommit) and is_free(driver)


def is_free(driver: Any) -> bool:
    """Whether nothing has begun on a connection, and it may prepare."""
    pgconn = driver.pgconn
    return (
        pgconn.transaction_status == pq.TransactionStatus.IDLE
        and pgconn.pipeline_status == pq.PipelineStatus.OFF
        and driver.prepare_threshold is not None
    )


def ask(db: Connection, text: str, values: Sequence[Any]) -> Rows:
    """Execute a statement, prepared if there is room; return its rows."""
    driver: Any = db.connection.dbapi_connection
    crossing: Any = Transformer(driver)
    pgconn = driver.pgconn
    given = crossing.dump_sequence(values, [PyFormat.AUTO] * len(values))
    types, formats = crossing.types or (), crossing.formats

    def send() -> Any:
        name = names.get((text, types))
        if name is None:
            query = text.encode(driver.info.encoding)
            if len(names) >= _MOST:
                return pgconn.exec_params(query, given, types, formats, _BINARY)
            name = b"workbell_%d" % next(_numbers)
            _check(driver, pgconn.prepare(name, query, types))
            names[text, types] = name
        return pgconn.exec_prepared(name, given, formats, _BINARY)

    names = _prepared(db)
    return _rows(driver, crossing, _once_more_if_gone(names, send))


def ask_together(db: Connection, prepare: str, execute: bytes, values: Mapping[bytes, Any]) -> Rows:
    """
    Execute statements that are one text; return the rows of the last.

    They are one transaction, committed at once. Each sees what was committed
    before it began, not before the first.
    The values, texts and integers, are quoted by libpq.
    """
    driver: Any = db.connection.dbapi_connection
    pgconn, encoding = driver.pgconn, driver.info.encoding
    quote: Callable[[bytes], bytes] = pq.Escaping(pgconn).escape_literal
    asked = execute % {
        name: b"%d" % value if isinstance(value, int) else quote(value.encode(encoding))
        for name, value in values.items()
    }

    def send() -> Any:
        if (prepare, ()) not in names:
            _check(driver, pgconn.exec_(prepare.encode(encoding)))
            names[prepare, ()] = b""
        return pgconn.exec_(asked)

    names = _prepared(db)
    return _rows(driver, Transformer(driver), _once_more_if_gone(names, send))


def _once_more_if_gone(names: dict[Any, bytes], send: Callable[[], Any]) -> Any:
    """Send once more, where psycopg has discarded what was prepared, as it does at a rollback."""
    found = send()
    if found.error_field(pq.DiagnosticField.SQLSTATE) != _GONE:
        return found
    names.clear()
    return send()


def _prepared(db: Connection) -> dict[tuple[str, tuple[int, ...]], bytes]:
    """Return the names of what a connection keeps prepared, by text and types."""
    found: dict[tuple[str, tuple[int, ...]], bytes] = db.info.setdefault("prepared", {})
    return found


def _rows(driver: Any, crossing: Any, found: Any) -> Rows:
    if found.status != pq.ExecStatus.TUPLES_OK:
        _check(driver, found)
        return ()
    crossing.set_pgresult(found)
    rows: Rows = crossing.load_rows(0, found.ntuples, tuple)
    return rows


def _check(driver: Any, found: Any) -> None:
    if found.status not in {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}:
        raise error_from_result(found, driver.info.encoding)
