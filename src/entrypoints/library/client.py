"""The Python API: declare tasks, open a client, enqueue and schedule."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, define, field

from workbell.domain.errors import Invalid
from workbell.domain.jobs.task import Body, Check, Delay, Isolation, OnLost, Task, Tasks
from workbell.domain.validation import to_choice
from workbell.entrypoints.library.facades import JobsClient, SchedulesClient
from workbell.ports.system import Clock

if TYPE_CHECKING:  # `import workbell` stays fast: `open_client` imports the rest
    from workbell.adapters.dramatiq.runtime import Runtime
    from workbell.adapters.dramatiq.worker import JobWorker
    from workbell.entrypoints.bootstrap.application import Application

WATCH_SECONDS = 0.05
DECLARED = Tasks()
"""Tasks declared by `@task` in this process."""


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
    isolation: str | None = None,
    memory_mib: int | None = None,
    cpu_seconds: int | None = None,
    check: Check | None = None,
    delay: Delay | None = None,
) -> Callable[[Body], Body]:
    """
    Declare a function as a task.

    Its first argument is the `TaskContext`, its second the parameters: an
    attrs class if annotated as one, else any JSON object. `batch=True` is for
    short, local, idempotent work. With `on_lost="fail"` a job whose worker
    crashed is failed instead of retried.

    With `isolation="process"` the function runs in a child process, which is
    killed at the time limit; a crash ends only this attempt. It must be
    importable. `memory_mib` and `cpu_seconds` limit such a child. The default,
    "thread" or "process", is the setting TASK_ISOLATION.

    Raises:
        Invalid: An option has a value that is not allowed.
        Conflict: Another task has this key.
    """

    def declare(body: Body) -> Body:
        declared = make_task(
            body,
            key,
            name=name,
            description=description,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            queue=queue,
            batch=batch,
            on_lost=to_choice(OnLost, on_lost),
            isolation=None if isolation is None else to_choice(Isolation, isolation),
            memory_mib=memory_mib,
            cpu_seconds=cpu_seconds,
            check=check,
            delay=delay,
        )
        DECLARED.add(declared)
        return body

    return declare


def make_task(body: Body, key: str, *, name: str = "", description: str = "", **how: Any) -> Task:
    """Build a task from a function without declaring it; see `task`."""
    return Task(
        key=key,
        body=body,
        name=name or key,
        description=description or (body.__doc__ or "").strip().partition("\n")[0],
        parameters=_parameters_class(body),
        **how,
    )


def _parameters_class(body: Body) -> type | None:
    import inspect

    from attrs import has

    arguments = list(inspect.signature(body, eval_str=True).parameters.values())
    annotation = arguments[1].annotation if len(arguments) > 1 else None
    return annotation if isinstance(annotation, type) and has(annotation) else None


@define(eq=False)
class Client:
    """An open Workbell: jobs, schedules, and worker threads if there are any."""

    application: "Application" = field(repr=False)
    _runtime: "Runtime | None" = field(repr=False)
    _inline: "JobWorker" = field(repr=False)
    jobs: JobsClient = field(init=False)
    schedules: SchedulesClient = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Create the clients of jobs and schedules."""
        self.jobs = JobsClient(self.application)
        self.schedules = SchedulesClient(self.application)

    def wake(self, queue: str = "default") -> None:
        """Wake a worker after you committed a transaction with enqueued jobs."""
        if self.application.store.waker is not None:
            self.application.store.waker.wake(queue)

    def run_until_idle(self) -> None:
        """
        Run jobs, also in this thread, until no job is due.

        Raises:
            KeyboardInterrupt: Ctrl-C. The interrupted job returns to its queue and
                uses up no attempt.
        """
        with self._renewing_leases():
            while True:
                fired = self.application.ticker.tick()
                swept = self.application.execution.sweep()
                while self.application.schedules.cancellations.sweep():
                    pass
                before = self._inline.claimed
                for queue in swept.queues:
                    self._inline.drain(queue)
                running = self.jobs.find(statuses=["running"], limit=1)
                has_work = self._inline.claimed > before or (
                    swept.queues and not self._inline.unknown.excluded()
                )
                if not fired and not swept.staged and not has_work and not running:
                    return
                if running:
                    self._inline.threads.wait_turn_end(0.005)

    @contextmanager
    def _renewing_leases(self) -> Generator[None]:
        """Renew the leases of jobs that run in this thread, and end overdue attempts."""
        from workbell.adapters.dramatiq.runtime import PeriodicThread

        def beat() -> float:
            self._inline.renew_leases()
            return self.application.settings.lease_seconds / 3

        def watch() -> float:
            self._inline.expire()
            self._inline.poll_cancelled()
            return WATCH_SECONDS

        threads = [PeriodicThread("heartbeat", beat), PeriodicThread("watch", watch)]
        for thread in threads:
            thread.start()
        try:
            yield
        except KeyboardInterrupt:
            self._inline.release_interrupted()
            raise
        finally:
            for thread in threads:
                thread.stop()
            self._inline.flush()
            self.application.execution.unregister_worker(self._inline.process.id)

    def close(self, grace: float = 25.0) -> None:
        """Stop workers within `grace` seconds, release jobs, close the store."""
        if self._runtime is not None:
            self._runtime.stop(grace)
        self.application.close()


def _prepare(application: "Application", migrate: Literal["auto", "check"]) -> None:
    """Migrate the store, or check its schema."""
    if migrate == "check":
        application.verify_and_register()
    elif (migration := application.migrate_and_register()) is not None:
        from workbell.adapters.logs import get_logger

        get_logger().info("schema_migrated", **asdict(migration))


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
    Open a client in this process, as a context manager.

    Settings come from the arguments, then from the sources of the command
    line: `WORKBELL_*` variables, `.env` and the TOML file. No secret key is
    needed. Nothing global is configured: events go to structlog if the program
    has configured it, else to the standard logger `workbell`.

    Args:
        database_url: `sqlite:///file.db`, a server's URL, or `memory://` in
            tests; defaults to the database of the command line.
        workers: Threads that run jobs; with 0, jobs only run in
            `run_until_idle` and in other processes.
        migrate: "auto" creates and upgrades the tables, and logs
            `schema_migrated` if it did; "check" raises Unavailable on another
            schema. Default: "auto" on SQLite, "check" on database servers.
        data_dir: Folder for artifacts and mail; defaults to `.workbell`.
        tasks: Tasks in addition to those declared by `@task`.
        clock: Another clock, for tests.
        settings: Any other setting by its name in lower case.

    Raises:
        Invalid: A setting is invalid.
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
    application = build(chosen, tasks=(*DECLARED.all(), *tasks), clock=clock, issues_tokens=False)
    try:
        _prepare(application, migrate or ("check" if chosen.on_server else "auto"))
    except BaseException:
        application.close()
        raise
    runtime = application.runtime(threads=workers) if workers else None
    client = Client(application, runtime, application.worker(1))
    if runtime is not None:
        runtime.start()
    try:
        yield client
    finally:
        client.close()
