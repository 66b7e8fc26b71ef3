"""Tables in memory, copied on the first write of a transaction."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Generic, TypeVar

from attrs import Factory, define, field, fields, frozen

from workbell.domain.audit.chain import AuditRecord, ChainHead, Seal
from workbell.domain.audit.checkpoint import Checkpoint
from workbell.domain.audit.entry import PrivatePart
from workbell.domain.delivery.account import Account, AccountId, Membership
from workbell.domain.delivery.delivery import Delivery, DeliveryAttempt, DeliveryId
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.event import Event, EventRowId
from workbell.domain.goals.goal import Goal, GoalId, GoalLedger
from workbell.domain.goals.progress_entry import EntryId, ProgressEntry, Timer
from workbell.domain.goals.reminder import ReminderHistory, ReminderPreferences
from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.one_time_code import OneTimeCode
from workbell.domain.identity.second_factor import SecondFactor
from workbell.domain.identity.session import Session
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.attempt import Artifact, Attempt, LogLine
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import TaskDefinition, TaskId
from workbell.domain.notifications.notice import Notification, NotificationId
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.domain.projects.board import Board, BoardId
from workbell.domain.projects.comment import Comment, CommentId
from workbell.domain.projects.project import Project, ProjectId, ProjectMember
from workbell.domain.projects.sla.calendar import BusinessCalendar, BusinessHours, CalendarId
from workbell.domain.projects.sla.clock import ClockId, SlaClock
from workbell.domain.projects.sla.policy import PolicyId, SlaPolicy, SlaTerms
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.domain.search.document import IndexedDocument
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.projects.sla import StoredEvent, VersionKey

K = TypeVar("K")
V = TypeVar("V")

Key = tuple[Any, ...]


@define(eq=False)
class Table(Generic[K, V]):
    """Rows by key: a committed snapshot, or a transaction's draft."""

    rows: dict[K, V] = Factory(dict[K, V])
    last_id: int = 0
    _shared: bool = field(default=False, alias="shared")
    _read_only: bool = field(default=False, alias="read_only")

    def copy(self, *, read_only: bool) -> "Table[K, V]":
        """Return a draft that shares the rows until its first write."""
        return Table(self.rows, self.last_id, shared=True, read_only=read_only)

    def get(self, key: K) -> V | None:
        """Return a row, or None."""
        return self.rows.get(key)

    def put(self, key: K, row: V) -> None:
        """Insert or replace a row."""
        self._own()[key] = row

    def delete(self, key: K) -> None:
        """Delete a row, if there is one."""
        self._own().pop(key, None)

    def next_id(self) -> int:
        """Return an id that was never used in this table."""
        self._own()
        self.last_id += 1
        return self.last_id

    def __iter__(self) -> Iterator[V]:
        """Iterate over the rows in insertion order."""
        return iter(self.rows.values())

    def __len__(self) -> int:
        return len(self.rows)

    def _own(self) -> dict[K, V]:
        if self._read_only:
            raise RuntimeError("A view is for reading only.")
        if self._shared:
            self.rows, self._shared = dict(self.rows), False
        return self.rows


@define(eq=False)
class Index:
    """Sorted entries by key; each key's list is copied on its first write."""

    _lists: Table[Key, list[Any]] = Factory(Table[Key, list[Any]])
    _owned: set[Key] = Factory(set[Key])

    def copy(self, *, read_only: bool) -> "Index":
        """Return a draft that shares the lists until their first write."""
        return Index(self._lists.copy(read_only=read_only))

    def of(self, *key: Any) -> Sequence[Any]:
        """Return the entries of a key, in order."""
        return self._lists.get(key) or ()

    def keys(self, kind: str) -> list[Key]:
        """Return the keys of a kind that have entries, in order."""
        return sorted(key for key in self._lists.rows if key[0] == kind)

    def add(self, key: Key, entry: Any) -> None:
        """Insert an entry."""
        insort(self._own(key), entry)

    def remove(self, key: Key, entry: Any) -> None:
        """Remove an existing entry."""
        entries = self._own(key)
        del entries[bisect_left(entries, entry)]
        if not entries:
            self._lists.delete(key)
            self._owned.discard(key)

    def _own(self, key: Key) -> list[Any]:
        found = self._lists.get(key)
        if found is None or key not in self._owned:
            found = list(found or ())
            self._lists.put(key, found)
            self._owned.add(key)
        return found


