"""Log lines and artifacts of jobs in SQL."""

from collections.abc import Sequence

from attrs import asdict, frozen
from sqlalchemy import Connection, bindparam, delete, insert, select

from workbell.adapters.sql.database.column_types import instant_writer
from workbell.adapters.sql.database.statements import AnyRow, prepare, upsert
from workbell.adapters.sql.schema.tables import artifacts, job_logs
from workbell.domain.jobs.attempt import Artifact, LogLine
from workbell.domain.jobs.job import JobId

RESERVED = "/"
"""First character of the name of a reserved file; artifact names have no slash."""

logs_c = job_logs.c
_INSERT = prepare(insert(job_logs), "job_id", "attempt", "seq", "at", "level", "text")
_of_attempt = (logs_c.job_id == bindparam("job"), logs_c.attempt == bindparam("of_attempt"))
_SEQS = select(logs_c.seq).where(*_of_attempt).order_by(logs_c.seq)
_TRIM = delete(job_logs).where(
    *_of_attempt, logs_c.seq >= bindparam("first"), logs_c.seq < bindparam("last")
)
_LINES = (
    select(logs_c.attempt, logs_c.seq, logs_c.at, logs_c.level, logs_c.text)
    .where(logs_c.job_id == bindparam("job"), logs_c.seq > bindparam("after"))
    .order_by(logs_c.attempt, logs_c.seq)
    .limit(bindparam("limit"))
)
artifacts_c = artifacts.c
_ARTIFACTS = (
    select(artifacts)
    .where(artifacts_c.job_id == bindparam("job"), ~artifacts_c.name.startswith(RESERVED))
    .order_by(artifacts_c.name)
)
_ONE = (artifacts_c.job_id == bindparam("job"), artifacts_c.name == bindparam("file_name"))
_KEY = select(artifacts_c.key).where(*_ONE)
_DELETE = delete(artifacts).where(*_ONE)


@frozen
class SqlJobLogRepository:
    """Log lines and artifacts."""

    _db: Connection

    def append(
        self, job_id: JobId, lines: Sequence[LogLine], *, keep_head: int, keep_tail: int
    ) -> None:
        """Insert log lines, then delete all but the first and last of each attempt."""
        to_db_time = instant_writer(self._db.dialect)
        _INSERT.execute_many(
            self._db,
            [
                (job_id, line.attempt, line.seq, to_db_time(line.at), line.level, line.text)
                for line in lines
            ],
        )
        for attempt in {line.attempt for line in lines}:
            self._trim(job_id, attempt, keep_head, keep_tail)

    def lines(
        self, job_id: JobId, *, attempt: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[LogLine]:
        """Return the lines with a seq above `after`, by attempt and seq."""
        query = _LINES if attempt is None else _LINES.where(logs_c.attempt == attempt)
        values = {"job": job_id, "after": after, "limit": limit}
        return [LogLine(*row) for row in self._db.execute(query, values)]

    def reserve_file_key(self, job_id: JobId, key: str) -> None:
        """Record the key of a file before it is written, so that it can be deleted."""
        file = Artifact(f"{RESERVED}{key}", "", 0, "", key)
        upsert(self._db, artifacts, {"job_id": job_id, **asdict(file)})

    def add_artifact(self, job_id: JobId, artifact: Artifact) -> str | None:
        """Store an artifact; return the key of the file that it replaces."""
        named = {"job": job_id, "file_name": artifact.name}
        replaced: str | None = self._db.execute(_KEY, named).scalar_one_or_none()
        if replaced is not None:
            self.reserve_file_key(job_id, replaced)
        upsert(self._db, artifacts, {"job_id": job_id, **asdict(artifact)})
        self._db.execute(_DELETE, {"job": job_id, "file_name": f"{RESERVED}{artifact.key}"})
        return replaced

    def artifacts(self, job_id: JobId) -> Sequence[Artifact]:
        """Return a job's artifacts by name."""
        return [_artifact(row) for row in self._db.execute(_ARTIFACTS, {"job": job_id})]

    def _trim(self, job_id: JobId, attempt: int, head: int, tail: int) -> None:
        of_attempt = {"job": job_id, "of_attempt": attempt}
        seqs = self._db.execute(_SEQS, of_attempt).scalars().all()
        if len(seqs) > head + tail:
            ends = [*seqs, seqs[-1] + 1]
            cut = {"first": seqs[head], "last": ends[len(seqs) - tail]}
            self._db.execute(_TRIM, {**of_attempt, **cut})


def _artifact(row: AnyRow) -> Artifact:
    return Artifact(row.name, row.media_type, row.size, row.sha256, row.key)
