"""The SQL store: transactions, views, health, migrations and backups."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import local
from typing import Any
from weakref import WeakSet

from attrs import Factory, define, field, frozen
from sqlalchemy import URL, Connection, Engine, Select, literal_column, make_url, select

from workbell.adapters.fork_detection import end_if_forked, fork_count
from workbell.adapters.observability.tracing import span
from workbell.adapters.sql.audit.chain import SqlAuditChainRepository
from workbell.adapters.sql.audit.repository import SqlAuditRepository
from workbell.adapters.sql.database.errors import translate_errors
from workbell.adapters.sql.database.same_database import is_same_database
from workbell.adapters.sql.database.server import ServerConnections, is_server, open_server
from workbell.adapters.sql.database.sqlite import SqliteConnections, open_sqlite
from workbell.adapters.sql.database.statements import in_schema
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.delivery.accounts import SqlAccountRepository
from workbell.adapters.sql.delivery.deliveries import SqlDeliveryRepository
from workbell.adapters.sql.delivery.destinations import SqlDestinationRepository
from workbell.adapters.sql.delivery.events import SqlEventRepository
from workbell.adapters.sql.delivery.memberships import SqlMembershipRepository
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
from workbell.adapters.sql.jobs.cancellations import SqlCancellationRepository
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
from workbell.adapters.sql.notifications.notices import SqlNoticeRepository
from workbell.adapters.sql.notifications.preferences import SqlNoticePreferenceRepository
from workbell.adapters.sql.projects.boards import SqlBoardRepository
from workbell.adapters.sql.projects.comments import SqlCommentRepository
from workbell.adapters.sql.projects.listing import WorkItemLists
from workbell.adapters.sql.projects.members import SqlProjectMemberRepository
from workbell.adapters.sql.projects.projects import SqlProjectRepository
from workbell.adapters.sql.projects.ranks import WorkItemRanks
from workbell.adapters.sql.projects.sla.clocks import SqlSlaClockRepository
from workbell.adapters.sql.projects.sla.policies import (
    SqlSlaCalendarRepository,
    SqlSlaPolicyRepository,
)
from workbell.adapters.sql.projects.watchers import SqlWatcherRepository
from workbell.adapters.sql.projects.work_items import WorkItemWrites
from workbell.adapters.sql.rate_limits import SqlQuotaRepository
from workbell.adapters.sql.schedules.repository import SqlScheduleRepository
from workbell.adapters.sql.schema import upgrade as revisions
from workbell.adapters.sql.schema.tables import metadata as all_tables
from workbell.adapters.sql.schema.upgrade import SchemaMigration
from workbell.adapters.sql.search.repository import SqlSearchRepository
from workbell.adapters.sql.strategies import STRATEGIES
from workbell.domain.errors import Contended, Invalid, Unavailable
from workbell.domain.jobs.job import JobId
from workbell.ports.jobs.repository import Waker
from workbell.ports.system import Clock


class _Repository:
    """Descriptor: a repository over the transaction's connection, made when it is read."""

    def __init__(self, make: Callable[["SqlTx"], Any]) -> None:
        self._make = make

    def __get__(self, tx: "SqlTx", _: type["SqlTx"]) -> Any:
        return self._make(tx)


def _repository(make: Callable[["SqlTx"], Any]) -> Any:
    return _Repository(make)


@frozen(slots=False)
class SqlWorkItemRepository(WorkItemLists, WorkItemRanks, WorkItemWrites):
    """Work items that are not deleted, on boards and in projects that are not deleted."""

    _db: Connection
    _search: SqlSearchRepository


