"""
Prepared statements, and inserts in the syntax of each dialect.

On PostgreSQL and SQLite prepared statements bypass SQLAlchemy's cursor, which describes
every column of every result: listing 20 schedules through it takes 1.5 to 1.7
times the CPU time (docs/decisions/0005-one-strategy-per-database.md).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import cache
from sys import intern
from typing import Any, TypeAlias, cast

from attrs import Factory, define, field
from sqlalchemy import (
    BindParameter,
    Connection,
    CursorResult,
    Executable,
    Row,
    Table,
    TextClause,
    bindparam,
    text,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError

Values = Sequence[Any]
_TABLE = re.compile(r"\bworkbell_\w+")
SQLITE_DRIVER = "pysqlite"
_CURSOR = "workbell cursor"
IDLE = 0
"""psycopg's transaction status of a connection without a transaction."""
AnyRow: TypeAlias = Row[*tuple[Any, ...]]
AnyResult: TypeAlias = CursorResult[*tuple[Any, ...]]


def get_schema(db: Connection) -> str | None:
    """Return the schema that qualifies table names; None is the search path."""
    translated = db.get_execution_options().get("schema_translate_map")
    return translated[None] if translated else None


def in_schema(schema: str | None) -> dict[str, Any]:
    """Return the execution options that qualify table names with a schema."""
    return {"schema_translate_map": None if schema is None else {None: schema}}


def _qualified(statement: TextClause, schema: str) -> TextClause:
    return text(_TABLE.sub(rf'"{schema}".\g<0>', statement.text))


@define(eq=False)
class PreparedStatement:
    """
    A statement that is compiled once per dialect and schema.

    Values are passed in the order of `names`, in their stored form; rows are
    the driver's tuples.
    """

    _make: Callable[[str], Any]
    _names: tuple[str, ...]
    _compiled: dict[tuple[str, str | None], tuple[str, Callable[[Values], Any]]] = field(
        init=False, default=Factory(dict)
    )

    def execute(self, db: Connection, values: Values = ()) -> AnyResult:
        """Execute the statement once."""
        return db.exec_driver_sql(*self.compiled(db, values))

    def fetch_all(
        self, db: Connection, values: Values = (), *, committing: bool = False
    ) -> Sequence[tuple[Any, ...]]:
        """
        Execute the statement once; return its rows as the driver's tuples.

        With `committing` PostgreSQL commits the statement by itself unless a
        transaction has begun, which saves two round trips.
        """
        with autocommit(db) if committing else nullcontext():
            if can_bypass_sqlalchemy(db):
                return self._by_driver(db, values, reads=True)
            with closing(self.execute(db, values)) as result:
                assert result.cursor is not None
                rows: Sequence[tuple[Any, ...]] = result.cursor.fetchall()
        return rows

    def execute_no_result(self, db: Connection, values: Values = ()) -> None:
        """Execute the statement once, without reading rows."""
        if can_bypass_sqlalchemy(db):
            self._by_driver(db, values, reads=False)
        else:
            self.execute(db, values)

    def execute_many(self, db: Connection, rows: Sequence[Values]) -> int:
        """Execute the statement for each row; return the number of written rows."""
        if not rows:
            return 0
        text, arrange = self._for(db)
        return db.exec_driver_sql(text, [arrange(row) for row in rows]).rowcount

    def compiled(self, db: Connection, values: Values) -> tuple[str, Any]:
        """Return the SQL text and the values in the driver's form."""
        text, arrange = self._for(db)
        return text, arrange(values)

    def _by_driver(
        self, db: Connection, values: Values, *, reads: bool
    ) -> Sequence[tuple[Any, ...]]:
        """Execute the statement with the driver's own cursor; return the rows."""
        driver: Any = db.connection.dbapi_connection
        text, arguments = self.compiled(db, values)
        if db.dialect.driver == SQLITE_DRIVER:
            with wrap_driver_errors(db, text, arguments):
                found: Sequence[tuple[Any, ...]] = driver.execute(text, arguments).fetchall()
            return found
        if not db.in_transaction():
            db.begin()
        with wrap_driver_errors(db, text, arguments):
            cursor = _psycopg_cursor(db, driver)
            cursor.execute(text, arguments)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall() if reads else ()
        return rows

    def _for(self, db: Connection) -> tuple[str, Callable[[Values], Any]]:
        key = db.dialect.name, get_schema(db)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self._compile(db)
        return found

    def _compile(self, db: Connection) -> tuple[str, Callable[[Values], Any]]:
        statement, schema = self._make(db.dialect.name), get_schema(db)
        options: dict[str, Any] = {"dialect": db.dialect, "column_keys": list(self._names)}
        if schema is not None and isinstance(statement, TextClause):
            statement = _qualified(statement, schema)
        elif schema is not None:
            options |= {"schema_translate_map": {None: schema}, "render_schema_translate": True}
        compiled: Any = statement.compile(**options)
        fixed = {name: each for name, each in compiled.params.items() if name not in self._names}
        return str(compiled), _arranger(self._names, fixed, compiled.positiontup)


