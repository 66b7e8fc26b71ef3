"""An in-memory store."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock, get_ident
from typing import Any

from attrs import Factory, define, field

from workbell.adapters.fork_detection import end_if_forked, fork_count
from workbell.adapters.memory.audit import MemoryAuditChainRepository, MemoryAuditRepository
from workbell.adapters.memory.delivery.accounts import (
    MemoryAccountRepository,
    MemoryMembershipRepository,
)
from workbell.adapters.memory.delivery.deliveries import MemoryDeliveryRepository
from workbell.adapters.memory.delivery.destinations import MemoryDestinationRepository
from workbell.adapters.memory.delivery.events import MemoryEventRepository
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
from workbell.adapters.memory.jobs.cancellations import MemoryCancellationRepository
from workbell.adapters.memory.jobs.logs import MemoryJobLogRepository
from workbell.adapters.memory.jobs.queues import (
    MemoryQueueRepository,
    MemoryStatisticsRepository,
    MemoryWorkerRepository,
)
from workbell.adapters.memory.jobs.repository import MemoryJobRepository
from workbell.adapters.memory.jobs.staging import MemoryJobTable
from workbell.adapters.memory.jobs.task_definitions import MemoryTaskDefinitionRepository
from workbell.adapters.memory.notifications.notices import MemoryNoticeRepository
from workbell.adapters.memory.notifications.preferences import MemoryNoticePreferenceRepository
from workbell.adapters.memory.projects.boards import MemoryBoardRepository
from workbell.adapters.memory.projects.comments import (
    MemoryCommentRepository,
    MemoryWatcherRepository,
)
from workbell.adapters.memory.projects.projects import (
    MemoryProjectMemberRepository,
    MemoryProjectRepository,
)
from workbell.adapters.memory.projects.sla import (
    MemorySlaCalendarRepository,
    MemorySlaClockRepository,
    MemorySlaPolicyRepository,
)
from workbell.adapters.memory.projects.work_items import MemoryWorkItemRepository
from workbell.adapters.memory.rate_limits import MemoryQuotaRepository
from workbell.adapters.memory.schedules import MemoryScheduleRepository, MemoryStoreMetadata
from workbell.adapters.memory.search import MemorySearchRepository
from workbell.adapters.memory.tables import Tables
from workbell.domain.jobs.job import JobId
from workbell.ports.jobs.repository import Waker
from workbell.ports.system import Clock


class _Repository:
    """Descriptor: a repository over the transaction's tables, made when it is read."""

    def __init__(self, make: Callable[[Tables], Any]) -> None:
        self._make = make

    def __get__(self, tx: "MemoryTx", _: type["MemoryTx"]) -> Any:
        return self._make(tx.tables)


def _repository(make: Callable[[Tables], Any]) -> Any:
    return _Repository(make)


