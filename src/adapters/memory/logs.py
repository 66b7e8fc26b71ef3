"""Log lines and artifacts in memory."""

from collections.abc import Sequence

from attrs import define

from ...domain.attempts import Artifact, LogLine
from ...domain.jobs import JobId
from .tables import Tables


@define(eq=False)
class MemoryLogs:
    """What attempts log, and the files they make."""

    _tables: Tables

    def append(
        self, job_id: JobId, lines: Sequence[LogLine], *, keep_head: int, keep_tail: int
    ) -> None:
        """Add lines of one attempt, keeping its first and its last ones only."""
        kept = self._tables.logs.get(job_id) or ()
        for attempt in {line.attempt for line in lines}:
            of_attempt = [line for line in (*kept, *lines) if line.attempt == attempt]
            of_attempt.sort(key=lambda line: line.seq)
            if len(of_attempt) > keep_head + keep_tail:
                tail = of_attempt[len(of_attempt) - keep_tail :]
                of_attempt = of_attempt[:keep_head] + tail
            kept = (*(line for line in kept if line.attempt != attempt), *of_attempt)
        self._tables.logs.put(job_id, tuple(sorted(kept, key=lambda at: (at.attempt, at.seq))))

    def lines(
        self, job_id: JobId, *, attempt: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[LogLine]:
        """Return lines in order of attempt and seq; `after` skips seqs up to it."""
        return [
            line
            for line in self._tables.logs.get(job_id) or ()
            if attempt in {None, line.attempt} and line.seq > after
        ][:limit]

    def add_artifact(self, job_id: JobId, artifact: Artifact) -> None:
        """Keep a file's row, in place of one of the same name."""
        others = (
            file for file in self._tables.artifacts.get(job_id) or () if file.name != artifact.name
        )
        files = sorted((*others, artifact), key=lambda file: file.name)
        self._tables.artifacts.put(job_id, tuple(files))

    def artifacts(self, job_id: JobId) -> Sequence[Artifact]:
        """Return a job's files by name."""
        return self._tables.artifacts.get(job_id) or ()
