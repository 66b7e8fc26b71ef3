"""A pool of children, with contexts that record what reaches the worker."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

from attrs import Factory, define, field

from workbell.adapters.child_processes.child_process import ForkServer
from workbell.adapters.child_processes.metrics import ChildMetrics
from workbell.adapters.child_processes.pool import ChildLimits, ChildPool
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import ClaimMode, JobId
from workbell.domain.jobs.task import Interrupted, Isolation, Task

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = 20.0
_ids = count(1)


@define(eq=False)
class RecordingLog:
    """Records log lines."""

    lines: list[tuple[str, str, dict[str, object]]] = Factory(list)
    stop: type[Interrupted] | None = None

    def debug(self, event: str, **values: object) -> None:
        self.lines.append(("debug", event, values))

    def info(self, event: str, **values: object) -> None:
        if self.stop is not None:
            raise self.stop
        self.lines.append(("info", event, values))

    def warning(self, event: str, **values: object) -> None:
        self.lines.append(("warning", event, values))

    def error(self, event: str, **values: object) -> None:
        self.lines.append(("error", event, values))


@define(eq=False)
class Recorder:
    """A context in the worker; `stop` is raised by its checkpoints."""

    claim: Claim
    log: RecordingLog = Factory(RecordingLog)
    reports: list[tuple[Any, ...]] = Factory(list)
    files: dict[str, tuple[str, bytes]] = Factory(dict)
    stop: type[Interrupted] | None = None

    @property
    def job_id(self) -> int:
        return self.claim.id

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def owner(self) -> UserId:
        return self.claim.owner

    @property
    def schedule_id(self) -> int | None:
        return self.claim.schedule_id

    @property
    def tick(self) -> datetime | None:
        return self.claim.tick

    @property
    def idempotency_key(self) -> str:
        return f"job-{self.claim.id}"

    def now(self) -> datetime:
        return NOW

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        self.check()
        self.reports.append((done, total, note))

    def check(self) -> None:
        if self.stop is not None:
            raise self.stop

    def artifact(
        self, name: str, source: BinaryIO | Path | bytes, media_type: str = "application/x"
    ) -> None:
        self.check()
        if "/" in name:
            raise Invalid(f"{name!r} is not a plain file name.")
        assert isinstance(source, Path)
        self.files[name] = media_type, source.read_bytes()


@define(eq=False)
class Run:
    """A job that runs in another thread."""

    claim: Claim
    context: Recorder
    result: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    thread: Thread = field(init=False)

    def wait(self) -> "Run":
        """Wait for the end."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the job has not ended"
        return self


@define(eq=False)
class Pool:
    """Runs bodies in a pool."""

    folder: Path
    limits: ChildLimits = Factory(ChildLimits)
    modules: Sequence[str] = ("tests.adapters.child_processes.bodies",)
    nice: int = 1
    pool: ChildPool = field(init=False)
    registry: MetricsRegistry = Factory(MetricsRegistry)

    def __attrs_post_init__(self) -> None:
        server = ForkServer(self.modules, self.nice, 60.0, self.folder / "children")
        self.pool = ChildPool(server, self.limits, ChildMetrics(self.registry))

    def start(
        self, body: Callable[..., Any], values: Any = None, *, seconds: int = 30, **task: Any
    ) -> Run:
        """Start a body; `seconds` is its time limit."""
        made = Task(key=body.__name__, body=body, isolation=Isolation.PROCESS, **task)
        claim = a_claim(made.key, values or {}, seconds)
        run = Run(claim, Recorder(claim))

        def call() -> None:
            began = time.monotonic()
            try:
                run.result = self.pool.run(made, claim, run.context)
            except BaseException as error:  # noqa: BLE001 - examined by the test
                run.error = error
            run.seconds = time.monotonic() - began

        run.thread = Thread(target=call, daemon=True)
        run.thread.start()
        return run

    def run(self, body: Callable[..., Any], values: Any = None, **task: Any) -> Run:
        """Run a body to its end."""
        return self.start(body, values, **task).wait()

    def interrupt(self, run: Run, why: type[Interrupted]) -> None:
        """Interrupt a job."""
        run.context.stop = why
        self.pool.interrupt(run.claim.id, why)

    def metric(self, name: str) -> float:
        """Return the value of a series, by its text."""
        lines = self.registry.exposition().decode().splitlines()
        return next((float(each.split(" ")[-1]) for each in lines if each.startswith(name)), 0.0)

    @property
    def pids(self) -> Path:
        """The file to which bodies write process ids."""
        return self.folder / "pids"

    def wait_for_pids(self) -> list[int]:
        """Wait until a body has written its process ids; return them."""
        wait_until(self.pids.exists)
        return [int(each) for each in self.pids.read_text().split()]


def a_claim(task: str, parameters: Any, seconds: int) -> Claim:
    """Return a claim with a new id."""
    return Claim(
        id=JobId(next(_ids)),
        token=1,
        task=task,
        owner=UserId(7),
        parameters=parameters,
        queue="default",
        mode=ClaimMode.ORDINARY,
        fail_when_lost=False,
        concurrency_key=None,
        attempt=2,
        max_attempts=3,
        timeout_seconds=seconds,
        due_at=NOW,
        queued_at=NOW,
        started_at=NOW,
        schedule_id=5,
        tick=NOW,
    )


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Wait until a condition holds; return the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + seconds, "the condition does not hold in time"
        time.sleep(0.002)
    return time.monotonic() - began


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_for_end(*pids: int) -> None:
    """Wait until no process of some exists."""
    wait_until(lambda: not any(map(is_running, pids)))


def kill(pid: int | None) -> None:
    """Kill a process."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
