"""Connections to a database server: one pool for writers, one for readers."""

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
"""How long a transaction may be idle before PostgreSQL ends it."""
POOL_SECONDS = 10
IDLE_SECONDS = 1.0
"""A connection that was idle for longer is pinged before it is used."""
RECYCLE_SECONDS = 1800

_BINARY = 1

_POSTGRESQL_SESSION = (
    f"SET statement_timeout = {STATEMENT_SECONDS * 1000}; SET lock_timeout = {LOCK_SECONDS * 1000};"
    f" SET idle_in_transaction_session_timeout = {BLOCK_SECONDS * 1000}; SET TIME ZONE 'UTC'"
)
_POSTGRESQL_READER = "SET default_transaction_read_only = on"
_STRICT = "STRICT_TRANS_TABLES,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
# Only MariaDB executes the text in /*M! */.
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
    Open connections, reused without a round through SQLAlchemy's pool.

    Checking a connection out of the pool takes longer than some reads. The pool
    limits the number of connections and pings those that were idle.
    """

    _engine: Engine
    _idle: list[tuple[float, Connection]] = Factory(list[tuple[float, Connection]])
    _waiting: list[None] = Factory(list[None])  # one for each thread that may wait for the pool

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """Acquire a connection for a block; close it if the block raises."""
        connection = self.acquire()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self.release(connection)

    def acquire(self) -> Connection:
        """Return the connection that was used last, or a new one from the pool."""
        if (connection := self._pop_recent()) is not None:
            return connection
        self._waiting.append(None)
        try:  # again: a thread may have released one before it could see us waiting
            return self._pop_recent() or self._engine.connect()
        finally:
            self._waiting.pop()

    def release(self, connection: Connection) -> None:
        """Return a connection for reuse, or to the pool if a thread is waiting for one."""
        if connection.closed or connection.invalidated:
            connection.close()
            return
        self._idle.append((monotonic(), connection))
        if self._waiting and (idle := self._pop_recent()) is not None:
            idle.close()

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop()[1].close()
        self._engine.dispose()

    def _pop_recent(self) -> Connection | None:
        """Return a recently used connection; one that was idle longer goes to the pool."""
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
    The connections of one process to one database server.

    Writers use READ COMMITTED: a transaction that waited for a lock must see
    what was committed before it got the lock.
    """

    _url: URL
    _writers: IdleConnections
    _readers: IdleConnections
    schema: str | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection in a transaction; commit at the end, roll back on errors."""
        with self._writers.borrow() as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read-only connection in autocommit mode."""
        with self._readers.borrow() as connection:
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Open a connection without timeouts and without a transaction."""
        engine = create_engine(
            self._url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            execution_options=in_schema(self.schema),
            connect_args=_connect_arguments(self._url, with_timeouts=False),
        )
        with engine.connect() as connection:
            yield connection

    def time(self) -> datetime:
        """Return the server's own time."""
        with self.reading() as connection:
            now: datetime = connection.execute(_TIMES[connection.dialect.name]).scalar_one()
        return now.replace(tzinfo=UTC)

    def backup(self, target: Path) -> None:
        """Raise Invalid: only the server's own tools make a reliable copy."""
        raise Invalid(
            f"{target} was not written: back up a server's database with pg_dump or mariadb-dump."
        )

    def close(self) -> None:
        """Close every idle connection."""
        self._writers.close()
        self._readers.close()


def is_server(url: URL) -> bool:
    """Whether the URL is that of a supported database server."""
    return url.get_backend_name() in DRIVERS


def open_server(url: URL, pool_size: int, schema: str | None = None) -> ServerConnections:
    """Create pools of `pool_size` connections (at least 2); none is opened yet."""
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
        enable_from_linting=False,  # it misreads MySQL joins
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        pool_use_lifo=True,
        # A connection comes back without a transaction: nothing to roll back.
        pool_reset_on_return=None,
        connect_args=_connect_arguments(url, with_timeouts=True),
    )
    _add_listeners(engine, _session(url, reads=reads))
    return engine


def _connect_arguments(url: URL, *, with_timeouts: bool) -> dict[str, Any]:
    """Return the driver's arguments, except those that the URL sets."""
    if url.drivername == POSTGRESQL:
        arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "workbell",
        }
    else:
        arguments = {"connect_timeout": CONNECT_SECONDS, "charset": "utf8mb4"}
        if with_timeouts:
            seconds = STATEMENT_SECONDS + 5
            arguments |= {"read_timeout": seconds, "write_timeout": seconds}
    return {name: value for name, value in arguments.items() if name not in url.query}


def _session(url: URL, *, reads: bool) -> list[str]:
    """Return the statements that set up a new connection."""
    if url.drivername == POSTGRESQL:
        return [_POSTGRESQL_SESSION, *([_POSTGRESQL_READER] if reads else [])]
    return [_MYSQL_SESSION, *([_MYSQL_READER] if reads else [])]


def _add_listeners(engine: Engine, statements: list[str]) -> None:
    """
    Set up new connections, and ping those that have been idle.

    After a server restart, open transactions fail and later ones reconnect.
    Pinging every connection would cost each transaction one more round trip.
    """

    def prepare(driver: Any, _: object) -> None:
        if engine.dialect.name == "postgresql":
            _load_timestamps_as_utc(driver.adapters)
        with driver.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        driver.commit()

    def record_use(_: object, record: Any) -> None:
        record.info["used"] = record.info.pop("idle since", None) or monotonic()

    def check(driver: Any, record: Any, _: object) -> None:
        if monotonic() - record.info.get("used", monotonic()) < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(driver)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("The server has closed the connection.") from error

    event.listen(engine, "connect", prepare)
    event.listen(engine, "checkin", record_use)
    event.listen(engine, "checkout", check)


def _load_timestamps_as_utc(adapters: Any) -> None:
    """
    Make psycopg load naive timestamps as aware UTC datetimes.

    Their binary form is that of timestamptz. Setting the zone afterwards in
    Python takes longer than reading the rows of a list.
    """
    zoned = adapters.get_loader(adapters.types["timestamptz"].oid, _BINARY)
    adapters.register_loader("timestamp", zoned)