class SqlTx:
    """Every repository, over one connection."""

    def __init__(
        self,
        db: Connection,
        strategy: Strategy,
        clock: Clock,
        woken: set[str] | None = None,
        stopped: set[tuple[str, JobId]] | None = None,
        single_statement: bool = False,
    ) -> None:
        self.db, self.strategy, self.clock = db, strategy, clock
        self.woken: set[str] = set() if woken is None else woken
        self.stopped: set[tuple[str, JobId]] = set() if stopped is None else stopped
        self.single_statement = single_statement

    users: SqlUserRepository = _repository(lambda tx: SqlUserRepository(tx.db))
    codes: SqlOneTimeCodeRepository = _repository(lambda tx: SqlOneTimeCodeRepository(tx.db))
    sessions: SqlSessionRepository = _repository(lambda tx: SqlSessionRepository(tx.db))
    api_keys: SqlApiKeyRepository = _repository(lambda tx: SqlApiKeyRepository(tx.db))
    second_factors: SqlSecondFactorRepository = _repository(
        lambda tx: SqlSecondFactorRepository(tx.db)
    )
    audit: SqlAuditRepository = _repository(lambda tx: SqlAuditRepository(tx.db, tx.strategy))
    audit_chain: SqlAuditChainRepository = _repository(lambda tx: SqlAuditChainRepository(tx.db))
    cancellations: SqlCancellationRepository = _repository(
        lambda tx: SqlCancellationRepository(tx.db, tx.woken)
    )
    definitions: SqlTaskDefinitionRepository = _repository(
        lambda tx: SqlTaskDefinitionRepository(tx.db)
    )
    schedules: SqlScheduleRepository = _repository(
        lambda tx: SqlScheduleRepository(tx.db, tx.strategy)
    )
    jobs: SqlJobRepository = _repository(
        lambda tx: SqlJobRepository(
            tx.db, tx.strategy, tx.woken, tx.stopped, tx.clock, tx.single_statement
        )
    )
    logs: SqlJobLogRepository = _repository(lambda tx: SqlJobLogRepository(tx.db))
    queues: SqlQueueRepository = _repository(lambda tx: SqlQueueRepository(tx.db))
    workers: SqlWorkerRepository = _repository(lambda tx: SqlWorkerRepository(tx.db))
    statistics: SqlStatisticsRepository = _repository(lambda tx: SqlStatisticsRepository(tx.db))
    quotas: SqlQuotaRepository = _repository(lambda tx: SqlQuotaRepository(tx.db))
    notices: SqlNoticeRepository = _repository(lambda tx: SqlNoticeRepository(tx.db, tx.strategy))
    preferences: SqlNoticePreferenceRepository = _repository(
        lambda tx: SqlNoticePreferenceRepository(tx.db)
    )
    ledgers: SqlGoalLedgerRepository = _repository(lambda tx: SqlGoalLedgerRepository(tx.db))
    goals: SqlGoalRepository = _repository(lambda tx: SqlGoalRepository(tx.db))
    entries: SqlProgressEntryRepository = _repository(lambda tx: SqlProgressEntryRepository(tx.db))
    timers: SqlTimerRepository = _repository(lambda tx: SqlTimerRepository(tx.db))
    reminders: SqlReminderRepository = _repository(
        lambda tx: SqlReminderRepository(tx.db, tx.strategy)
    )
    accounts: SqlAccountRepository = _repository(lambda tx: SqlAccountRepository(tx.db))
    memberships: SqlMembershipRepository = _repository(lambda tx: SqlMembershipRepository(tx.db))
    destinations: SqlDestinationRepository = _repository(lambda tx: SqlDestinationRepository(tx.db))
    events: SqlEventRepository = _repository(lambda tx: SqlEventRepository(tx.db, tx.strategy))
    deliveries: SqlDeliveryRepository = _repository(
        lambda tx: SqlDeliveryRepository(tx.db, tx.strategy)
    )
    search: SqlSearchRepository = _repository(lambda tx: SqlSearchRepository(tx.db))
    projects: SqlProjectRepository = _repository(
        lambda tx: SqlProjectRepository(tx.db, tx.strategy)
    )
    project_members: SqlProjectMemberRepository = _repository(
        lambda tx: SqlProjectMemberRepository(tx.db)
    )
    boards: SqlBoardRepository = _repository(lambda tx: SqlBoardRepository(tx.db))
    work_items: SqlWorkItemRepository = _repository(
        lambda tx: SqlWorkItemRepository(tx.db, tx.search)
    )
    comments: SqlCommentRepository = _repository(lambda tx: SqlCommentRepository(tx.db))
    watchers: SqlWatcherRepository = _repository(lambda tx: SqlWatcherRepository(tx.db))
    sla_calendars: SqlSlaCalendarRepository = _repository(
        lambda tx: SqlSlaCalendarRepository(tx.db)
    )
    sla_policies: SqlSlaPolicyRepository = _repository(lambda tx: SqlSlaPolicyRepository(tx.db))
    sla_clocks: SqlSlaClockRepository = _repository(lambda tx: SqlSlaClockRepository(tx.db))
    metadata: SqlStoreMetadata = _repository(lambda tx: SqlStoreMetadata(tx.db))


def _get_clock(store: "SqlStore") -> Clock:
    return store.clock


