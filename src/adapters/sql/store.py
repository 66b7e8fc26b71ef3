"""The SQL store: transactions, views, health, wake-ups after commits."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import local
from typing import Protocol

from attrs import Factory, define, field, frozen
from sqlalchemy import Connection, make_url

from workbell.adapters.observability.tracing import span
from workbell.adapters.sql.audit import SqlAuditRepository
from workbell.adapters.sql.database.errors import translate_errors
from workbell.adapters.sql.database.server import is_server, open_server
from workbell.adapters.sql.database.sqlite import open_sqlite
from workbell.adapters.sql.database.statements import in_schema
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.goals.goals import (
    SqlGoalLedgerRepository,
    SqlGoalRepository,
    SqlTimerRepository,
)
from workbell.adapters.sql.goals.progress import SqlProgressEntryRepository
from workbell.adapters.sql.goals.reminders import SqlReminderRepository
from workbell.adapters.sql.identity.api_keys import SqlApiKeyRepository
from workbell.adapters.sql.identity.one_time_codes import SqlOneTimeCodeRepository
from workbell.adapters.sql.identity.second_factors import SqlSecondFactorRepository
from workbell.adapters.sql.identity.sessions import SqlSessionRepository
from workbell.adapters.sql.identity.users import SqlUserRepository
from workbell.adapters.sql.jobs.logs import SqlJobLogRepository
from workbell.adapters.sql.jobs.queues import (
    SqlQueueRepository,
    SqlStatisticsRepository,
    SqlWorkerRepository,
)
from workbell.adapters.sql.jobs.repository import SqlJobRepository
from workbell.adapters.sql.jobs.task_definitions import (
    SqlStoreMetadata,
    SqlTaskDefinitionRepository,
)
from workbell.adapters.sql.rate_limits import SqlQuotaRepository
from workbell.adapters.sql.schedules.repository import SqlScheduleRepository
from workbell.adapters.sql.schema import upgrade as revisions
from workbell.adapters.sql.schema.upgrade import SchemaMigration
from workbell.adapters.sql.strategies import STRATEGIES
from workbell.domain.errors import Contended, Invalid, Unavailable
from workbell.ports.jobs.repository import Waker
from workbell.ports.system import Clock


class Connections(Protocol):
    """The connections to one database, each in its role."""

    def writing(self) -> AbstractContextManager[Connection]:
        """Have a connection in a transaction: kept when the block ends."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Have a read-only connection, in which every statement stands for itself."""
        ...

    def migrating(self) -> AbstractContextManager[Connection]:
        """Have a connection for changing the schema, nothing begun."""
        ...

    def time(self) -> datetime | None:
        """Return the database's own time, where it has one apart from the machine's."""
        ...

    def backup(self, target: Path) -> None:
        """Write a verified copy of the database to a new file."""
        ...

    def close(self) -> None:
        """Close every connection that nobody uses."""
        ...


