"""Connections to a database server: a pool for writers, one for readers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from attrs import Factory, define
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError

from workbell.adapters.sql.database.statements import in_schema
from workbell.domain.errors import Invalid

POSTGRESQL = "postgresql+psycopg"
MYSQL = "mysql+pymysql"
DRIVERS = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
LOCK_SECONDS = 10
BLOCK_SECONDS = 60
"""How long a transaction may stand idle before PostgreSQL ends it."""
POOL_SECONDS = 10
IDLE_SECONDS = 1.0
"""A connection that nobody used for longer is tried before it is handed out."""
RECYCLE_SECONDS = 1800

_BINARY = 1

_POSTGRESQL_SESSION = (
    f"SET statement_timeout = {STATEMENT_SECONDS * 1000}; SET lock_timeout = {LOCK_SECONDS * 1000};"
    f" SET idle_in_transaction_session_timeout = {BLOCK_SECONDS * 1000}; SET TIME ZONE 'UTC'"
)
_POSTGRESQL_READER = "SET default_transaction_read_only = on"
_STRICT = "STRICT_TRANS_TABLES,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
# What stands in /*M! */ is for MariaDB alone.
_MYSQL_SESSION = (
    f"SET time_zone = '+00:00', sql_mode = '{_STRICT}', innodb_lock_wait_timeout = {LOCK_SECONDS}"
    f" /*M!100100 , max_statement_time = {STATEMENT_SECONDS} */"
)
_MYSQL_READER = "SET SESSION TRANSACTION READ ONLY"
_TIMES = {
    "postgresql": text("SELECT clock_timestamp() AT TIME ZONE 'UTC'"),
    "mysql": text("SELECT UTC_TIMESTAMP(6)"),
}


@define(eq=False)
class IdleConnections:
    """
    Connections, kept open from one block to the next.

    A block that ends well leaves nothing in them. SQLAlchemy's pool, which
    takes longer than some reads, bounds them, and looks at those that have
    been idle.
    """

    _engine: Engine
    _idle: list[tuple[float, Connection]] = Factory(list[tuple[float, Connection]])
    _waiting: list[None] = Factory(list[None])  # one for each who may be waiting for the pool

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """Have a connection for a block."""
        connection = self.acquire()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self.release(connection)

    def acquire(self) -> Connection:
        """Return an open connection, the one that was used last if there is one."""
        if (kept := self._kept()) is not None:
            return kept
        self._waiting.append(None)
        try:  # once more: whoever kept one before that knew nothing of us
            return self._kept() or self._engine.connect()
        finally:
            self._waiting.pop()

    def release(self, connection: Connection) -> None:
        """Have a connection ready for the next block, or for who waits for the pool."""
        if connection.closed or connection.invalidated:
            connection.close()
            return
        self._idle.append((monotonic(), connection))
        if self._waiting and (kept := self._kept()) is not None:
            kept.close()

    def close(self) -> None:
        """Close every connection that nobody uses."""
        while self._idle:
            self._idle.pop()[1].close()
        self._engine.dispose()

    def _kept(self) -> Connection | None:
        """Return a connection that was used just now; what was idle for longer goes back."""
        try:
            since, connection = self._idle.pop()
        except IndexError:
            return None
        if monotonic() - since < IDLE_SECONDS:
            return connection
        connection.info["idle since"] = since
        connection.close()
        return None


@define(eq=False)
class ServerConnections:
    """
    The connections of one process to one database.

    Writers work at READ COMMITTED: whoever counts under a lock must see what
    was committed while they waited for it.
    """

    _url: URL
    _writers: IdleConnections
    _readers: IdleConnections
    schema: str | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Have a connection in a transaction: kept when the block ends, undone if it raises."""
        with self._writers.borrow() as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Have a read-only connection, in which every statement stands for itself."""
        with self._readers.borrow() as connection:
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Have a connection of its own, as slow as need be, nothing begun."""
        engine = create_engine(
            self._url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            execution_options=in_schema(self.schema),
            connect_args=_connect_arguments(self._url, patient=True),
        )
        with engine.connect() as connection:
            yield connection

    def time(self) -> datetime:
        """Return the server's own time."""
        with self.reading() as connection:
            moment: datetime = connection.execute(_TIMES[connection.dialect.name]).scalar_one()
        return moment.replace(tzinfo=UTC)

    def backup(self, target: Path) -> None:
        """
        Refuse: only the server's own tools make a copy that can be trusted.

        Raises:
            Invalid: Always.
        """
        raise Invalid(
            f"{target} was not written: a server's database is copied by pg_dump or mariadb-dump."
        )

    def close(self) -> None:
        """Close every connection that nobody uses."""
        self._writers.close()
        self._readers.close()


