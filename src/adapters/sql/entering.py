"""Entering on PostgreSQL: new jobs, states and tags by one statement."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, make_url, text

from ...domain.jobs import Job, JobState
from .columns import json_text, naive_of
from .rows import JOB_COLUMNS, entered, job_values
from .schema import jobs
from .statements import Values, prepared

_dialect = make_url("postgresql+psycopg://").get_dialect()()
_typed = ", ".join(f"{column.name} {column.type.compile(_dialect)}" for column in jobs.c)
_GIVEN = f"SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS given({_typed})"  # noqa: S608
_INSERT_ALL = prepared(
    text(
        f"INSERT INTO jobs ({', '.join(JOB_COLUMNS)}) {_GIVEN} ON CONFLICT DO NOTHING RETURNING id"
    ),
    "rows",
)
_TAG = """
greatest(
    (SELECT fair_tag FROM jobs WHERE state = 2 AND queue = given.queue
        AND priority = given.priority ORDER BY fair_tag, id LIMIT 1),
    (SELECT fair_tag FROM jobs WHERE state = 2 AND queue = given.queue
        AND priority = given.priority AND fair_key = given.fair_key
        ORDER BY fair_tag DESC LIMIT 1),
    0
) + 1 / weight"""
_IS_INACTIVE = "EXISTS (SELECT 1 FROM task_definitions WHERE key = given.task AND NOT is_active)"
_HELD_INSTEAD = {
    "state": "CASE WHEN waits THEN 1 ELSE state END",
    "queued_at": "CASE WHEN NOT waits THEN queued_at END",
    "fair_tag": f"CASE WHEN state = 2 AND NOT waits THEN {_TAG} ELSE fair_tag END",
}
_named = ", ".join(JOB_COLUMNS[1:])
_entering = ", ".join(_HELD_INSTEAD.get(name, name) for name in JOB_COLUMNS[1:])
_ENTER = prepared(
    text(
        "WITH given AS MATERIALIZED "  # noqa: S608 - the schema's own names
        f"(SELECT given.*, state = 2 AND {_IS_INACTIVE} AS waits FROM ({_GIVEN}) AS given) "
        f"INSERT INTO jobs ({_named}) SELECT {_entering} FROM given "
        "ON CONFLICT DO NOTHING RETURNING id, state, fair_tag"
    ),
    "rows",
)


def insert_all(db: Connection, rows: Sequence[Values]) -> set[int]:
    """Insert rows in the order of `JOB_COLUMNS` unless their keys are taken; return the ids."""
    return {job_id for (job_id,) in _INSERT_ALL.rows(db, (_json_of(rows),))}


def enter_one(db: Connection, job: Job, now: datetime, *, committing: bool) -> Job | None:
    """Keep a job without a lane as it is to enter; None where its key is taken."""
    later = job.due_at > now
    state = JobState.SCHEDULED if later else JobState.READY
    queued_at = job.queued_at if later else now
    row = job_values(job, None, state, job.fair_tag, queued_at, naive_of)
    for job_id, stands, tag in _ENTER.rows(db, (_json_of([row]),), committing=committing):
        if stands == JobState.HELD:
            queued_at = None
        return entered(job, job_id, JobState(stands), tag, queued_at)
    return None


def _json_of(rows: Sequence[Values]) -> str | None:
    return json_text(
        [
            {name: value for name, value in zip(JOB_COLUMNS, row, strict=True) if value is not None}
            for row in rows
        ]
    )
