"""Statements compiled once, and inserts in the spelling of each dialect."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import cache
from sys import intern
from typing import Any, TypeAlias, cast

from attrs import Factory, define, field
from sqlalchemy import Connection, CursorResult, Executable, Row, Table, TextClause, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError

Values = Sequence[Any]
_TABLE = re.compile(r"\bworkbell_\w+")
IDLE = 0
"""psycopg's transaction status of a connection on which no transaction has begun."""
AnyRow: TypeAlias = Row[*tuple[Any, ...]]
AnyResult: TypeAlias = CursorResult[*tuple[Any, ...]]


def schema_of(db: Connection) -> str | None:
    """Return the schema that qualifies the names of tables, None for the search path."""
    translated = db.get_execution_options().get("schema_translate_map")
    return translated[None] if translated else None


def in_schema(schema: str | None) -> dict[str, Any]:
    """Return the execution options by which tables are found in a schema."""
    return {"schema_translate_map": None if schema is None else {None: schema}}


def _qualified(statement: TextClause, schema: str) -> TextClause:
    return text(_TABLE.sub(rf'"{schema}".\g<0>', statement.text))


@define(eq=False)
class PreparedStatement:
    """
    A hot statement, compiled once per dialect and schema and passed to the driver.

    Values are given in the order of `names`, in their stored form; rows are
    the driver's own tuples. On PostgreSQL psycopg's own cursor executes it,
    because SQLAlchemy has psycopg describe every column of every result: to
    list 20 schedules takes 1.5 to 1.7 times the processor time without.
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

        `committing` is for PostgreSQL: where no transaction has begun, the
        statement commits by itself, which saves two round trips.
        """
        with autocommit(db) if committing else nullcontext():
            if can_bypass_sqlalchemy(db):
                return self._by_driver(db, values, reads=True)
            with closing(self.execute(db, values)) as result:
                assert result.cursor is not None
                found: Sequence[tuple[Any, ...]] = result.cursor.fetchall()
        return found

    def execute_no_result(self, db: Connection, values: Values = ()) -> None:
        """Execute the statement once; it returns no rows."""
        if can_bypass_sqlalchemy(db):
            self._by_driver(db, values, reads=False)
        else:
            self.execute(db, values)

    def execute_many(self, db: Connection, rows: Sequence[Values]) -> int:
        """Execute the statement for each row; return the driver's count of written rows."""
        if not rows:
            return 0
        text, arrange = self._for(db)
        return db.exec_driver_sql(text, [arrange(row) for row in rows]).rowcount

    def compiled(self, db: Connection, values: Values) -> tuple[str, Any]:
        """Return the statement and its values as the driver takes them."""
        text, arrange = self._for(db)
        return text, arrange(values)

    def _by_driver(
        self, db: Connection, values: Values, *, reads: bool
    ) -> Sequence[tuple[Any, ...]]:
        """Execute the statement with psycopg, in its binary form; return the rows."""
        if not db.in_transaction():
            db.begin()
        driver: Any = db.connection.dbapi_connection
        text, given = self.compiled(db, values)
        with wrap_driver_errors(db, text, given), driver.cursor(binary=True) as cursor:
            cursor.execute(text, given)
            found: Sequence[tuple[Any, ...]] = cursor.fetchall() if reads else ()
        return found

    def _for(self, db: Connection) -> tuple[str, Callable[[Values], Any]]:
        key = db.dialect.name, schema_of(db)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self._compile(db)
        return found

    def _compile(self, db: Connection) -> tuple[str, Callable[[Values], Any]]:
        statement, schema = self._make(db.dialect.name), schema_of(db)
        given: dict[str, Any] = {"dialect": db.dialect, "column_keys": list(self._names)}
        if schema is not None and isinstance(statement, TextClause):
            statement = _qualified(statement, schema)
        elif schema is not None:
            given |= {"schema_translate_map": {None: schema}, "render_schema_translate": True}
        compiled: Any = statement.compile(**given)
        fixed = {name: each for name, each in compiled.params.items() if name not in self._names}
        return str(compiled), _arranger(self._names, fixed, compiled.positiontup)


def _arranger(
    names: tuple[str, ...], fixed: dict[str, Any], order: list[str] | None
) -> Callable[[Values], Any]:
    """Return what brings values into the order or form that the driver takes."""
    if order is None:
        return lambda values: {**fixed, **dict(zip(names, values, strict=True))}
    if tuple(order) == names:
        return tuple
    all_names, more = (*names, *fixed), tuple(fixed.values())
    places = [all_names.index(name) for name in order]

    def arrange(values: Values) -> tuple[Any, ...]:
        given = (*values, *more)
        return tuple([given[place] for place in places])

    return arrange


def can_bypass_sqlalchemy(db: Connection) -> bool:
    """
    Whether statements may bypass SQLAlchemy.

    The driver is psycopg, and no listener is registered for cursors.
    """
    return db.dialect.driver == "psycopg" and not db.dispatch.before_cursor_execute


@contextmanager
def wrap_driver_errors(db: Connection, text: str, values: Any) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy does."""
    failure = db.dialect.loaded_dbapi.Error
    try:
        yield
    except failure as error:
        driver: Any = db.connection.dbapi_connection
        if driver.closed:  # SQLAlchemy finds that too, and renews its pool
            db.exec_driver_sql("SELECT 1")
        raise DBAPIError.instance(text, values, error, failure, dialect=db.dialect) from error


@contextmanager
def autocommit(db: Connection) -> Iterator[None]:
    """Let PostgreSQL commit each statement by itself, unless a transaction has begun."""
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
    """Return a prepared statement that is the same for every dialect."""
    return PreparedStatement(lambda _: statement, names)


_INSERT: Mapping[str, Callable[[Table], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def insert_if_absent(table: Table, dialect: str) -> Any:
    """Return an INSERT that leaves out rows whose unique keys are taken."""
    if dialect in _INSERT:
        return _INSERT[dialect](table).on_conflict_do_nothing()
    key = next(iter(table.primary_key))
    return mysql.insert(table).on_duplicate_key_update({key.name: key})


def column_names(table: Table) -> tuple[str, ...]:
    """
    Return the names of a table's columns, as texts.

    By SQLAlchemy's own kind of names a call with all of them takes four times as long.
    """
    return tuple(intern(str(column.name)) for column in table.columns)


def inserted_id(result: AnyResult) -> int:
    """Return the id that an INSERT has given its row."""
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def row_to_dict(row: AnyRow) -> dict[str, Any]:
    """Return a row's values by the names of their columns."""
    return dict(cast("Mapping[str, Any]", row._mapping))  # noqa: SLF001 - SQLAlchemy's own spelling


def upsert(db: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Write a row in place of the one with its primary key, if there is one."""
    db.execute(_upsert(table, db.dialect.name), dict(row))


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


def chunks(items: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    """Cut a sequence into parts that fit one statement."""
    return (items[start : start + size] for start in range(0, len(items), size))