def index_entries(job: Job) -> Iterable[tuple[Key, Any]]:
    """Yield the index entries of a job: (key, entry)."""
    if job.tick is not None:
        yield ("tick", job.schedule_id, job.tick), job.id
    if job.idempotency_key is not None:
        yield ("idempotency", job.owner, job.idempotency_key), job.id
    if job.schedule_id is not None and job.started_at is not None:
        yield ("last run", job.schedule_id), job.id
    if job.state.ended:
        return
    if job.schedule_id is not None:
        yield ("unfinished", job.schedule_id), job.id
    if job.state.waiting:
        yield ("waiting", job.owner), job.id
    if job.concurrency_key is not None and job.state in (JobState.READY, JobState.RUNNING):
        yield ("busy", job.concurrency_key), job.id
    if job.state is JobState.SCHEDULED:
        yield ("scheduled",), (job.due_at, job.id)
    elif job.state is JobState.HELD:
        yield ("held", job.concurrency_key or ""), (-job.priority, job.due_at, job.id)
    elif job.state is JobState.READY:
        yield ("ready", job.queue), (-job.priority, job.fair_tag, job.id)
        yield ("share", job.queue, job.priority, job.fairness_key), (job.fair_tag, job.id)
    else:
        yield ("running",), (job.lease_until, job.id)


@frozen
class QuotaLog:
    """The log of a rate-limit key, and when its last entry expires (Unix time)."""

    until: float
    log: tuple[float, ...]


@frozen
class ReminderRow:
    """An owner's reminder preferences, and the local day of the last reminder."""

    preferences: ReminderPreferences = Factory(ReminderPreferences)
    reminded_on: date | None = None


@frozen(kw_only=True)
class AuditRow:
    """An audit entry, its erasable personal data with the salt, and its seal."""

    record: AuditRecord
    salt: str | None
    private: PrivatePart | None
    seal: Seal | None = None


