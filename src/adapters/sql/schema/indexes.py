"""Partial indexes, and the conditions with which queries use them."""

from typing import Any

from sqlalchemy import ColumnElement, Dialect, Index, and_, literal_column

from workbell.adapters.sql.schema.partial_index import partial_index
from workbell.adapters.sql.schema.tables import api_keys, jobs, schedules, sessions
from workbell.domain.jobs.job import JobState

_MYSQL_FAMILY = frozenset({"mysql", "mariadb"})


def number(value: int) -> ColumnElement[Any]:
    """Return a literal, such as a state: a bind parameter never matches a partial index."""
    return literal_column(str(int(value)))


def _is(state: JobState) -> ColumnElement[bool]:
    return jobs.c.state == number(state)


IS_SCHEDULED = _is(JobState.SCHEDULED)
IS_HELD = _is(JobState.HELD)
IS_READY = _is(JobState.READY)
IS_RUNNING = _is(JobState.RUNNING)
IS_HELD_BY_KEY = and_(IS_HELD, jobs.c.concurrency_key.is_not(None))
IS_HELD_WITHOUT_KEY = and_(IS_HELD, jobs.c.concurrency_key.is_(None))
USES_KEY = and_(jobs.c.concurrency_key.is_not(None), jobs.c.state < number(JobState.SUCCEEDED))
"""The job is unfinished and has a concurrency key."""
IS_BUSY = and_(
    USES_KEY,  # written out: SQLite does not infer it from the states
    jobs.c.state.in_((number(JobState.READY), number(JobState.RUNNING))),
)
IS_WAITING = jobs.c.state < number(JobState.RUNNING)
IS_SHOWN = jobs.c.hidden == literal_column("false")
IS_PENDING = and_(IS_WAITING, jobs.c.attempt == number(0), IS_SHOWN)
IS_RETRYING = and_(IS_WAITING, jobs.c.attempt > number(0), IS_SHOWN)
_final_state = jobs.c.state + number(0)
"""With an expression, because SQLite would read a range of the column, not one state."""
IS_ENDED = _final_state > number(JobState.RUNNING)
IS_UNSUCCESSFUL = _final_state > number(JobState.SUCCEEDED)
"""Failed, cancelled or skipped."""
IS_UNFINISHED = jobs.c.state < number(JobState.SUCCEEDED)
IS_UNFINISHED_RUN = and_(jobs.c.schedule_id.is_not(None), IS_UNFINISHED)
IS_STARTED_RUN = and_(jobs.c.schedule_id.is_not(None), jobs.c.started_at.is_not(None))
IS_UNSTARTED_RUN = and_(jobs.c.schedule_id.is_not(None), jobs.c.started_at.is_(None))
IS_ENDED_JOB = and_(jobs.c.schedule_id.is_(None), jobs.c.state > number(JobState.RUNNING))
IS_ENDED_RUN = and_(jobs.c.schedule_id.is_not(None), jobs.c.state > number(JobState.RUNNING))
IS_EXPECTED = schedules.c.alert_at.is_not(None)
IS_OVERDUE = schedules.c.overdue_since.is_not(None)
IS_DELETED = schedules.c.deleted_at.is_not(None)
IS_NOT_DELETED = schedules.c.deleted_at.is_(None)
IS_ACTIVE = and_(schedules.c.next_at.is_not(None), IS_NOT_DELETED)


def applies_to_dialect(index: Index, dialect: Dialect) -> bool:
    """Whether an index exists on a dialect: MySQL has plain ones instead of partial ones."""
    return index.info.get("mysql", dialect.name in _MYSQL_FAMILY) is (dialect.name in _MYSQL_FAMILY)


def _due(name: str, condition: ColumnElement[bool], *columns: ColumnElement[Any]) -> None:
    """Declare the index of jobs in one state."""
    partial_index(name, condition, *columns, plain=(jobs.c.state, *columns))


