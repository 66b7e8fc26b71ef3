"""
Inserting jobs on PostgreSQL: states, tags and rows in one statement.

Rows are passed as one JSON text: binding arrays, or executing row by row, costs
the driver 2 to 4 times the CPU time
(docs/decisions/0005-one-strategy-per-database.md). A single statement commits
itself: one round trip in place of three.
"""

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
from workbell.adapters.sql.database.statements import prepare
from workbell.adapters.sql.database.strategy import InitialState
from workbell.adapters.sql.jobs.rows import JOB_COLUMNS, job_values, with_inserted_id
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.jobs.job import Job, JobState

_dialect = make_url("postgresql+psycopg://").get_dialect()()
_typed = ", ".join(f"{column.name} {column.type.compile(_dialect)}" for column in jobs.c)
_INPUT = f"SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS input({_typed})"  # noqa: S608
# The JSON of a whole `Job` has aware times, and values as nested JSON.
_CONVERSIONS = {"timestamptz": "{} AT TIME ZONE 'UTC'", "json": "CAST({} AS text)"}
_SPECIAL = {
    "fair_key": "coalesce(nullif(fair_key, ''), CAST(owner AS text))",
    "progress": "CASE WHEN progress IS NOT NULL THEN CAST(json_build_array("
    "progress->'done', progress->'total', progress->'note') AS text) END",
}


def _input_type(column: Column[Any]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "timestamptz"
    return "json" if isinstance(column.type, JsonText) else column.type.compile(_dialect)


_types = {column.name: _input_type(column) for column in jobs.c}
_INSERT_ALL = prepare(
    text(
        f"INSERT INTO workbell_jobs ({', '.join(_types)}) SELECT "  # noqa: S608 - the schema's own names
        + ", ".join(
            _SPECIAL.get(name) or _CONVERSIONS.get(kind, "{}").format(name)
            for name, kind in _types.items()
        )
        + " FROM json_to_recordset(CAST(:rows AS json)) AS input("
        + ", ".join(f"{name} {kind}" for name, kind in _types.items())
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
    (SELECT fair_tag FROM workbell_jobs WHERE state = 2 AND queue = input.queue
        AND priority = input.priority ORDER BY fair_tag, id LIMIT 1),
    (SELECT fair_tag FROM workbell_jobs WHERE state = 2 AND queue = input.queue
        AND priority = input.priority AND fair_key = input.fair_key
        ORDER BY fair_tag DESC LIMIT 1),
    0
) + 1 / weight"""
_IS_INACTIVE = (
    "EXISTS (SELECT 1 FROM workbell_task_definitions WHERE key = input.task "
    "AND (NOT is_active OR parked_at IS NOT NULL))"
)
_COMPUTED = {
    "state": "CASE WHEN is_held THEN 1 ELSE state END",
    "queued_at": "CASE WHEN NOT is_held THEN queued_at END",
    "fair_tag": f"CASE WHEN state = 2 AND NOT is_held THEN {_TAG} ELSE fair_tag END",
}
_names = ", ".join(JOB_COLUMNS[1:])
_values = ", ".join(_COMPUTED.get(name, name) for name in JOB_COLUMNS[1:])
_INSERT_ONE = prepare(
    text(
        "WITH input AS MATERIALIZED "  # noqa: S608 - the schema's own names
        f"(SELECT input.*, state = 2 AND {_IS_INACTIVE} AS is_held FROM ({_INPUT}) AS input) "
        f"INSERT INTO workbell_jobs ({_names}) SELECT {_values} FROM input "
        "ON CONFLICT DO NOTHING RETURNING id, state, fair_tag"
    ),
    "rows",
)


def insert_jobs(
    db: Connection, jobs: Sequence[Job], entries: Sequence[InitialState]
) -> Sequence[Job | None]:
    """
    Insert jobs; return None for each job whose key exists.

    The ids are read from the sequence first, because RETURNING does not show
    which input row a returned row belongs to.
    """
    ids: list[int] = sorted(job_id for (job_id,) in _NEW_IDS.fetch_all(db, (len(jobs),)))
    new = [
        with_inserted_id(job, job_id, *entry)
        for job, job_id, entry in zip(jobs, ids, entries, strict=True)
    ]
    inserted = {job_id for (job_id,) in _INSERT_ALL.fetch_all(db, (json_text(new),))}
    return [job if job.id in inserted else None for job in new]


def insert_job(db: Connection, job: Job, now: datetime, committing: bool) -> Job | None:
    """Insert a waiting job without a concurrency key; return None if its key exists."""
    is_later = job.due_at > now
    state = JobState.SCHEDULED if is_later else JobState.READY
    queued_at = job.queued_at if is_later else now
    row = job_values(job, None, state, job.fair_tag, queued_at, to_naive_utc)
    named = zip(JOB_COLUMNS, row, strict=True)
    rows = json_text([{name: value for name, value in named if value is not None}])
    for job_id, inserted_state, tag in _INSERT_ONE.fetch_all(db, (rows,), committing=committing):
        if inserted_state == JobState.HELD:
            queued_at = None
        return with_inserted_id(job, job_id, JobState(inserted_state), tag, queued_at)
    return None
