"""Deletion of old jobs with their attempts, log lines and artifacts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import BindParameter, bindparam, delete, select

from workbell.adapters.sql.database.statements import chunks
from workbell.adapters.sql.jobs.rows import JobStaging
from workbell.adapters.sql.schema.indexes import IS_ENDED_JOB, IS_ENDED_RUN
from workbell.adapters.sql.schema.tables import artifacts, jobs
from workbell.domain.jobs.job import JobState

jobs_c = jobs.c
_job_ids: BindParameter[Any] = bindparam("ids", expanding=True)
_IS_OLD = jobs_c.ended_at < bindparam("before")
_HAS_NO_END = (jobs_c.ended_at.is_(None), jobs_c.created_at < bindparam("before"))
_IN_STATE = jobs_c.state == bindparam("state")
_FIRST = select(jobs_c.id).limit(bindparam("limit")).with_for_update(skip_locked=True)
OLD_JOBS = _FIRST.where(IS_ENDED_JOB, _IN_STATE, _IS_OLD).order_by(jobs_c.ended_at)
OLD_RUNS = _FIRST.where(IS_ENDED_RUN, _IS_OLD).order_by(jobs_c.ended_at)
_ENDLESS_JOBS = _FIRST.where(IS_ENDED_JOB, _IN_STATE, *_HAS_NO_END)
_ENDLESS_RUNS = _FIRST.where(IS_ENDED_RUN, *_HAS_NO_END)
_FILES = select(artifacts.c.job_id, artifacts.c.key).where(artifacts.c.job_id.in_(_job_ids))
_DELETE = delete(jobs).where(jobs_c.id.in_(_job_ids))


@frozen
class JobRetention(JobStaging):
    """Deletion of jobs that ended before a time."""

    def prune(self, states: Sequence[JobState], before: datetime, *, limit: int) -> Sequence[str]:
        """Delete ended jobs without a schedule; return the keys of their files."""
        ids: list[int] = []
        for state in states:
            for query in (OLD_JOBS, _ENDLESS_JOBS):
                values = {"state": int(state), "before": before, "limit": limit - len(ids)}
                ids += self._db.execute(query, values).scalars()
        return self._delete(ids)

    def prune_scheduled(self, before: datetime, *, limit: int) -> Sequence[str]:
        """Delete ended jobs of schedules; return the keys of their files."""
        ids: list[int] = []
        for query in (OLD_RUNS, _ENDLESS_RUNS):
            values = {"before": before, "limit": limit - len(ids)}
            ids += self._db.execute(query, values).scalars()
        return self._delete(ids)

    def _delete(self, ids: Sequence[int]) -> list[str]:
        """Delete jobs; return their file keys, and "" for each job without a file."""
        keys: list[str] = []
        for part in chunks(ids):
            files = self._db.execute(_FILES, {"ids": part}).all()
            keys += [key for _, key in files]
            keys += [""] * (len(part) - len({job_id for job_id, _ in files}))
            self._db.execute(_DELETE, {"ids": part})
        return keys
