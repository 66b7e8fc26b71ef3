"""New jobs: every row gets its id, and none whose keys are taken is kept."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.column_types import moment_writer
from workbell.adapters.sql.database.errors import is_taken_on_mysql
from workbell.adapters.sql.database.statements import (
    Prepared,
    Values,
    insert_unless_taken,
    is_postgresql,
    is_sqlite,
    prepared,
)
from workbell.adapters.sql.jobs.insert_postgresql import enter_all
from workbell.adapters.sql.jobs.rows import JOB_COLUMNS, entered, job_values
from workbell.adapters.sql.schema.tables import jobs as table
from workbell.domain.jobs.job import Job, JobState

Entry = tuple[JobState, float, datetime | None]
"""How a row enters: its state, its fair tag, and since when it is ready."""

_id = table.c.id
_INSERT = Prepared(lambda dialect: insert_unless_taken(table, dialect), JOB_COLUMNS)
_LAST_ID = text("SELECT seq FROM sqlite_sequence WHERE name = 'workbell_jobs'")
_KEPT = select(_id).where(_id.between(bindparam("first"), bindparam("last")))
_NEW_IDS = prepared(
    text(
        "SELECT nextval(pg_get_serial_sequence('workbell_jobs', 'id')) "
        "FROM generate_series(1, CAST(:rows AS bigint))"
    ),
    "rows",
)
_PLAIN_INSERT = prepared(insert(table), *JOB_COLUMNS)


def insert_jobs(
    db: Connection, jobs: Sequence[Job], entries: Sequence[Entry]
) -> Sequence[Job | None]:
    """Insert rows unless their keys are taken; return the jobs as kept, None for the refused."""
    if not jobs:
        return []
    if is_postgresql(db):
        return _on_postgresql(db, jobs, entries)
    moment = moment_writer(db.dialect)

    def rows(ids: Sequence[int | None]) -> list[Values]:
        return [
            job_values(job, job_id, *entry, moment)
            for job, job_id, entry in zip(jobs, ids, entries, strict=True)
        ]

    if is_sqlite(db):
        kept = _on_sqlite(db, len(jobs), rows)
    else:
        kept = [_on_mysql(db, row) for row in rows([None] * len(jobs))]
    return [
        None if job_id is None else entered(job, job_id, *entry)
        for job, job_id, entry in zip(jobs, kept, entries, strict=True)
    ]


def _on_sqlite(
    db: Connection, count: int, rows: Callable[[Sequence[int | None]], list[Values]]
) -> Sequence[int | None]:
    """Number the rows here, for whoever writes is alone."""
    if count == 1:
        result = _INSERT.run(db, rows([None])[0])
        return [result.lastrowid if result.rowcount == 1 else None]
    first = (db.execute(_LAST_ID).scalar() or 0) + 1
    ids = range(first, first + count)
    if _INSERT.run_many(db, rows(ids)) == count:
        return ids
    kept = set(db.execute(_KEPT, {"first": ids[0], "last": ids[-1]}).scalars())
    return [each if each in kept else None for each in ids]


def _on_postgresql(
    db: Connection, jobs: Sequence[Job], entries: Sequence[Entry]
) -> Sequence[Job | None]:
    """Take the ids from the sequence first: RETURNING tells of no row which one it was."""
    ids: list[int] = sorted(job_id for (job_id,) in _NEW_IDS.rows(db, (len(jobs),)))
    new = [
        entered(job, job_id, *entry) for job, job_id, entry in zip(jobs, ids, entries, strict=True)
    ]
    kept = enter_all(db, new)
    return [job if job.id in kept else None for job in new]


def _on_mysql(db: Connection, row: Values) -> int | None:
    """
    Insert one row, by a statement of its own.

    Nothing else tells its id for certain: there are no sequences on MySQL,
    its rows of one statement need not have ids in a row on every cluster,
    and after ON DUPLICATE KEY neither the count (1 for a new row and for one
    that was there) nor the last id says whether a row is ours.
    """
    try:
        return _PLAIN_INSERT.run(db, row).lastrowid
    except IntegrityError as error:
        if is_taken_on_mysql(error):
            return None
        raise
