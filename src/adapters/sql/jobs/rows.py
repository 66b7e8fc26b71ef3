"""Conversion between rows and jobs, claims and attempts."""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
from attrs import Factory, fields, frozen
from sqlalchemy import Connection, func, select, type_coerce

from workbell.adapters.sql.database.column_types import LongText, json_text, json_value
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
from workbell.domain.jobs.task import Isolation
from workbell.ports.system import Clock

STATES = tuple(JobState)
MODES = tuple(ClaimMode)
_ORIGINS = {origin.value: origin for origin in JobOrigin}

JOB = select(*jobs.c)
JOB_COLUMNS = tuple(jobs.c.keys())
_FIELDS = tuple(each.name for each in fields(Job))
_values_of = attrgetter(*_FIELDS)
_CONVERTED = {
    "id",
    "owner",
    "state",
    "mode",
    "origin",
    "fair_key",
    "rerun_of",
    "progress",
    "missed",
}
_COPIED = [name for name in _FIELDS if name not in _CONVERTED]


def job_from_row(row: AnyRow) -> Job:
    """Convert a row selected by `JOB`."""
    values = row_to_dict(row)
    return Job(
        id=JobId(row.id),
        owner=UserId(row.owner),
        state=STATES[row.state],
        mode=MODES[row.mode],
        origin=_ORIGINS[row.origin],
        fair_key="" if row.fair_key == str(row.owner) else row.fair_key,
        rerun_of=None if row.rerun_of is None else JobId(row.rerun_of),
        progress=_progress(row.progress),
        missed=_missed(row.missed),
        **{name: values[name] for name in _COPIED},
    )


def _progress(value: Any) -> Progress | None:
    return Progress(*value) if isinstance(value, list) and len(value) == 3 else None


def _missed(value: Any) -> MissedTicks | None:
    try:
        return None if value is None else msgspec.convert(value, MissedTicks)
    except msgspec.ValidationError:  # the other values of the row are shown all the same
        return None


def with_inserted_id(
    job: Job, job_id: int, state: JobState, fair_tag: float, queued_at: datetime | None
) -> Job:
    """Copy a job with its inserted id, state and tag."""
    # Not attrs.evolve, which takes twice as long for 40 fields.
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
    """Return a new row in the order of `JOB_COLUMNS`, in its stored form."""
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
        job.uncharged,
        job.max_attempts,
        job.timeout_seconds,
        job.token,
        to_db_time(job.lease_until),
        job.worker,
        job.cancel_requested,
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


def progress_value(progress: Progress | None) -> list[Any] | None:
    """Convert progress to the value of its column."""
    return None if progress is None else [progress.done, progress.total, progress.note]


jobs_c = jobs.c
_CLAIM_NAMES = (
    *("id", "token", "task", "owner", "queue", "mode", "fail_when_lost"),
    *("concurrency_key", "attempt", "uncharged", "max_attempts", "timeout_seconds"),
    *("due_at", "queued_at", "started_at", "schedule_id", "cancel_requested", "lease_until"),
    "worker",
)
LOST_COLUMNS = (
    *[jobs_c[name] for name in _CLAIM_NAMES],
    func.coalesce(jobs_c.tick, jobs_c.for_tick).label("tick"),
    jobs_c.fair_key.label("fairness_key"),
)
CLAIM_COLUMNS = (*LOST_COLUMNS, type_coerce(jobs_c.parameters, LongText).label("parameters"))
_COUNTS = ("attempt", "uncharged", "max_attempts", "timeout_seconds")


def claim_from_row(row: AnyRow, **changes: Any) -> Claim:
    """
    Convert a row of `CLAIM_COLUMNS`, with the values that claiming changes.

    Raises:
        TypeError: The row cannot be decoded; also ValueError, LookupError and MsgspecError.
    """
    parameters = json_value(row.parameters)
    if not isinstance(parameters, dict):
        raise TypeError("the parameters are not a JSON object")
    return lost_claim_from_row(row, parameters=parameters, **changes)


def lost_claim_from_row(row: AnyRow, **changes: Any) -> Claim:
    """Convert a row of `LOST_COLUMNS`, without the parameters; errors as `claim_from_row`."""
    values = row_to_dict(row)
    values["mode"] = MODES[row.mode]
    for name in _COUNTS:
        if type(values[name]) is not int:  # SQLite stores any value in any column
            raise TypeError(f"{name} is not an integer")
    values["parameters"] = {}
    return Claim(**(values | changes))


def attempt_from_row(row: AnyRow) -> Attempt:
    """Convert a row of `ATTEMPT`."""
    values = row_to_dict(row)
    values["outcome"] = None if row.outcome is None else Outcome(row.outcome)
    values["isolation"] = None if row.isolation is None else Isolation(row.isolation)
    return Attempt(**values)


ATTEMPT = select(attempts)


@frozen
class JobStaging:
    """The state that the parts of the job repository share."""

    _db: Connection
    _strategy: Strategy
    _woken: set[str] = Factory(set[str])
    _stopped: set[tuple[str, JobId]] = Factory(set[tuple[str, JobId]])
    _clock: Clock | None = None
    _single_statement: bool = False

    def now(self) -> datetime:
        """Return the time of the store's clock; a caller's connection has none."""
        if self._clock is None:
            raise RuntimeError("The repository has no clock: open it through a store.")
        return self._clock.now()