@frozen
class SqlTx:
    """Every repository, over one connection."""

    _db: Connection
    _strategy: Strategy
    _clock: Clock
    woken: set[str] = Factory(set[str])
    _single_statement: bool = False

    @property
    def users(self) -> SqlUserRepository:
        """The people."""
        return SqlUserRepository(self._db)

    @property
    def codes(self) -> SqlOneTimeCodeRepository:
        """The one-time codes."""
        return SqlOneTimeCodeRepository(self._db)

    @property
    def sessions(self) -> SqlSessionRepository:
        """The logins."""
        return SqlSessionRepository(self._db)

    @property
    def api_keys(self) -> SqlApiKeyRepository:
        """The keys of programs."""
        return SqlApiKeyRepository(self._db)

    @property
    def second_factors(self) -> SqlSecondFactorRepository:
        """The second factors."""
        return SqlSecondFactorRepository(self._db)

    @property
    def audit(self) -> SqlAuditRepository:
        """The audit trail."""
        return SqlAuditRepository(self._db)

    @property
    def definitions(self) -> SqlTaskDefinitionRepository:
        """The task definitions."""
        return SqlTaskDefinitionRepository(self._db)

    @property
    def schedules(self) -> SqlScheduleRepository:
        """The schedules."""
        return SqlScheduleRepository(self._db, self._strategy)

    @property
    def jobs(self) -> SqlJobRepository:
        """The jobs."""
        return SqlJobRepository(
            self._db, self._strategy, self.woken, self._clock, self._single_statement
        )

    @property
    def logs(self) -> SqlJobLogRepository:
        """Log lines and artifacts."""
        return SqlJobLogRepository(self._db)

    @property
    def queues(self) -> SqlQueueRepository:
        """The queues' switches."""
        return SqlQueueRepository(self._db)

    @property
    def workers(self) -> SqlWorkerRepository:
        """The running processes."""
        return SqlWorkerRepository(self._db)

    @property
    def statistics(self) -> SqlStatisticsRepository:
        """Counts."""
        return SqlStatisticsRepository(self._db)

    @property
    def quotas(self) -> SqlQuotaRepository:
        """What was spent of limits."""
        return SqlQuotaRepository(self._db)

    @property
    def ledgers(self) -> SqlGoalLedgerRepository:
        """What is known of each person's goals."""
        return SqlGoalLedgerRepository(self._db)

    @property
    def goals(self) -> SqlGoalRepository:
        """The goals."""
        return SqlGoalRepository(self._db)

    @property
    def entries(self) -> SqlProgressEntryRepository:
        """The progress entries."""
        return SqlProgressEntryRepository(self._db)

    @property
    def timers(self) -> SqlTimerRepository:
        """The running timers."""
        return SqlTimerRepository(self._db)

    @property
    def reminders(self) -> SqlReminderRepository:
        """The reminders."""
        return SqlReminderRepository(self._db, self._strategy)

    @property
    def metadata(self) -> SqlStoreMetadata:
        """Facts about the store itself."""
        return SqlStoreMetadata(self._db)


def _clock_of(store: "SqlStore") -> Clock:
    return store.clock


@define(eq=False)
class SqlStore:
    """
    Everything that is kept, in an SQL database.

    Set `waker` to have somebody told, after a commit, which queues got ready
    work, and `clock` to have commands go by the same time as the services.
    """

    clock: Clock
    _connections: Connections
    _strategy: Strategy
    waker: Waker | None = None
    schema: str | None = None
    _machine: Clock = field(init=False, default=Factory(_clock_of, takes_self=True))
    _threads: local = field(init=False, default=Factory(local), repr=False)

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Generator[SqlTx]:
        """
        Open a transaction: kept when its block ends, undone when it raises.

        A `sole` call is committed by PostgreSQL with its statement, where it has one.

        Raises:
            RuntimeError: The thread has a transaction open already.
            Contended: Another transaction was in the way; nothing was kept.
            Unavailable: The database does not answer, or could not commit.
        """
        if getattr(self._threads, "writes", False):
            raise RuntimeError("This thread has a transaction open already.")
        woken: set[str] = set()
        self._threads.writes = True
        try:
            with translate_errors(), span("transaction"), self._connections.writing() as connection:
                yield SqlTx(connection, self._strategy, self.clock, woken, single_statement)
        finally:
            self._threads.writes = False
        if woken and self.waker is not None:
            for queue in sorted(woken):
                self.waker.wake(queue)

    @contextmanager
    def view(self) -> Generator[SqlTx]:
        """
        Open the repositories for reading: no transaction, no lock.

        Raises:
            Unavailable: The database does not answer.
        """
        with translate_errors(), self._connections.reading() as connection:
            yield SqlTx(connection, self._strategy, self.clock)

    def ping(self) -> None:
        """
        Do the smallest round trip.

        Raises:
            Unavailable: The database does not answer.
        """
        with translate_errors(), self._connections.reading() as connection:
            connection.exec_driver_sql("SELECT 1").scalar_one()

    def time(self) -> datetime:
        """Return the store's own time: on SQLite the machine's, by the clock it was opened with."""
        with translate_errors():
            moment = self._connections.time()
        return moment or self._machine.now().astimezone(UTC)

    def schema_version(self) -> str:
        """Return the revision that the tables have, or an empty text."""
        with translate_errors(), self._connections.reading() as connection:
            return revisions.current(connection) or ""

    def check_schema(self) -> None:
        """
        Refuse a schema that is not this program's own.

        Raises:
            Unavailable: It is newer, or has yet to be migrated.
        """
        with translate_errors(), self._connections.reading() as connection:
            revisions.check(connection)

    def migrate(self) -> SchemaMigration | None:
        """
        Bring the schema to the newest revision; SQLite's file is backed up first.

        Returns None if another process has done it, or nothing had to be done.

        Raises:
            Unavailable: The schema is newer than this program knows.
        """
        with translate_errors(), self._connections.migrating() as connection:
            return revisions.upgrade(connection, self._connections.backup, self.clock.now())

    def backup(self, target: Path) -> None:
        """
        Write a verified copy of the database to a new file, while it is in use.

        Raises:
            Conflict: There is such a file already.
            Unavailable: The copy could not be made, or is damaged.
        """
        with translate_errors():
            self._connections.backup(target)

    def in_transaction_of(self, connection: Connection) -> "CallerTransactionStore":
        """Return a store that only executes, on a connection of the caller's."""
        return CallerTransactionStore(connection, self._strategy, self.clock, self.schema)

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()


