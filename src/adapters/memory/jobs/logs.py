"""Log lines and artifacts in memory."""

from collections.abc import Sequence

from attrs import define

from workbell.adapters.memory.tables import Tables
from workbell.domain.jobs.attempt import Artifact, LogLine
from workbell.domain.jobs.job import JobId

RESERVED = "/"
"""First character of the name of a reserved file; artifact names have no slash."""


@define(eq=False)
class MemoryJobLogRepository:
    """Log lines and artifacts of jobs."""

    _tables: Tables

    def append(
        self, job_id: JobId, lines: Sequence[LogLine], *, keep_head: int, keep_tail: int
    ) -> None:
        """Insert log lines, then delete all but the first and last of each attempt."""
        stored = self._tables.logs.get(job_id) or ()
        for attempt in {line.attempt for line in lines}:
            of_attempt = [line for line in (*stored, *lines) if line.attempt == attempt]
            of_attempt.sort(key=lambda line: line.seq)
            if len(of_attempt) > keep_head + keep_tail:
                tail = of_attempt[len(of_attempt) - keep_tail :]
                of_attempt = of_attempt[:keep_head] + tail
            stored = (*(line for line in stored if line.attempt != attempt), *of_attempt)
        self._tables.logs.put(job_id, tuple(sorted(stored, key=lambda at: (at.attempt, at.seq))))

    def lines(
        self, job_id: JobId, *, attempt: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[LogLine]:
        """Return the lines with a seq above `after`, by attempt and seq."""
        return [
            line
            for line in self._tables.logs.get(job_id) or ()
            if attempt in {None, line.attempt} and line.seq > after
        ][:limit]

    def reserve_file_key(self, job_id: JobId, key: str) -> None:
        """Record the key of a file before it is written, so that it can be deleted."""
        self._put(job_id, Artifact(f"{RESERVED}{key}", "", 0, "", key))

    def add_artifact(self, job_id: JobId, artifact: Artifact) -> str | None:
        """Store an artifact; return the key of the file that it replaces."""
        found = self._tables.artifacts.get(job_id) or ()
        replaced = next((file.key for file in found if file.name == artifact.name), None)
        if replaced is not None:
            self.reserve_file_key(job_id, replaced)
        self._put(job_id, artifact, without=f"{RESERVED}{artifact.key}")
        return replaced

    def artifacts(self, job_id: JobId) -> Sequence[Artifact]:
        """Return a job's artifacts by name."""
        found = self._tables.artifacts.get(job_id) or ()
        return [file for file in found if not file.name.startswith(RESERVED)]

    def _put(self, job_id: JobId, artifact: Artifact, *, without: str = "") -> None:
        names = {artifact.name, without}
        others = (
            file for file in self._tables.artifacts.get(job_id) or () if file.name not in names
        )
        files = sorted((*others, artifact), key=lambda file: file.name)
        self._tables.artifacts.put(job_id, tuple(files))
