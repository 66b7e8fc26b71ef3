"""A store that lives as long as its process."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock, get_ident

from attrs import Factory, define, field

from workbell.adapters.memory.audit import MemoryAuditTrail
from workbell.adapters.memory.goals.goals import (
    MemoryBooks,
    MemoryEntries,
    MemoryGoals,
    MemoryTimers,
)
from workbell.adapters.memory.goals.reminders import MemoryReminders
from workbell.adapters.memory.identity.api_keys import MemoryApiKeys
from workbell.adapters.memory.identity.one_time_codes import MemoryCodes
from workbell.adapters.memory.identity.second_factors import MemorySecondFactors
from workbell.adapters.memory.identity.sessions import MemorySessions
from workbell.adapters.memory.identity.users import MemoryUsers
from workbell.adapters.memory.jobs.logs import MemoryLogs
from workbell.adapters.memory.jobs.queues import MemoryQueues, MemoryStatistics, MemoryWorkers
from workbell.adapters.memory.jobs.repository import MemoryJobs
from workbell.adapters.memory.jobs.staging import JobRows
from workbell.adapters.memory.jobs.task_definitions import MemoryDefinitions
from workbell.adapters.memory.rate_limits import MemoryQuotas
from workbell.adapters.memory.schedules import MemoryFacts, MemorySchedules
from workbell.adapters.memory.tables import Tables
from workbell.ports.jobs.repository import Waker
from workbell.ports.system import Clock


@define(eq=False)
class MemoryTx:
    """Every repository, over the tables of one transaction or view."""

    users: MemoryUsers
    codes: MemoryCodes
    sessions: MemorySessions
    api_keys: MemoryApiKeys
    second_factors: MemorySecondFactors
    audit: MemoryAuditTrail
    definitions: MemoryDefinitions
    schedules: MemorySchedules
    jobs: MemoryJobs
    logs: MemoryLogs
    queues: MemoryQueues
    workers: MemoryWorkers
    statistics: MemoryStatistics
    quotas: MemoryQuotas
    books: MemoryBooks
    goals: MemoryGoals
    entries: MemoryEntries
    timers: MemoryTimers
    reminders: MemoryReminders
    facts: MemoryFacts

    @classmethod
    def over(cls, tables: Tables, clock: Clock, woken: set[str]) -> "MemoryTx":
        """Return the repositories over some tables; `woken` gathers the queues to wake."""
        return cls(
            users=MemoryUsers(tables),
            codes=MemoryCodes(tables),
            sessions=MemorySessions(tables),
            api_keys=MemoryApiKeys(tables),
            second_factors=MemorySecondFactors(tables),
            audit=MemoryAuditTrail(tables),
            definitions=MemoryDefinitions(tables),
            schedules=MemorySchedules(tables),
            jobs=MemoryJobs(JobRows(tables, clock, woken)),
            logs=MemoryLogs(tables),
            queues=MemoryQueues(tables),
            workers=MemoryWorkers(tables),
            statistics=MemoryStatistics(tables),
            quotas=MemoryQuotas(tables),
            books=MemoryBooks(tables),
            goals=MemoryGoals(tables),
            entries=MemoryEntries(tables),
            timers=MemoryTimers(tables),
            reminders=MemoryReminders(tables),
            facts=MemoryFacts(tables),
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
    def begin(self, *, sole: bool = False) -> Generator[MemoryTx]:  # noqa: ARG002 - nothing to spare
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
