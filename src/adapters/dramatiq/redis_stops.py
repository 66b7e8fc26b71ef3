"""Cancellations of running jobs, sent to their worker over Redis."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Final

from attrs import define, field

from workbell.adapters.redis_client import OptionalRedis
from workbell.domain.jobs.job import JobId

PREFIX: Final = "workbell:stop"
EXPIRY_SECONDS: Final = 60
"""A list whose worker has died is deleted after this time."""
BLOCK_SECONDS: Final = 1
RETRY_SECONDS: Final = 0.5


def _list(worker: str) -> str:
    return f"{PREFIX}:{worker}"


def send_stop(redis: OptionalRedis, worker: str, job_id: JobId) -> None:
    """Notify a worker of a cancelled job; without Redis, it polls the store."""

    def push(client: Any) -> Any:
        pipeline = client.pipeline(transaction=False)
        pipeline.rpush(_list(worker), int(job_id))
        pipeline.expire(_list(worker), EXPIRY_SECONDS)
        return pipeline.execute()

    redis.call(push)


@define(eq=False)
class StopListener:
    """A thread that receives the cancellations of one worker's jobs."""

    client: Any
    worker: str
    stop_job: Callable[[JobId], object]
    _closed: Event = field(factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = Thread(target=self._run, name="stop listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after its current read."""
        self._closed.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread for at most `seconds`."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                popped = self.client.blpop(_list(self.worker), BLOCK_SECONDS)
                if popped is not None:
                    self.stop_job(JobId(int(popped[1])))
            except Exception:  # noqa: BLE001 - the worker also polls the store
                self._closed.wait(RETRY_SECONDS)
