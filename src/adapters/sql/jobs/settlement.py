"""Settling: outcomes are written only under the job's current token."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, bindparam, func, insert, null, select, update

from workbell.adapters.sql.database.column_types import instant_writer, json_text
from workbell.adapters.sql.database.statements import AnyRow, chunks, prepare
from workbell.adapters.sql.jobs.rows import STATES
from workbell.adapters.sql.schema.tables import attempts, jobs
from workbell.domain.jobs.attempt import Settlement
from workbell.domain.jobs.job import JobId, JobState

jobs_c = jobs.c
_row = select(
    jobs_c.id, jobs_c.token, jobs_c.state, jobs_c.cancel_requested, jobs_c.lease_until
).with_for_update()
_LOCK_MANY = _row.where(jobs_c.id.in_(bindparam("ids", expanding=True))).order_by(jobs_c.id)
_LOCK_ONE = prepare(_row.where(jobs_c.id == bindparam("job_id")), "job_id")
_SETTLE = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"))
    .values(
        state=bindparam("new_state"),
        due_at=func.coalesce(bindparam("new_due_at"), jobs_c.due_at),
        max_attempts=bindparam("new_max_attempts"),
        mode=bindparam("new_mode"),
        result=bindparam("new_result"),
        reason=bindparam("new_reason"),
        lease_until=null(),
        ended_at=bindparam("new_ended_at"),
    ),
    *(
        "new_state",
        "new_due_at",
        "new_max_attempts",
        "new_mode",
        "new_result",
        "new_reason",
        "new_ended_at",
        "job_id",
    ),
)
_ATTEMPT_COLUMNS = tuple(attempts.c.keys())
_ATTEMPT = prepare(insert(attempts), *_ATTEMPT_COLUMNS)


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


def _locked_rows(db: Connection, settlements: Sequence[Settlement]) -> Iterable[AnyRow]:
    """Lock the rows of settlements in id order; usually it is a single one."""
    if len(settlements) == 1 and settlements[0].lease_before is None:
        return _LOCK_ONE.execute(db, (settlements[0].id,)).all()
    ids = sorted({each.id for each in settlements})
    return [row for part in chunks(ids) for row in db.execute(_LOCK_MANY, {"ids": part})]


def _is_current(row: AnyRow, settlement: Settlement) -> bool:
    """Whether the job runs under the token and, for the reaper, its lease has expired."""
    if STATES[row.state] is not JobState.RUNNING or row.token != settlement.token:
        return False
    return settlement.lease_before is None or row.lease_until < settlement.lease_before


def _apply_cancellation(row: AnyRow, settlement: Settlement) -> Settlement:
    """Turn a retry into a cancellation if cancellation was requested."""
    if settlement.state is JobState.SCHEDULED and row.cancel_requested:
        return evolve(settlement, state=JobState.CANCELLED)
    return settlement


def _job_row(settlement: Settlement, to_db_time: Callable[[Any], Any]) -> tuple[Any, ...]:
    ended = settlement.state.ended
    return (
        int(settlement.state),
        None if ended else to_db_time(settlement.due_at),
        settlement.max_attempts,
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
    )
