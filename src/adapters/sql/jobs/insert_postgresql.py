"""Entering on PostgreSQL: new jobs, states and tags by one statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, make_url, text

from workbell.adapters.sql.database.column_types import (
    JsonText,
    UtcDateTime,
    json_text,
    to_naive_utc,
)
from workbell.adapters.sql.database.statements import Values, prepare
from workbell.adapters.sql.database.strategy import InitialState
from workbell.adapters.sql.jobs.rows import JOB_COLUMNS, job_values, with_inserted_id
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.jobs.job import Job, JobState

_dialect = make_url("postgresql+psycopg://").get_dialect()()
_typed = ", ".join(f"{column.name} {column.type.compile(_dialect)}" for column in jobs.c)
_GIVEN = f"SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS given({_typed})"  # noqa: S608
# A whole `Job` is read as it is: aware moments, and JSON within JSON.
_WRITTEN_AS = {"timestamptz": "{} AT TIME ZONE 'UTC'", "json": "CAST({} AS text)"}
_SPECIAL = {
    "fair_key": "coalesce(nullif(fair_key, ''), CAST(owner AS text))",
    "progress": "CASE WHEN progress IS NOT NULL THEN CAST(json_build_array("
    "progress->'done', progress->'total', progress->'note') AS text) END",
}


def _read_as(column: Column[Any]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "timestamptz"
    return "json" if isinstance(column.type, JsonText) else column.type.compile(_dialect)


_kinds = {column.name: _read_as(column) for column in jobs.c}
_INSERT_ALL = prepare(
    text(
        f"INSERT INTO workbell_jobs ({', '.join(_kinds)}) SELECT "  # noqa: S608 - the schema's own names
        + ", ".join(
            _SPECIAL.get(name) or _WRITTEN_AS.get(kind, "{}").format(name)
            for name, kind in _kinds.items()
        )
        + " FROM json_to_recordset(CAST(:rows AS json)) AS given("
        + ", ".join(f"{name} {kind}" for name, kind in _kinds.items())
        + ") ON CONFLICT DO NOTHING RETURNING id"
    ),
    "rows",
)
_NEW_IDS = prepare(
    text(
        "SELECT nextval(pg_get_serial_sequence('workbell_jobs', 'id')) "
        "FROM generate_series(1, CAST(:rows AS bigint))"
    ),
    "rows",
)
_TAG = """
greatest(
    (SELECT fair_tag FROM workbell_jobs WHERE state = 2 AND queue = given.queue
        AND priority = given.priority ORDER BY fair_tag, id LIMIT 1),
    (SELECT fair_tag FROM workbell_jobs WHERE state = 2 AND queue = given.queue
        AND priority = given.priority AND fair_key = given.fair_key
        ORDER BY fair_tag DESC LIMIT 1),
    0
) + 1 / weight"""
_IS_INACTIVE = (
    "EXISTS (SELECT 1 FROM workbell_task_definitions WHERE key = given.task AND NOT is_active)"
)
_HELD_INSTEAD = {
    "state": "CASE WHEN waits THEN 1 ELSE state END",
    "queued_at": "CASE WHEN NOT waits THEN queued_at END",
    "fair_tag": f"CASE WHEN state = 2 AND NOT waits THEN {_TAG} ELSE fair_tag END",
}
_named = ", ".join(JOB_COLUMNS[1:])
_entering = ", ".join(_HELD_INSTEAD.get(name, name) for name in JOB_COLUMNS[1:])
_ENTER = prepare(
    text(
        "WITH given AS MATERIALIZED "  # noqa: S608 - the schema's own names
        f"(SELECT given.*, state = 2 AND {_IS_INACTIVE} AS waits FROM ({_GIVEN}) AS given) "
        f"INSERT INTO workbell_jobs ({_named}) SELECT {_entering} FROM given "
        "ON CONFLICT DO NOTHING RETURNING id, state, fair_tag"
    ),
    "rows",
)


def insert_jobs(
    db: Connection, jobs: Sequence[Job], entries: Sequence[InitialState]
) -> Sequence[Job | None]:
    """
    Insert rows unless their keys are taken; None for each refused job.

    The ids are read from the sequence first: RETURNING does not say which of
    the given rows a returned one was.
    """
    ids: list[int] = sorted(job_id for (job_id,) in _NEW_IDS.fetch_all(db, (len(jobs),)))
    new = [
        with_inserted_id(job, job_id, *entry)
        for job, job_id, entry in zip(jobs, ids, entries, strict=True)
    ]
    inserted = {job_id for (job_id,) in _INSERT_ALL.fetch_all(db, (json_text(new),))}
    return [job if job.id in inserted else None for job in new]


def insert_job(db: Connection, job: Job, now: datetime, committing: bool) -> Job | None:
    """Insert a waiting job without a concurrency key; None where its key is taken."""
    later = job.due_at > now
    state = JobState.SCHEDULED if later else JobState.READY
    queued_at = job.queued_at if later else now
    row = job_values(job, None, state, job.fair_tag, queued_at, to_naive_utc)
    for job_id, stands, tag in _ENTER.fetch_all(db, (_json_of([row]),), committing=committing):
        if stands == JobState.HELD:
            queued_at = None
        return with_inserted_id(job, job_id, JobState(stands), tag, queued_at)
    return None


def _json_of(rows: Sequence[Values]) -> str | None:
    return json_text(
        [
            {name: value for name, value in zip(JOB_COLUMNS, row, strict=True) if value is not None}
            for row in rows
        ]
    )