@frozen
class CallerTransactionStore:
    """
    A store within somebody else's transaction: it neither commits nor wakes.

    What it keeps is there exactly if that transaction is committed.
    """

    _connection: Connection
    _strategy: Strategy
    _clock: Clock
    _schema: str | None = None

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Generator[SqlTx]:  # noqa: ARG002 - never alone here
        """
        Have the repositories over the caller's connection.

        Raises:
            Unavailable: The database does not answer.
        """
        try:
            with translate_errors(), _qualifying(self._connection, self._schema):
                yield SqlTx(self._connection, self._strategy, self._clock)
        except Contended as error:  # only the caller can begin their transaction again
            raise Unavailable(error.detail) from error

    @contextmanager
    def view(self) -> Generator[SqlTx]:
        """
        Have the repositories over the caller's connection.

        Raises:
            Unavailable: The database does not answer.
        """
        with self.begin() as tx:
            yield tx


@contextmanager
def _qualifying(connection: Connection, schema: str | None) -> Generator[None]:
    """Qualify the names of tables on the caller's connection, within the block only."""
    before = connection.get_execution_options().get("schema_translate_map")
    connection.execution_options(**in_schema(schema))
    try:
        yield
    finally:
        connection.execution_options(schema_translate_map=before)


def open_store(
    url: str, clock: Clock, *, pool_size: int = 12, schema: str | None = None
) -> SqlStore:
    """
    Open the database at a URL; its schema is not looked at.

    `pool_size` bounds the connections to a server; they are opened as needed.
    `schema` is the PostgreSQL schema of all tables; without it, new tables go
    to the first schema of the search path.

    Raises:
        Invalid: A schema is given for another database than PostgreSQL.
        ValueError: There is no store for such a URL.
        Unavailable: The database does not answer.
    """
    parsed = make_url(url)
    if schema is not None and parsed.get_backend_name() != "postgresql":
        raise Invalid(f"Only PostgreSQL has schemas: {schema!r} cannot be used here.")
    if is_server(parsed):
        server = open_server(parsed, pool_size, schema)
        return SqlStore(clock, server, STRATEGIES[parsed.get_backend_name()], schema=schema)
    if parsed.get_backend_name() != "sqlite":
        raise ValueError(f"There is no store for {parsed.get_backend_name()!r}.")
    with translate_errors():
        return SqlStore(clock, open_sqlite(parsed), STRATEGIES["sqlite"])