@define(eq=False)
class PreparedListStatement:
    """
    A statement over a list of values, prepared for 1, 2, 4, ... of them.

    The last value is repeated to fill a list. `make` gets the bind parameters of
    the list; rows are the driver's tuples.
    """

    _make: Callable[[Sequence[BindParameter[Any]]], Executable]
    _by_size: dict[int, PreparedStatement] = field(init=False, default=Factory(dict))

    def fetch_all(self, db: Connection, values: Values) -> list[tuple[Any, ...]]:
        """Execute the statement, once for 500 values each; return all rows."""
        found: list[tuple[Any, ...]] = []
        for part in chunks(values):
            size = 1 << (len(part) - 1).bit_length()
            padded = (*part, *[part[-1]] * (size - len(part)))
            found += self._for_size(size).fetch_all(db, padded)
        return found

    def _for_size(self, size: int) -> PreparedStatement:
        if size not in self._by_size:
            names = [f"value_{n}" for n in range(size)]
            statement = self._make([bindparam(name) for name in names])
            self._by_size[size] = prepare(statement, *names)
        return self._by_size[size]


def _arranger(
    names: tuple[str, ...], fixed: dict[str, Any], order: list[str] | None
) -> Callable[[Values], Any]:
    """Return the function that puts values into the driver's order or form."""
    if order is None:
        return lambda values: {**fixed, **dict(zip(names, values, strict=True))}
    if tuple(order) == names:
        return tuple
    all_names, constants = (*names, *fixed), tuple(fixed.values())
    positions = [all_names.index(name) for name in order]

    def arrange(values: Values) -> tuple[Any, ...]:
        all_values = (*values, *constants)
        return tuple([all_values[position] for position in positions])

    return arrange


def can_bypass_sqlalchemy(db: Connection) -> bool:
    """Whether the driver is psycopg or sqlite3, and no cursor listener is registered."""
    is_known = db.dialect.driver in {"psycopg", SQLITE_DRIVER}
    return is_known and not db.dispatch.before_cursor_execute


def _psycopg_cursor(db: Connection, driver: Any) -> Any:
    """
    Return the connection's cursor for prepared statements.

    A new psycopg cursor for each statement costs 11 of the 27 us of a small SELECT.
    """
    cursor = db.info.get(_CURSOR)
    if cursor is None or cursor.connection is not driver:
        cursor = db.info[_CURSOR] = driver.cursor(binary=True)
    return cursor


@contextmanager
def wrap_driver_errors(db: Connection, text: str, values: Any) -> Iterator[None]:
    """Wrap the driver's errors in SQLAlchemy's exceptions."""
    failure = db.dialect.loaded_dbapi.Error
    try:
        yield
    except failure as error:
        driver: Any = db.connection.dbapi_connection
        if getattr(
            driver, "closed", False
        ):  # makes SQLAlchemy detect the disconnect and renew its pool
            db.exec_driver_sql("SELECT 1")
        raise DBAPIError.instance(text, values, error, failure, dialect=db.dialect) from error


@contextmanager
def autocommit(db: Connection) -> Iterator[None]:
    """Switch the driver to autocommit within the block, unless a transaction has begun."""
    driver: Any = db.connection.dbapi_connection
    if driver.info.transaction_status != IDLE:
        yield
        return
    driver.autocommit = True
    try:
        yield
    finally:
        if not driver.closed:
            driver.autocommit = False


def prepare(statement: Executable, *names: str) -> PreparedStatement:
    """Return a prepared statement for all dialects."""
    return PreparedStatement(lambda _: statement, names)


_INSERT: Mapping[str, Callable[[Table], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def insert_if_absent(table: Table, dialect: str) -> Any:
    """Return an INSERT that skips rows whose unique keys exist."""
    if dialect in _INSERT:
        return _INSERT[dialect](table).on_conflict_do_nothing()
    key = next(iter(table.primary_key))
    return mysql.insert(table).on_duplicate_key_update({key.name: key})


def column_names(table: Table) -> tuple[str, ...]:
    """Return the names of a table's columns as plain, interned strings."""
    # Keyword arguments named by SQLAlchemy's `quoted_name` cost a call four times as much.
    return tuple(intern(str(column.name)) for column in table.columns)


def inserted_id(result: AnyResult) -> int:
    """Return the id of the inserted row."""
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def row_to_dict(row: AnyRow) -> dict[str, Any]:
    """Return a row's values by column name."""
    return dict(cast("Mapping[str, Any]", row._mapping))  # noqa: SLF001 - public API


def upsert(db: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or update the row with the same primary key."""
    upsert_all(db, table, [dict(row)])


def upsert_all(db: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, or update those with the same primary keys."""
    if rows:
        db.execute(_upsert(table, db.dialect.name), rows)


@cache
def _upsert(table: Table, dialect: str) -> Any:
    keys = [column.name for column in table.primary_key]
    rest = [column.name for column in table.columns if column.name not in keys]
    if dialect in _INSERT:
        upsert = _INSERT[dialect](table)
        new = {name: upsert.excluded[name] for name in rest}
        return upsert.on_conflict_do_update(index_elements=keys, set_=new)
    replace = mysql.insert(table)
    return replace.on_duplicate_key_update({name: replace.inserted[name] for name in rest})


def insert_or_add(table: Table, dialect: str, column: str) -> Any:
    """Return an INSERT that adds to a column of rows whose primary keys exist."""
    if dialect in _INSERT:
        added = _INSERT[dialect](table)
        keys = [each.name for each in table.primary_key]
        total = {column: table.c[column] + added.excluded[column]}
        return added.on_conflict_do_update(index_elements=keys, set_=total)
    more = mysql.insert(table)
    return more.on_duplicate_key_update({column: table.c[column] + more.inserted[column]})


def chunks(items: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    """Split a sequence into parts that fit one statement."""
    return (items[start : start + size] for start in range(0, len(items), size))
