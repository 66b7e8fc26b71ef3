"""Settling: outcomes are written only under the job's current token."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from attrs import evolve
from sqlalchemy import Connection, bindparam, func, insert, null, select, update

from workbell.adapters.sql.database.column_types import instant_reader, instant_writer, json_text
from workbell.adapters.sql.database.statements import PreparedListStatement, prepare
from workbell.adapters.sql.jobs.rows import STATES
from workbell.adapters.sql.schema.tables import attempts, jobs
from workbell.domain.jobs.attempt import Settlement
from workbell.domain.jobs.job import JobId, JobState

jobs_c = jobs.c
_row = select(
    jobs_c.id, jobs_c.token, jobs_c.state, jobs_c.cancel_requested, jobs_c.lease_until
).with_for_update()
_LOCK = PreparedListStatement(lambda ids: _row.where(jobs_c.id.in_(ids)).order_by(jobs_c.id))
_SETTLE = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"))
    .values(
        state=bindparam("new_state"),
        due_at=func.coalesce(bindparam("new_due_at"), jobs_c.due_at),
        uncharged=bindparam("new_uncharged"),
        mode=bindparam("new_mode"),
        result=bindparam("new_result"),
        reason=bindparam("new_reason"),
        lease_until=null(),
        ended_at=bindparam("new_ended_at"),
    ),
    *(
        "new_state",
        "new_due_at",
        "new_uncharged",
        "new_mode",
        "new_result",
        "new_reason",
        "new_ended_at",
        "job_id",
    ),
)
_ATTEMPT_COLUMNS = tuple(attempts.c.keys())
_ATTEMPT = prepare(insert(attempts), *_ATTEMPT_COLUMNS)


class _LockedRow(NamedTuple):
    """The columns of a job that decide whether an outcome is accepted."""

    id: int
    token: int
    state: JobState
    cancel_requested: bool
    lease_until: datetime


def write_settlements(db: Connection, settlements: Sequence[Settlement]) -> dict[JobId, Settlement]:
    """Write accepted outcomes and their attempts; return the outcomes by id."""
    rows = {row.id: row for row in _locked_rows(db, settlements)}
    accepted: dict[JobId, Settlement] = {}
    for each in settlements:
        row = rows.get(each.id)
        if row is not None and each.id not in accepted and _is_current(row, each):
            accepted[each.id] = _apply_cancellation(row, each)
    to_db_time = instant_writer(db.dialect)
    ordered = sorted(accepted.values(), key=lambda each: each.id)
    _SETTLE.execute_many(db, [_job_row(each, to_db_time) for each in ordered])
    _ATTEMPT.execute_many(db, [_attempt_row(each, to_db_time) for each in ordered])
    return accepted


def _locked_rows(db: Connection, settlements: Sequence[Settlement]) -> Iterable[_LockedRow]:
    """Lock the rows of settlements in id order."""
    read_time = instant_reader(db.dialect)
    for job_id, token, state, cancel_requested, lease_until in _LOCK.fetch_all(
        db, sorted({each.id for each in settlements})
    ):
        yield _LockedRow(job_id, token, STATES[state], cancel_requested, read_time(lease_until))


def _is_current(row: _LockedRow, settlement: Settlement) -> bool:
    """Whether the job runs under the token and, for the reaper, its lease has expired."""
    if row.state is not JobState.RUNNING or row.token != settlement.token:
        return False
    return settlement.lease_before is None or row.lease_until < settlement.lease_before


def _apply_cancellation(row: _LockedRow, settlement: Settlement) -> Settlement:
    """Turn a retry into a cancellation if cancellation was requested."""
    if settlement.state is JobState.SCHEDULED and row.cancel_requested:
        return evolve(settlement, state=JobState.CANCELLED)
    return settlement


def _job_row(settlement: Settlement, to_db_time: Callable[[Any], Any]) -> tuple[Any, ...]:
    ended = settlement.state.ended
    return (
        int(settlement.state),
        None if ended else to_db_time(settlement.due_at),
        settlement.uncharged,
        int(settlement.mode),
        json_text(settlement.result),
        settlement.error,
        to_db_time(settlement.ended_at) if ended else None,
        settlement.id,
    )


def _attempt_row(settlement: Settlement, to_db_time: Callable[[Any], Any]) -> tuple[Any, ...]:
    return (
        settlement.id,
        settlement.attempt,
        to_db_time(settlement.queued_at),
        to_db_time(settlement.started_at),
        to_db_time(settlement.ended_at),
        settlement.outcome.value,
        settlement.worker,
        settlement.error,
        settlement.traceback,
        settlement.isolation and settlement.isolation.value,
    )