jobs_c = jobs.c
partial_index(
    "workbell_jobs_tick_key", jobs_c.tick.is_not(None), jobs_c.schedule_id, jobs_c.tick, unique=True
)
partial_index(
    "workbell_jobs_idempotency_key_key",
    jobs_c.idempotency_key.is_not(None),
    jobs_c.owner,
    jobs_c.idempotency_key,
    unique=True,
)
_due(
    "workbell_jobs_claim_idx",
    IS_READY,
    jobs_c.queue,
    jobs_c.priority.desc(),
    jobs_c.fair_tag,
    jobs_c.id,
)
_due(
    "workbell_jobs_share_idx",
    IS_READY,
    jobs_c.queue,
    jobs_c.priority,
    jobs_c.fair_key,
    jobs_c.fair_tag,
)
_due("workbell_jobs_stage_idx", IS_SCHEDULED, jobs_c.due_at, jobs_c.id)
partial_index("workbell_jobs_busy_idx", USES_KEY, jobs_c.concurrency_key, jobs_c.state)
partial_index(
    "workbell_jobs_held_task_idx",
    IS_HELD_WITHOUT_KEY,
    jobs_c.task,
    jobs_c.id,
    plain=(jobs_c.state, jobs_c.concurrency_key, jobs_c.task, jobs_c.id),
)
_due(
    "workbell_jobs_held_idx",
    IS_HELD_BY_KEY,
    jobs_c.concurrency_key,
    jobs_c.priority.desc(),
    jobs_c.due_at,
    jobs_c.id,
)
_due("workbell_jobs_lease_idx", IS_RUNNING, jobs_c.lease_until, jobs_c.id)
partial_index("workbell_jobs_waiting_idx", IS_WAITING, jobs_c.owner, jobs_c.id, plain=None)
partial_index(
    "workbell_jobs_owner_idx",
    IS_SHOWN,
    jobs_c.owner,
    jobs_c.id,
    plain=(jobs_c.owner, jobs_c.hidden, jobs_c.id),
)
partial_index("workbell_jobs_status_idx", IS_ENDED, jobs_c.state, jobs_c.hidden, jobs_c.id)
partial_index(
    "workbell_jobs_owner_status_idx",
    IS_UNSUCCESSFUL,
    jobs_c.owner,
    jobs_c.state,
    jobs_c.hidden,
    jobs_c.id,
)
partial_index("workbell_jobs_pending_idx", IS_PENDING, jobs_c.id, plain=None)
partial_index("workbell_jobs_retrying_idx", IS_RETRYING, jobs_c.id, plain=None)
partial_index(
    "workbell_jobs_unfinished_idx",
    IS_UNFINISHED_RUN,
    jobs_c.schedule_id,
    jobs_c.id,
    plain=(jobs_c.schedule_id, jobs_c.state, jobs_c.id),
)
partial_index("workbell_jobs_started_idx", IS_STARTED_RUN, jobs_c.schedule_id, jobs_c.id)
partial_index(
    "workbell_jobs_unstarted_idx", IS_UNSTARTED_RUN, jobs_c.schedule_id, jobs_c.id, plain=None
)
partial_index("workbell_jobs_ended_idx", IS_ENDED_JOB, jobs_c.state, jobs_c.ended_at)
partial_index("workbell_jobs_ended_runs_idx", IS_ENDED_RUN, jobs_c.ended_at)
partial_index("workbell_schedules_due_idx", IS_ACTIVE, schedules.c.next_at, schedules.c.id)
partial_index(
    "workbell_schedules_created_idx",
    IS_NOT_DELETED,
    schedules.c.created_at,
    schedules.c.id,
    plain=(schedules.c.deleted_at, schedules.c.created_at, schedules.c.id),
)
partial_index(
    "workbell_schedules_owner_idx",
    IS_NOT_DELETED,
    schedules.c.owner,
    schedules.c.created_at,
    schedules.c.id,
    plain=(
        schedules.c.owner,
        schedules.c.deleted_at,
        schedules.c.created_at,
        schedules.c.id,
    ),
)
partial_index(
    "workbell_schedules_overdue_idx",
    IS_OVERDUE,
    schedules.c.owner,
    plain=(schedules.c.overdue_since, schedules.c.owner),
)
partial_index(
    "workbell_schedules_active_idx",
    IS_ACTIVE,
    schedules.c.owner,
    plain=(schedules.c.owner, schedules.c.deleted_at),  # `next_at` changes with every run
)
partial_index(
    "workbell_schedules_deleted_idx",
    IS_DELETED,
    schedules.c.deleted_at,
    plain=(schedules.c.deleted_at, schedules.c.owner),  # MariaDB would lock rows by (.., id)
)
partial_index("workbell_schedules_alert_idx", IS_EXPECTED, schedules.c.alert_at, schedules.c.id)
partial_index(
    "workbell_sessions_active_idx",
    sessions.c.revoked_at.is_(None),
    sessions.c.user_id,
    sessions.c.expires_at,
    plain=(sessions.c.user_id, sessions.c.revoked_at, sessions.c.expires_at),
)
partial_index(
    "workbell_api_keys_user_idx",
    api_keys.c.revoked_at.is_(None),
    api_keys.c.user_id,
    api_keys.c.id,
    plain=(api_keys.c.user_id, api_keys.c.revoked_at, api_keys.c.id),
)
for _column in (api_keys.c.revoked_at, api_keys.c.expires_at):
    partial_index(f"workbell_api_keys_{_column.name}_idx", _column.is_not(None), _column)
