"""Inserting jobs on SQLite and MySQL, skipping existing unique keys."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.column_types import instant_writer
from workbell.adapters.sql.database.errors import is_unique_violation_mysql
from workbell.adapters.sql.database.statements import (
    PreparedStatement,
    Values,
    insert_if_absent,
    prepare,
)
from workbell.adapters.sql.database.strategy import InitialState
from workbell.adapters.sql.jobs.rows import JOB_COLUMNS, job_values, with_inserted_id
from workbell.adapters.sql.schema.tables import jobs as table
from workbell.domain.jobs.job import Job

_id = table.c.id
_INSERT = PreparedStatement(lambda dialect: insert_if_absent(table, dialect), JOB_COLUMNS)
_LAST_ID = text("SELECT seq FROM sqlite_sequence WHERE name = 'workbell_jobs'")
_INSERTED = select(_id).where(_id.between(bindparam("first"), bindparam("last")))
_PLAIN_INSERT = prepare(insert(table), *JOB_COLUMNS)


def insert_jobs_sqlite(
    db: Connection, jobs: Sequence[Job], entries: Sequence[InitialState]
) -> Sequence[Job | None]:
    """Insert jobs; return None for each job whose key exists."""
    to_db_time = instant_writer(db.dialect)

    def rows(ids: Sequence[int | None]) -> list[Values]:
        return [
            job_values(job, job_id, *entry, to_db_time)
            for job, job_id, entry in zip(jobs, ids, entries, strict=True)
        ]

    return _inserted(jobs, entries, _on_sqlite(db, len(jobs), rows))


def insert_jobs_mysql(
    db: Connection, jobs: Sequence[Job], entries: Sequence[InitialState]
) -> Sequence[Job | None]:
    """Insert jobs; return None for each job whose key exists."""
    to_db_time = instant_writer(db.dialect)
    ids = [
        _on_mysql(db, job_values(job, None, *entry, to_db_time))
        for job, entry in zip(jobs, entries, strict=True)
    ]
    return _inserted(jobs, entries, ids)


def _inserted(
    jobs: Sequence[Job], entries: Sequence[InitialState], ids: Sequence[int | None]
) -> Sequence[Job | None]:
    return [
        None if job_id is None else with_inserted_id(job, job_id, *entry)
        for job, job_id, entry in zip(jobs, ids, entries, strict=True)
    ]


def _on_sqlite(
    db: Connection, count: int, rows: Callable[[Sequence[int | None]], list[Values]]
) -> Sequence[int | None]:
    """Insert rows with ids chosen here, which is safe because SQLite has one writer."""
    if count == 1:
        result = _INSERT.execute(db, rows([None])[0])
        return [result.lastrowid if result.rowcount == 1 else None]
    first = (db.execute(_LAST_ID).scalar() or 0) + 1
    ids = range(first, first + count)
    if _INSERT.execute_many(db, rows(ids)) == count:
        return ids
    inserted = set(db.execute(_INSERTED, {"first": ids[0], "last": ids[-1]}).scalars())
    return [each if each in inserted else None for each in ids]


def _on_mysql(db: Connection, row: Values) -> int | None:
    """
    Insert one row in a statement of its own, and return its id.

    MySQL has no other reliable way to learn the id: it has no sequences, the ids
    of one multi-row INSERT are not consecutive on every cluster, and after ON
    DUPLICATE KEY neither the row count nor the last id shows a new row.
    """
    try:
        return _PLAIN_INSERT.execute(db, row).lastrowid
    except IntegrityError as error:
        if is_unique_violation_mysql(error):
            return None
        raise
