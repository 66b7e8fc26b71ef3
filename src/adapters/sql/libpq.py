"""
PostgreSQL by libpq itself, where psycopg need not look after a transaction.

psycopg's cursors send, flush, wait and read by calls of their own, and give the
interpreter away at each. Here it is one call into C; values and rows cross by
psycopg's own adapters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from sqlalchemy import Connection

Rows = Sequence[tuple[Any, ...]]
_MOST = 100
"""So many statements one connection keeps prepared, as many as psycopg does."""
_BINARY = 1


def may_ask(driver: Any) -> bool:
    """Whether nothing has to go ahead of a statement, and it may be prepared."""
    return (
        (driver.autocommit or driver.pgconn.transaction_status == pq.TransactionStatus.INTRANS)
        and driver.pgconn.pipeline_status == pq.PipelineStatus.OFF
        and driver.prepare_threshold is not None
    )


def ask(db: Connection, text: str, values: Sequence[Any]) -> Rows:
    """Execute a statement, prepared if it has been asked for before; return its rows."""
    driver: Any = db.connection.dbapi_connection
    crossing, pgconn = Transformer(driver), driver.pgconn
    given = crossing.dump_sequence(values, [PyFormat.AUTO] * len(values))
    types, formats = crossing.types or (), crossing.formats
    names = _prepared(db)
    name = names.get((text, types))
    if name is not None:
        return _rows(driver, crossing, pgconn.exec_prepared(name, given, formats, _BINARY))
    query = text.encode(driver.info.encoding)
    if len(names) >= _MOST:
        found = pgconn.exec_params(query, given, types, formats, _BINARY)
        return _rows(driver, crossing, found)
    name = b"workbell_%d" % len(names)
    _check(driver, pgconn.prepare(name, query, types))
    names[text, types] = name
    return _rows(driver, crossing, pgconn.exec_prepared(name, given, formats, _BINARY))


def ask_together(db: Connection, prepare: str, execute: bytes, values: Mapping[bytes, Any]) -> Rows:
    """
    Execute statements that are one text; return the rows of the last.

    Where no transaction has begun they are one of their own, committed at
    once. Each sees what was committed before it began, not before the first.
    The values, texts and integers, are quoted by libpq.
    """
    driver: Any = db.connection.dbapi_connection
    pgconn, encoding = driver.pgconn, driver.info.encoding
    names = _prepared(db)
    if (prepare, ()) not in names:
        _check(driver, pgconn.exec_(prepare.encode(encoding)))
        names[prepare, ()] = b""
    quote: Callable[[bytes], bytes] = pq.Escaping(pgconn).escape_literal
    quoted = {
        name: b"%d" % value if isinstance(value, int) else quote(value.encode(encoding))
        for name, value in values.items()
    }
    return _rows(driver, Transformer(driver), pgconn.exec_(execute % quoted))


def _prepared(db: Connection) -> dict[tuple[str, tuple[int, ...]], bytes]:
    """Return the names of what a connection keeps prepared, by text and types."""
    found: dict[tuple[str, tuple[int, ...]], bytes] = db.info.setdefault("prepared", {})
    return found


def _rows(driver: Any, crossing: Transformer, found: Any) -> Rows:
    if found.status != pq.ExecStatus.TUPLES_OK:
        _check(driver, found)
        return ()
    crossing.set_pgresult(found)
    return crossing.load_rows(0, found.ntuples, tuple)


def _check(driver: Any, found: Any) -> None:
    if found.status not in {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}:
        raise error_from_result(found, driver.info.encoding)