def is_server(url: URL) -> bool:
    """Whether there is a driver for a server at such a URL."""
    return url.get_backend_name() in DRIVERS


def open_server(url: URL, pool_size: int, schema: str | None = None) -> ServerConnections:
    """Prepare at most `pool_size` connections, but at least two; none is opened yet."""
    url = url.set(drivername=DRIVERS[url.get_backend_name()])
    readers = max(1, pool_size // 2)
    return ServerConnections(
        url,
        IdleConnections(_pool(url, max(1, pool_size - readers), schema, reads=False)),
        IdleConnections(_pool(url, readers, schema, reads=True)),
        schema,
    )


def _pool(url: URL, size: int, schema: str | None, *, reads: bool) -> Engine:
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT" if reads else "READ COMMITTED",
        skip_autocommit_rollback=True,
        execution_options=in_schema(schema),
        enable_from_linting=False,  # it misreads joins in MySQL's spelling
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        pool_use_lifo=True,
        # `begin` leaves nothing open, and autocommit has nothing to undo.
        pool_reset_on_return=None,
        connect_args=_connect_arguments(url, patient=False),
    )
    _look_after(engine, _session(url, reads=reads))
    return engine


def _connect_arguments(url: URL, *, patient: bool) -> dict[str, Any]:
    """Return what the driver is told; what the URL says for itself goes first."""
    if url.drivername == POSTGRESQL:
        told: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "workbell",
        }
    else:
        told = {"connect_timeout": CONNECT_SECONDS, "charset": "utf8mb4"}
        if not patient:
            told |= {"read_timeout": STATEMENT_SECONDS + 5, "write_timeout": STATEMENT_SECONDS + 5}
    return {name: value for name, value in told.items() if name not in url.query}


def _session(url: URL, *, reads: bool) -> list[str]:
    """Return what every new connection begins with."""
    if url.drivername == POSTGRESQL:
        return [_POSTGRESQL_SESSION, *([_POSTGRESQL_READER] if reads else [])]
    return [_MYSQL_SESSION, *([_MYSQL_READER] if reads else [])]


def _look_after(engine: Engine, statements: list[str]) -> None:
    """
    Prepare new connections, and try those that have been idle.

    A server that was restarted costs whoever was in a transaction an error,
    but nobody who comes later. Trying every connection would cost each
    transaction one more round trip.
    """

    def prepare(driver: Any, _: object) -> None:
        if engine.dialect.name == "postgresql":
            _read_in_utc(driver.adapters)
        with driver.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        driver.commit()

    def note(_: object, record: Any) -> None:
        record.info["used"] = record.info.pop("idle since", None) or monotonic()

    def check(driver: Any, record: Any, _: object) -> None:
        if monotonic() - record.info.get("used", monotonic()) < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(driver)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("The server has closed the connection.") from error

    event.listen(engine, "connect", prepare)
    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", check)


def _read_in_utc(adapters: Any) -> None:
    """
    Have psycopg read naive times as what they are here, in UTC.

    In binary they look like those with a zone, and to set the zone of a
    list's times afterwards takes longer than to read its rows.
    """
    zoned = adapters.get_loader(adapters.types["timestamptz"].oid, _BINARY)
    adapters.register_loader("timestamp", zoned)