@define(eq=False)
class Tables:
    """All tables of a store."""

    users: Table[UserId, User] = Factory(Table[UserId, User])
    logins: Table[str, UserId] = Factory(Table[str, UserId])
    codes: Table[int, OneTimeCode] = Factory(Table[int, OneTimeCode])
    sessions: Table[str, Session] = Factory(Table[str, Session])
    api_keys: Table[int, ApiKey] = Factory(Table[int, ApiKey])
    second_factors: Table[UserId, SecondFactor] = Factory(Table[UserId, SecondFactor])
    audit: Table[int, AuditRow] = Factory(Table[int, AuditRow])
    audit_numbers: Table[int, int] = Factory(Table[int, int])
    audit_chain: Table[str, ChainHead] = Factory(Table[str, ChainHead])
    audit_checkpoints: Table[int, Checkpoint] = Factory(Table[int, Checkpoint])
    audit_pruned: Table[str, Checkpoint] = Factory(Table[str, Checkpoint])
    definitions: Table[TaskId, TaskDefinition] = Factory(Table[TaskId, TaskDefinition])
    schedules: Table[ScheduleId, Schedule] = Factory(Table[ScheduleId, Schedule])
    metadata: Table[str, str] = Factory(Table[str, str])
    jobs: Table[JobId, Job] = Factory(Table[JobId, Job])
    job_index: Index = Factory(Index)
    attempts: Table[JobId, tuple[Attempt, ...]] = Factory(Table[JobId, tuple[Attempt, ...]])
    logs: Table[JobId, tuple[LogLine, ...]] = Factory(Table[JobId, tuple[LogLine, ...]])
    artifacts: Table[JobId, tuple[Artifact, ...]] = Factory(Table[JobId, tuple[Artifact, ...]])
    cancellations: Table[int, Cancellation] = Factory(Table[int, Cancellation])
    concurrency_keys: Table[str, int] = Factory(Table[str, int])
    queues: Table[str, str] = Factory(Table[str, str])
    workers: Table[str, WorkerInfo] = Factory(Table[str, WorkerInfo])
    quotas: Table[str, QuotaLog] = Factory(Table[str, QuotaLog])
    ledgers: Table[UserId, GoalLedger] = Factory(Table[UserId, GoalLedger])
    goals: Table[GoalId, Goal] = Factory(Table[GoalId, Goal])
    entries: Table[EntryId, ProgressEntry] = Factory(Table[EntryId, ProgressEntry])
    timers: Table[UserId, Timer] = Factory(Table[UserId, Timer])
    notices: Table[NotificationId, Notification] = Factory(Table[NotificationId, Notification])
    notice_keys: Table[tuple[str, str, UserId], NotificationId] = Factory(
        Table[tuple[str, str, UserId], NotificationId]
    )
    notice_preferences: Table[UserId, NoticePreferences] = Factory(Table[UserId, NoticePreferences])
    reminder_rows: Table[UserId, ReminderRow] = Factory(Table[UserId, ReminderRow])
    reminded: Table[GoalId, ReminderHistory] = Factory(Table[GoalId, ReminderHistory])
    accounts: Table[AccountId, Account] = Factory(Table[AccountId, Account])
    memberships: Table[tuple[AccountId, UserId], Membership] = Factory(
        Table[tuple[AccountId, UserId], Membership]
    )
    destinations: Table[DestinationId, Destination] = Factory(Table[DestinationId, Destination])
    events: Table[EventRowId, Event] = Factory(Table[EventRowId, Event])
    event_keys: Table[tuple[AccountId, str], EventRowId] = Factory(
        Table[tuple[AccountId, str], EventRowId]
    )
    deliveries: Table[DeliveryId, Delivery] = Factory(Table[DeliveryId, Delivery])
    delivery_attempts: Table[DeliveryId, tuple[DeliveryAttempt, ...]] = Factory(
        Table[DeliveryId, tuple[DeliveryAttempt, ...]]
    )
    projects: Table[ProjectId, Project] = Factory(Table[ProjectId, Project])
    project_members: Table[tuple[ProjectId, UserId], ProjectMember] = Factory(
        Table[tuple[ProjectId, UserId], ProjectMember]
    )
    boards: Table[BoardId, Board] = Factory(Table[BoardId, Board])
    work_items: Table[WorkItemId, WorkItem] = Factory(Table[WorkItemId, WorkItem])
    comments: Table[CommentId, Comment] = Factory(Table[CommentId, Comment])
    watchers: Table[tuple[WorkItemId, UserId], ProjectId] = Factory(
        Table[tuple[WorkItemId, UserId], ProjectId]
    )
    search_documents: Table[int, IndexedDocument] = Factory(Table[int, IndexedDocument])

    sla_calendars: Table[CalendarId, BusinessCalendar] = Factory(
        Table[CalendarId, BusinessCalendar]
    )
    sla_calendar_versions: Table[VersionKey, BusinessHours] = Factory(
        Table[VersionKey, BusinessHours]
    )
    sla_policies: Table[PolicyId, SlaPolicy] = Factory(Table[PolicyId, SlaPolicy])
    sla_policy_versions: Table[VersionKey, SlaTerms] = Factory(Table[VersionKey, SlaTerms])
    sla_clocks: Table[ClockId, SlaClock] = Factory(Table[ClockId, SlaClock])
    sla_events: Table[Key, StoredEvent] = Factory(Table[Key, StoredEvent])
    sla_index: Index = Factory(Index)

    def copy(self, *, read_only: bool = False) -> "Tables":
        """Return a draft, or a read-only view, of all tables."""
        tables = {each.name: getattr(self, each.name) for each in fields(Tables)}
        return Tables(**{name: each.copy(read_only=read_only) for name, each in tables.items()})

    def put_job(self, job: Job) -> None:
        """Insert or update a job and its index entries."""
        old = self.jobs.get(job.id)
        before = dict(index_entries(old)) if old else {}
        after = dict(index_entries(job))
        self.jobs.put(job.id, job)
        for key, entry in before.items():
            if after.get(key) != entry:
                self.job_index.remove(key, entry)
        for key, entry in after.items():
            if before.get(key) != entry:
                self.job_index.add(key, entry)

    def delete_job(self, job: Job) -> None:
        """Delete a job with its attempts, log lines and artifacts."""
        for key, entry in index_entries(job):
            self.job_index.remove(key, entry)
        self.jobs.delete(job.id)
        for table in (self.attempts, self.logs, self.artifacts):
            table.delete(job.id)
