"""The Python face: declare tasks, open a bell, enqueue and schedule."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, define, field

from workbell.domain.errors import Invalid
from workbell.domain.jobs.task import Body, Check, Delay, OnLost, Task, Tasks
from workbell.entrypoints.library.facades import JobsClient, SchedulesClient
from workbell.ports.system import Clock

if TYPE_CHECKING:  # importing the package stays quick: what opens a bell is imported then
    from workbell.adapters.dramatiq.runtime import Runtime
    from workbell.adapters.dramatiq.worker import JobWorker
    from workbell.entrypoints.bootstrap.application import Application

DECLARED = Tasks()
"""The tasks that `@task` has declared in this process."""


def task(
    key: str,
    *,
    name: str = "",
    description: str = "",
    max_attempts: int = 3,
    timeout_seconds: int = 300,
    queue: str = "default",
    batch: bool = False,
    on_lost: str = "retry",
    check: Check | None = None,
    delay: Delay | None = None,
) -> Callable[[Body], Body]:
    """
    Declare a function as a task.

    Its first argument is the `TaskContext`, its second the parameters: an
    attrs class if it is annotated so, else any JSON object. `batch=True` is
    for short, local, idempotent work; `on_lost="fail"` has the body run at
    most once after a crash.

    Raises:
        Conflict: Another task has the key.
    """

    def declare(body: Body) -> Body:
        declared = task_of(
            body,
            key,
            name=name,
            description=description,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            queue=queue,
            batch=batch,
            on_lost=OnLost(on_lost),
            check=check,
            delay=delay,
        )
        DECLARED.add(declared)
        return body

    return declare


def task_of(body: Body, key: str, *, name: str = "", description: str = "", **how: Any) -> Task:
    """Return a function as a task, without making it known; see `task`."""
    return Task(
        key=key,
        body=body,
        name=name or key,
        description=description or (body.__doc__ or "").strip().partition("\n")[0],
        parameters=_parameters_of(body),
        **how,
    )


def _parameters_of(body: Body) -> type | None:
    import inspect

    from attrs import has

    second = list(inspect.signature(body, eval_str=True).parameters.values())[1:2]
    wanted = second[0].annotation if second else None
    return wanted if isinstance(wanted, type) and has(wanted) else None


@define(eq=False)
class Client:
    """An open Workbell: its jobs, its schedules, and its workers if it has any."""

    application: "Application" = field(repr=False)
    _runtime: "Runtime | None" = field(repr=False)
    _inline: "JobWorker" = field(repr=False)
    jobs: JobsClient = field(init=False)
    schedules: SchedulesClient = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the two faces."""
        self.jobs = JobsClient(self.application)
        self.schedules = SchedulesClient(self.application)

    def wake(self, queue: str = "default") -> None:
        """Wake a worker, after a commit of your own."""
        if self.application.store.waker is not None:
            self.application.store.waker.wake(queue)

    def run_until_idle(self) -> None:
        """
        Run what is due, in this thread and the workers', until nothing is.

        Later work, retries included, is left for its time.
        """
        with self._alive():
            self._run_until_idle()

    def _run_until_idle(self) -> None:
        while True:
            moved = self.application.ticking.tick()
            swept = self.application.execution.sweep()
            for queue in swept.queues:
                self._inline.drain(queue)
            running = self.jobs.find(statuses=["running"], limit=1)
            if not moved and not swept.staged and not swept.queues and not running:
                return
            if running:
                self._inline.threads.wait_turn_end(0.005)

    @contextmanager
    def _alive(self) -> Generator[None]:
        """Renew the leases of what this thread runs, while it does."""
        from workbell.adapters.dramatiq.runtime import PeriodicThread

        def beat() -> float:
            self._inline.renew_leases()
            return self.application.settings.lease_seconds / 3

        heartbeat = PeriodicThread("heartbeat", beat)
        heartbeat.start()
        try:
            yield
        finally:
            heartbeat.stop()
            self._inline.flush()
            self.application.execution.unregister_worker(self._inline.process.id)

    def close(self, grace: float = 25.0) -> None:
        """Stop the workers, give back what they have not started, close the store."""
        if self._runtime is not None:
            self._runtime.stop(grace)
        self.application.close()


def _prepare(application: "Application", migrate: Literal["auto", "check"]) -> None:
    """Bring the store up to this release, or check that it is."""
    if migrate == "check":
        application.verify_and_register()
    elif (migration := application.migrate_and_register()) is not None:
        import structlog

        log = structlog.get_logger()
        if not structlog.is_configured():  # its default is standard output, the program's own
            log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
        log.info("schema_migrated", **asdict(migration))


@contextmanager
def open_client(
    database_url: str | None = None,
    *,
    workers: int = 0,
    migrate: Literal["auto", "check"] | None = None,
    data_dir: str | Path | None = None,
    tasks: Sequence[Task] = (),
    clock: Clock | None = None,
    **settings: Any,
) -> Generator[Client]:
    """
    Open a Workbell within this process, and close it at the end.

    Settings come from the arguments, then from the sources that the commands
    read: `WORKBELL_*` variables, `.env` and the TOML file. No secret key is
    needed.

    Args:
        database_url: `sqlite:///file.db`, a server, or `memory://` in tests;
            without it, the database that the commands use.
        workers: Threads that run jobs; with 0 the bell only talks, and
            `run_until_idle` runs them in the caller's thread.
        migrate: "auto" creates and upgrades the tables, and logs
            `schema_migrated` if it did; "check" refuses another schema. The
            default is "auto" on SQLite, "check" on database servers.
        data_dir: Folder for artifacts and mail; `.workbell` if left out.
        tasks: Tasks beside those that `@task` has declared.
        clock: Another clock, for tests.
        settings: Any other setting by its name in lower case.

    Raises:
        Invalid: A setting is wrong.
        Unavailable: The store cannot be opened, or has another schema.
    """
    from workbell.entrypoints.bootstrap.build import build
    from workbell.entrypoints.config.settings import load

    if migrate not in (None, "auto", "check"):
        raise Invalid.field("migrate", f"must be 'auto' or 'check', not {migrate!r}")
    if database_url is not None:
        settings["database_url"] = database_url
    if data_dir is not None:
        settings["data_dir"] = Path(data_dir)
    chosen = load(arguments=settings)
    application = build(chosen, tasks=(*DECLARED.all(), *tasks), clock=clock, signs=False)
    try:
        _prepare(application, migrate or ("check" if chosen.on_server else "auto"))
    except BaseException:
        application.close()
        raise
    runtime = application.runtime(threads=workers) if workers else None
    inline, wakeups = application.worker(1)
    inline.wakeups = wakeups
    client = Client(application, runtime, inline)
    if runtime is not None:
        runtime.start()
    try:
        yield client
    finally:
        client.close()
