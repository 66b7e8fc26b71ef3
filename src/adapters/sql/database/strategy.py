"""The operations that databases implement differently."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from attrs import frozen
from sqlalchemy import ColumnElement, Connection

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.delivery.delivery import Delivery
from workbell.domain.delivery.event import Event
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.claim_limits import ClaimLimits
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import Task
from workbell.domain.notifications.notice import Notification
from workbell.domain.schedules.schedule import Schedule
from workbell.domain.schedules.ticks import FastPathStep

InitialState: TypeAlias = tuple[JobState, float, datetime | None]
"""The state of a new row, its fair tag, and the time when it became ready."""

InsertJobs: TypeAlias = Callable[
    [Connection, Sequence[Job], Sequence[InitialState]], Sequence[Job | None]
]
InsertJob: TypeAlias = Callable[[Connection, Job, datetime, bool], Job | None]
WriteSettlements: TypeAlias = Callable[[Connection, Sequence[Settlement]], dict[JobId, Settlement]]
SettleAndClaim: TypeAlias = Callable[
    [Connection, Sequence[Settlement], Sequence[Any], ClaimLimits, bool],
    tuple[list[Claim], set[JobId]],
]
FireTicks: TypeAlias = Callable[
    [Connection, Task, Sequence[FastPathStep], datetime, set[str]], list[FastPathStep]
]
AdvanceByOne: TypeAlias = Callable[[Connection, Sequence[FastPathStep]], None]
InsertSchedule: TypeAlias = Callable[[Connection, Schedule, int | None], int | None]
InsertEvent: TypeAlias = Callable[[Connection, Event], int | None]
InsertAuditEntry: TypeAlias = Callable[[Connection, AuditEntry], None]
InsertNotices: TypeAlias = Callable[
    [Connection, Sequence[Notification]], dict[tuple[str, str, int], int]
]
InsertDeliveries: TypeAlias = Callable[[Connection, Sequence[Delivery]], Sequence[int]]
IsAmong: TypeAlias = Callable[[Any, str], ColumnElement[bool]]


@frozen(kw_only=True)
class Strategy:
    """
    The implementations of one database, where databases differ.

    Where a field is None, the repository uses its portable implementation.

    Attributes:
        insert_jobs: Insert rows unless their keys exist; return None for each skipped row.
        write_settlements: Write accepted outcomes and their attempts.
        insert_schedule: Insert a schedule and return its id; None if its owner has as
            many active schedules as the last argument allows.
        advance_by_one: Move schedules past one tick each.
        insert_event: Insert an event and return its id; None if its key exists.
        insert_deliveries: Insert deliveries and return their ids, in the same order.
        insert_notices: Insert notifications unless their keys exist; return the ids of
            the new ones by kind, key and user.
        insert_audit_entry: Insert an audit entry and its personal data.
        is_among: The condition that a column is among the ids of a parameter.
        insert_job: Insert one waiting job without a concurrency key; the last
            argument says whether the statement commits by itself.
        settle_and_claim: Write outcomes and claim in one statement; the last
            argument says whether the statement commits by itself.
        fire_ticks: Insert the jobs of due ticks; return the steps that were handled.
        queues_row_locks: Whether shared row locks overtake an exclusive one, so that
            requests for a lock must wait in a queue of their own.
    """

    insert_jobs: InsertJobs
    write_settlements: WriteSettlements
    insert_schedule: InsertSchedule
    advance_by_one: AdvanceByOne
    insert_event: InsertEvent
    insert_deliveries: InsertDeliveries
    insert_notices: InsertNotices
    insert_audit_entry: InsertAuditEntry
    is_among: IsAmong
    insert_job: InsertJob | None = None
    settle_and_claim: SettleAndClaim | None = None
    fire_ticks: FireTicks | None = None
    queues_row_locks: bool = False