class MemoryTx:
    """Every repository, over the tables of one transaction or view."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self.tables, self.clock = tables, clock
        self.woken: set[str] = set()
        self.stopped: set[tuple[str, JobId]] = set()

    users: MemoryUserRepository = _repository(MemoryUserRepository)
    codes: MemoryOneTimeCodeRepository = _repository(MemoryOneTimeCodeRepository)
    sessions: MemorySessionRepository = _repository(MemorySessionRepository)
    api_keys: MemoryApiKeyRepository = _repository(MemoryApiKeyRepository)
    second_factors: MemorySecondFactorRepository = _repository(MemorySecondFactorRepository)
    audit: MemoryAuditRepository = _repository(MemoryAuditRepository)
    audit_chain: MemoryAuditChainRepository = _repository(MemoryAuditChainRepository)
    definitions: MemoryTaskDefinitionRepository = _repository(MemoryTaskDefinitionRepository)
    schedules: MemoryScheduleRepository = _repository(MemoryScheduleRepository)
    logs: MemoryJobLogRepository = _repository(MemoryJobLogRepository)
    queues: MemoryQueueRepository = _repository(MemoryQueueRepository)
    workers: MemoryWorkerRepository = _repository(MemoryWorkerRepository)
    statistics: MemoryStatisticsRepository = _repository(MemoryStatisticsRepository)
    quotas: MemoryQuotaRepository = _repository(MemoryQuotaRepository)
    notices: MemoryNoticeRepository = _repository(MemoryNoticeRepository)
    preferences: MemoryNoticePreferenceRepository = _repository(MemoryNoticePreferenceRepository)
    ledgers: MemoryGoalLedgerRepository = _repository(MemoryGoalLedgerRepository)
    goals: MemoryGoalRepository = _repository(MemoryGoalRepository)
    entries: MemoryProgressEntryRepository = _repository(MemoryProgressEntryRepository)
    timers: MemoryTimerRepository = _repository(MemoryTimerRepository)
    reminders: MemoryReminderRepository = _repository(MemoryReminderRepository)
    accounts: MemoryAccountRepository = _repository(MemoryAccountRepository)
    memberships: MemoryMembershipRepository = _repository(MemoryMembershipRepository)
    destinations: MemoryDestinationRepository = _repository(MemoryDestinationRepository)
    events: MemoryEventRepository = _repository(MemoryEventRepository)
    deliveries: MemoryDeliveryRepository = _repository(MemoryDeliveryRepository)
    search: MemorySearchRepository = _repository(MemorySearchRepository)
    projects: MemoryProjectRepository = _repository(MemoryProjectRepository)
    project_members: MemoryProjectMemberRepository = _repository(MemoryProjectMemberRepository)
    boards: MemoryBoardRepository = _repository(MemoryBoardRepository)
    work_items: MemoryWorkItemRepository = _repository(MemoryWorkItemRepository)
    comments: MemoryCommentRepository = _repository(MemoryCommentRepository)
    watchers: MemoryWatcherRepository = _repository(MemoryWatcherRepository)
    sla_calendars: MemorySlaCalendarRepository = _repository(MemorySlaCalendarRepository)
    sla_policies: MemorySlaPolicyRepository = _repository(MemorySlaPolicyRepository)
    sla_clocks: MemorySlaClockRepository = _repository(MemorySlaClockRepository)
    metadata: MemoryStoreMetadata = _repository(MemoryStoreMetadata)

    @property
    def jobs(self) -> MemoryJobRepository:
        """The jobs; what to notify after the commit is added to `woken` and `stopped`."""
        return MemoryJobRepository(self._job_table())

    @property
    def cancellations(self) -> MemoryCancellationRepository:
        """The unfinished cancellations of many jobs."""
        return MemoryCancellationRepository(self._job_table())

    def _job_table(self) -> MemoryJobTable:
        return MemoryJobTable(self.tables, self.clock, self.woken, self.stopped)


@define(eq=False)
class MemoryStore:
    """
    The whole store in the memory of one process.

    Implements the store port completely, except that data is lost when the
    process ends. After a commit, `waker` is called for each queue that got
    ready jobs, and for each running job that was cancelled.
    """

    clock: Clock
    waker: Waker | None = None
    _tables: Tables = field(factory=Tables, init=False, repr=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)
    _writer: int | None = field(default=None, init=False, repr=False)
    _forks: int = field(factory=fork_count, init=False, repr=False)

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Generator[MemoryTx]:  # noqa: ARG002
        """Open a transaction; commit at the end of the block, roll back if it raises."""
        end_if_forked(self._forks)
        if self._writer == get_ident():
            raise RuntimeError("This thread already has an open transaction.")
        with self._lock:
            self._writer = get_ident()
            try:
                draft = self._tables.copy()
                tx = MemoryTx(draft, self.clock)
                yield tx
                self._tables = draft
            finally:
                self._writer = None
        if self.waker is not None:
            for queue in sorted(tx.woken):
                self.waker.wake(queue)
            for worker, job_id in sorted(tx.stopped):
                self.waker.stop_job(worker, job_id)

    @contextmanager
    def view(self) -> Generator[MemoryTx]:
        """Open the repositories for reading the last committed state, without a lock."""
        end_if_forked(self._forks)
        yield MemoryTx(self._tables.copy(read_only=True), self.clock)

    def ping(self) -> None:
        """Do nothing: memory always answers."""

    def time(self) -> datetime:
        """Return the clock's time."""
        return self.clock.now()

    def schema_version(self) -> str:
        """Return a constant: tables in memory have no revisions."""
        return "memory"
