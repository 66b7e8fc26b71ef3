"""The process of a worker, as it registers in the store."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from workbell.adapters.dramatiq.unknown_tasks import UnknownTasks
from workbell.ports.jobs.queues import WorkerInfo


@frozen(kw_only=True)
class WorkerProcess:
    """The process of a worker, as it registers in the store."""

    id: str
    host: str
    pid: int
    started_at: datetime
    threads: int
    queues: Sequence[str]

    def info(
        self, *, now: datetime, busy_threads: int, written_off: int, tasks: UnknownTasks
    ) -> WorkerInfo:
        """Return the row to store for the process."""
        return WorkerInfo(
            id=self.id,
            host=self.host,
            pid=self.pid,
            started_at=self.started_at,
            seen_at=now,
            threads=self.threads,
            running=busy_threads,
            written_off=written_off,
            queues=self.queues,
            knows=sorted(task.key for task in tasks.tasks.all()),
            excluded=tasks.excluded(),
        )