@define(eq=False)
class SqlStore:
    """
    The whole store in an SQL database.

    Attributes:
        clock: The services' clock, which commands on jobs use too.
        waker: Called after a commit for each queue that got ready jobs, and for each
            running job that was cancelled.
        schema: The PostgreSQL schema of the tables; None is the search path.
    """

    clock: Clock
    _connections: ServerConnections | SqliteConnections
    _strategy: Strategy
    waker: Waker | None = None
    schema: str | None = None
    _url: URL | None = field(default=None, alias="url", repr=False)
    _joined: WeakSet[Engine] = field(init=False, factory=WeakSet[Engine], repr=False)
    _machine: Clock = field(init=False, default=Factory(_get_clock, takes_self=True))
    _threads: local = field(init=False, default=Factory(local), repr=False)
    _forks: int = field(init=False, factory=fork_count, repr=False)

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Generator[SqlTx]:
        """
        Open a transaction; commit at the end of the block, roll back if it raises.

        With `single_statement` the block promises to make one writing call;
        PostgreSQL then commits with that call's statement (autocommit).

        Raises:
            RuntimeError: The thread already has an open transaction.
            Contended: A lock or serialization conflict; rolled back, safe to retry.
            Unavailable: The database does not answer, or the commit failed.
        """
        end_if_forked(self._forks)
        if getattr(self._threads, "writes", False):
            raise RuntimeError("This thread already has an open transaction.")
        woken: set[str] = set()
        stopped: set[tuple[str, JobId]] = set()
        self._threads.writes = True
        try:
            with translate_errors(), span("transaction"), self._connections.writing() as connection:
                yield SqlTx(
                    connection, self._strategy, self.clock, woken, stopped, single_statement
                )
        finally:
            self._threads.writes = False
        if self.waker is not None:
            for queue in sorted(woken):
                self.waker.wake(queue)
            for worker, job_id in sorted(stopped):
                self.waker.stop_job(worker, job_id)

    @contextmanager
    def view(self) -> Generator[SqlTx]:
        """Open the repositories for reading, without a transaction or locks."""
        end_if_forked(self._forks)
        with translate_errors(), self._connections.reading() as connection:
            yield SqlTx(connection, self._strategy, self.clock)

    def ping(self) -> None:
        """Execute `SELECT 1`."""
        with translate_errors(), self._connections.reading() as connection:
            connection.exec_driver_sql("SELECT 1").scalar_one()

    def time(self) -> datetime:
        """Return the server's time; on SQLite the time of the clock given at opening."""
        with translate_errors():
            server_time = self._connections.time()
        return server_time or self._machine.now().astimezone(UTC)

    def schema_version(self) -> str:
        """Return the schema revision of the tables; "" without tables."""
        with translate_errors(), self._connections.reading() as connection:
            return revisions.current(connection) or ""

    def has_more_rows(self, table: str, count: int) -> bool:
        """Whether a table has more rows than a number; reads as many of its rows."""
        query: Select[Any] = select(literal_column("1")).select_from(all_tables.tables[table])
        with translate_errors(), self._connections.reading() as connection:
            return connection.execute(query.offset(count).limit(1)).first() is not None

    def check_schema(self) -> None:
        """Raise Unavailable unless the schema has this program's newest revision."""
        with translate_errors(), self._connections.reading() as connection:
            revisions.check(connection)

    def migrate(self) -> SchemaMigration | None:
        """Upgrade the schema, after a backup on SQLite; None if it was current already."""
        with translate_errors(), self._connections.migrating() as connection:
            return revisions.upgrade(connection, self._connections.backup, self.clock.now())

    def backup(self, target: Path) -> None:
        """Write a verified copy of the database, which may be in use, to a new file."""
        with translate_errors():
            self._connections.backup(target)

    def in_transaction_of(self, connection: Connection) -> "CallerTransactionStore":
        """
        Return a store that works in the caller's transaction.

        Raises:
            Invalid: The connection is to another database (`is_same_database`).
        """
        self._check_database(connection)
        return CallerTransactionStore(connection, self._strategy, self.clock, self.schema)

    def _check_database(self, connection: object) -> None:
        """Raise Invalid unless a connection is one to this database."""
        if not isinstance(connection, Connection):
            message = "connection must be a SQLAlchemy connection"
            raise Invalid.field("connection", message)
        engine = connection.engine
        if self._url is None or engine in self._joined:
            return
        if not is_same_database(self._url, engine.url):
            message = f"connection must be to the database of the client, not to {engine.url!r}"
            raise Invalid.field("connection", message)
        self._joined.add(engine)

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()


@frozen
class CallerTransactionStore:
    """
    A store within a caller's transaction: it never commits and wakes no worker.

    Its writes take effect if and only if the caller commits.
    """

    _connection: Connection
    _strategy: Strategy
    _clock: Clock
    _schema: str | None = None

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Generator[SqlTx]:  # noqa: ARG002
        """Open the repositories on the caller's connection."""
        try:
            with translate_errors(), _qualifying(self._connection, self._schema):
                yield SqlTx(self._connection, self._strategy, self._clock)
        except Contended as error:  # only the caller can retry the transaction
            raise Unavailable(error.detail) from error

    @contextmanager
    def view(self) -> Generator[SqlTx]:
        """Open the repositories on the caller's connection."""
        with self.begin() as tx:
            yield tx


@contextmanager
def _qualifying(connection: Connection, schema: str | None) -> Generator[None]:
    """Qualify table names with the schema on a connection, within the block only."""
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
    Open the database at a URL, without checking its schema revision.

    `pool_size` limits the connections to a server; they are opened on demand.
    `schema` is the PostgreSQL schema of all tables; without it, new tables go
    to the first schema of the search path.

    Raises:
        Invalid: A schema is given for a database other than PostgreSQL.
        ValueError: The URL's database is not supported.
        Unavailable: The database does not answer.
    """
    parsed = make_url(url)
    if schema is not None and parsed.get_backend_name() != "postgresql":
        raise Invalid(f"Only PostgreSQL supports a schema: remove {schema!r}.")
    if is_server(parsed):
        server = open_server(parsed, pool_size, schema)
        return SqlStore(
            clock, server, STRATEGIES[parsed.get_backend_name()], schema=schema, url=parsed
        )
    if parsed.get_backend_name() != "sqlite":
        raise ValueError(f"The database {parsed.get_backend_name()!r} is not supported.")
    with translate_errors():
        return SqlStore(clock, open_sqlite(parsed), STRATEGIES["sqlite"], url=parsed)
