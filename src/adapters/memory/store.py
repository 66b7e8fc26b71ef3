"""A store that lives as long as its process."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock, get_ident

from attrs import Factory, define, field

from workbell.adapters.memory.audit import MemoryAuditRepository
from workbell.adapters.memory.goals.goals import (
    MemoryGoalLedgerRepository,
    MemoryGoalRepository,
    MemoryProgressEntryRepository,
    MemoryTimerRepository,
)
from workbell.adapters.memory.goals.reminders import MemoryReminderRepository
from workbell.adapters.memory.identity.api_keys import MemoryApiKeyRepository
from workbell.adapters.memory.identity.one_time_codes import MemoryOneTimeCodeRepository
from workbell.adapters.memory.identity.second_factors import MemorySecondFactorRepository
from workbell.adapters.memory.identity.sessions import MemorySessionRepository
from workbell.adapters.memory.identity.users import MemoryUserRepository
from workbell.adapters.memory.jobs.logs import MemoryJobLogRepository
from workbell.adapters.memory.jobs.queues import (
    MemoryQueueRepository,
    MemoryStatisticsRepository,
    MemoryWorkerRepository,
)
from workbell.adapters.memory.jobs.repository import MemoryJobRepository
from workbell.adapters.memory.jobs.staging import MemoryJobTable
from workbell.adapters.memory.jobs.task_definitions import MemoryTaskDefinitionRepository
from workbell.adapters.memory.rate_limits import MemoryQuotaRepository
from workbell.adapters.memory.schedules import MemoryScheduleRepository, MemoryStoreMetadata
from workbell.adapters.memory.tables import Tables
from workbell.ports.jobs.repository import Waker
from workbell.ports.system import Clock


@define(eq=False)
class MemoryTx:
    """Every repository, over the tables of one transaction or view."""

    users: MemoryUserRepository
    codes: MemoryOneTimeCodeRepository
    sessions: MemorySessionRepository
    api_keys: MemoryApiKeyRepository
    second_factors: MemorySecondFactorRepository
    audit: MemoryAuditRepository
    definitions: MemoryTaskDefinitionRepository
    schedules: MemoryScheduleRepository
    jobs: MemoryJobRepository
    logs: MemoryJobLogRepository
    queues: MemoryQueueRepository
    workers: MemoryWorkerRepository
    statistics: MemoryStatisticsRepository
    quotas: MemoryQuotaRepository
    ledgers: MemoryGoalLedgerRepository
    goals: MemoryGoalRepository
    entries: MemoryProgressEntryRepository
    timers: MemoryTimerRepository
    reminders: MemoryReminderRepository
    metadata: MemoryStoreMetadata

    @classmethod
    def over(cls, tables: Tables, clock: Clock, woken: set[str]) -> "MemoryTx":
        """Return the repositories over some tables; `woken` gathers the queues to wake."""
        return cls(
            users=MemoryUserRepository(tables),
            codes=MemoryOneTimeCodeRepository(tables),
            sessions=MemorySessionRepository(tables),
            api_keys=MemoryApiKeyRepository(tables),
            second_factors=MemorySecondFactorRepository(tables),
            audit=MemoryAuditRepository(tables),
            definitions=MemoryTaskDefinitionRepository(tables),
            schedules=MemoryScheduleRepository(tables),
            jobs=MemoryJobRepository(MemoryJobTable(tables, clock, woken)),
            logs=MemoryJobLogRepository(tables),
            queues=MemoryQueueRepository(tables),
            workers=MemoryWorkerRepository(tables),
            statistics=MemoryStatisticsRepository(tables),
            quotas=MemoryQuotaRepository(tables),
            ledgers=MemoryGoalLedgerRepository(tables),
            goals=MemoryGoalRepository(tables),
            entries=MemoryProgressEntryRepository(tables),
            timers=MemoryTimerRepository(tables),
            reminders=MemoryReminderRepository(tables),
            metadata=MemoryStoreMetadata(tables),
        )


@define(eq=False)
class MemoryStore:
    """
    Everything that is kept, in the memory of one process.

    It keeps every promise of the store's port but that of outliving the
    process, so what works on it works on a database. Set `waker` to have
    somebody told, after a commit, which queues got ready work.
    """

    clock: Clock
    waker: Waker | None = None
    _tables: Tables = field(factory=Tables, init=False, repr=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)
    _writer: int | None = field(default=None, init=False, repr=False)

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Generator[MemoryTx]:  # noqa: ARG002 - nothing to spare
        """
        Open a transaction: kept when its block ends, undone when it raises.

        Raises:
            RuntimeError: The thread has a transaction open already.
        """
        if self._writer == get_ident():
            raise RuntimeError("This thread has a transaction open already.")
        woken: set[str] = set()
        with self._lock:
            self._writer = get_ident()
            try:
                draft = self._tables.copy()
                yield MemoryTx.over(draft, self.clock, woken)
                self._tables = draft
            finally:
                self._writer = None
        if self.waker is not None:
            for queue in sorted(woken):
                self.waker.wake(queue)

    @contextmanager
    def view(self) -> Generator[MemoryTx]:
        """Open the repositories for reading what was last committed: no lock."""
        yield MemoryTx.over(self._tables.copy(read_only=True), self.clock, set())

    def ping(self) -> None:
        """Do nothing: memory always answers."""

    def time(self) -> datetime:
        """Return the clock's time."""
        return self.clock.now()

    def schema_version(self) -> str:
        """Return the one revision that tables in memory have."""
        return "memory"
