"""Rows of jobs, claims and attempts, and the entities that they are."""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
from attrs import Factory, fields, frozen
from sqlalchemy import Connection, func, select

from workbell.adapters.sql.database.column_types import json_text
from workbell.adapters.sql.database.statements import AnyRow, row_to_dict
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.schema.tables import attempts, jobs
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Attempt, Claim, Outcome
from workbell.domain.jobs.job import (
    ClaimMode,
    Job,
    JobId,
    JobOrigin,
    JobState,
    MissedTicks,
    Progress,
)
from workbell.ports.system import Clock

STATES = tuple(JobState)
MODES = tuple(ClaimMode)
_ORIGINS = {origin.value: origin for origin in JobOrigin}

JOB = select(*jobs.c)
JOB_COLUMNS = tuple(jobs.c.keys())

_NAMES_AS_THEY_ARE = [
    "queue",
    "priority",
    "fair_tag",
    "weight",
    "due_at",
    "concurrency_key",
    "concurrency_limit",
    "fail_when_lost",
    "attempt",
    "max_attempts",
    "timeout_seconds",
    "token",
    "lease_until",
    "worker",
    "cancel_requested",
    "task",
    "name",
    "schedule_id",
    "tick",
    "for_tick",
    "idempotency_key",
    "request_hash",
    "hidden",
    "created_at",
    "queued_at",
    "started_at",
    "ended_at",
    "reason",
    "description",
    "parameters",
    "result",
]


_FIELDS = tuple(each.name for each in fields(Job))
_values_of = attrgetter(*_FIELDS)


def job_from_row(row: AnyRow) -> Job:
    """Return the job of a row that was selected by `JOB`."""
    values = row_to_dict(row)
    return Job(
        id=JobId(row.id),
        owner=UserId(row.owner),
        state=STATES[row.state],
        mode=MODES[row.mode],
        origin=_ORIGINS[row.origin],
        fair_key="" if row.fair_key == str(row.owner) else row.fair_key,
        rerun_of=None if row.rerun_of is None else JobId(row.rerun_of),
        progress=None if row.progress is None else Progress(*row.progress),
        missed=None if row.missed is None else msgspec.convert(row.missed, MissedTicks),
        **{name: values[name] for name in _NAMES_AS_THEY_ARE},
    )


def with_inserted_id(
    job: Job, job_id: int, state: JobState, fair_tag: float, queued_at: datetime | None
) -> Job:
    """Return a new job as it was kept; `attrs.evolve` takes twice as long over so many fields."""
    values = dict(zip(_FIELDS, _values_of(job), strict=True))
    values |= {"id": job_id, "state": state, "fair_tag": fair_tag, "queued_at": queued_at}
    return Job(**values)


def job_values(
    job: Job,
    job_id: int | None,
    state: JobState,
    fair_tag: float,
    queued_at: Any,
    to_db_time: Callable[[Any], Any],
) -> Sequence[Any]:
    """Return a new row in the order of `JOB_COLUMNS`, in its form on disk."""
    return (
        job_id,
        int(state),
        job.queue,
        job.priority,
        fair_tag,
        job.fair_key or str(job.owner),
        job.weight,
        to_db_time(job.due_at),
        job.concurrency_key,
        job.concurrency_limit,
        int(job.mode),
        job.fail_when_lost,
        job.attempt,
        job.max_attempts,
        job.timeout_seconds,
        job.token,
        to_db_time(job.lease_until),
        job.worker,
        job.cancel_requested,
        *_steady_values(job, to_db_time),
        to_db_time(job.created_at),
        to_db_time(queued_at),
        to_db_time(job.started_at),
        to_db_time(job.ended_at),
        json_text(progress_value(job.progress)),
        json_text(job.missed),
        job.reason,
        job.description,
        json_text(job.parameters),
        json_text(job.result),
    )


def _steady_values(job: Job, to_db_time: Callable[[Any], Any]) -> Sequence[Any]:
    """Return the columns from `owner` to `hidden`: what a job is, wherever it stands."""
    return (
        job.owner,
        job.task,
        job.name,
        job.origin.value,
        job.schedule_id,
        to_db_time(job.tick),
        to_db_time(job.for_tick),
        job.rerun_of,
        job.idempotency_key,
        job.request_hash,
        job.hidden,
    )


def progress_value(progress: Progress | None) -> list[Any] | None:
    """Return progress as its column keeps it."""
    return None if progress is None else [progress.done, progress.total, progress.note]


jobs_c = jobs.c
CLAIM_COLUMNS = (
    jobs_c.id,
    jobs_c.token,
    jobs_c.task,
    jobs_c.owner,
    jobs_c.parameters,
    jobs_c.queue,
    jobs_c.mode,
    jobs_c.fail_when_lost,
    jobs_c.concurrency_key,
    jobs_c.attempt,
    jobs_c.max_attempts,
    jobs_c.timeout_seconds,
    jobs_c.due_at,
    jobs_c.queued_at,
    jobs_c.started_at,
    jobs_c.schedule_id,
    func.coalesce(jobs_c.tick, jobs_c.for_tick).label("tick"),
    jobs_c.cancel_requested,
    jobs_c.lease_until,
    jobs_c.worker,
)


def claim_from_row(row: AnyRow, **raised: Any) -> Claim:
    """Return the claim of a row of `CLAIM_COLUMNS`, with what claiming changes."""
    values = row_to_dict(row)
    values["mode"] = MODES[row.mode]
    values.update(raised)
    return Claim(**values)


def attempt_from_row(row: AnyRow) -> Attempt:
    """Return the attempt of a row."""
    return Attempt(
        job_id=JobId(row.job_id),
        number=row.number,
        queued_at=row.queued_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        error=row.error,
        worker=row.worker,
    )


ATTEMPT = select(attempts)


@frozen
class JobStaging:
    """The jobs of one connection, the queues to wake, and the store's clock."""

    _db: Connection
    _strategy: Strategy
    _woken: set[str] = Factory(set[str])
    _clock: Clock | None = None
    _sole: bool = False

    def now(self) -> datetime:
        """
        Return the store's own time.

        Raises:
            RuntimeError: There is no store: the connection is a caller's own.
        """
        if self._clock is None:
            raise RuntimeError("Only a store's own transaction knows the time.")
        return self._clock.now()
