"""The Python face: declare tasks, open a bell, enqueue and schedule."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from ..domain.cron import DstGap, DstOverlap
from ..domain.errors import Invalid
from ..domain.identity import SYSTEM, UserId
from ..domain.jobs import Job, JobId, JobOrigin, Status
from ..domain.scheduling import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId
from ..domain.tasks import Body, Check, Delay, OnLost, Task, Tasks
from ..ports.jobs import JobFilter
from ..ports.scheduling import ScheduleFilter
from ..ports.system import Clock
from ..services.asked import NewJob, NewSchedule
from ..services.scheduling import BackfillPlan

if TYPE_CHECKING:  # importing the package stays quick: what opens a bell is imported then
    from sqlalchemy import Connection

    from ..adapters.dramatiq.runtime import Runtime
    from ..adapters.dramatiq.worker import JobWorker
    from .wiring import House

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
        DECLARED.add(
            Task(
                key=key,
                body=body,
                name=name or key,
                description=description or (body.__doc__ or "").strip().partition("\n")[0],
                parameters=_parameters_of(body),
                max_attempts=max_attempts,
                timeout_seconds=timeout_seconds,
                queue=queue,
                batch=batch,
                on_lost=OnLost(on_lost),
                check=check,
                delay=delay,
            )
        )
        return body

    return declare


def _parameters_of(body: Body) -> type | None:
    import inspect

    from attrs import has

    second = list(inspect.signature(body, eval_str=True).parameters.values())[1:2]
    wanted = second[0].annotation if second else None
    return wanted if isinstance(wanted, type) and has(wanted) else None


@frozen
class BellJobs:
    """The jobs of an open bell."""

    _bell: "Bell"

    def enqueue(
        self,
        task: str,
        parameters: Any = None,
        *,
        at: datetime | None = None,
        delay: timedelta | None = None,
        owner: int = 0,
        name: str = "",
        queue: str | None = None,
        priority: int = 0,
        max_attempts: int | None = None,
        timeout_seconds: int | None = None,
        idempotency_key: str | None = None,
        connection: "Connection | None" = None,
    ) -> Job:
        """
        Enqueue a job, and return it; the same key returns the first one.

        With `connection`, a SQLAlchemy connection to the same database, the
        job exists exactly if the caller's own transaction commits; nobody is
        woken, so the sweeper finds it within a second, or `bell.wake()` does.

        Raises:
            Invalid: The parameters do not fit the task.
            Conflict: The key was used for another request.
        """
        house = self._bell.house
        new = NewJob(
            name=name,
            task_definition=task,
            parameters=self._bell.written(parameters),
            scheduled_time=at if delay is None else (at or house.clock.now()) + delay,
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
        )
        create = house.jobs.create if connection is None else house.jobs_within(connection).create
        job, _ = create(
            SYSTEM,
            new,
            owner=UserId(owner),
            idempotency_key=idempotency_key,
            origin=JobOrigin.LIBRARY,
        )
        return job

    def enqueue_many(
        self, task: str, parameters: Sequence[Any], *, owner: int = 0, queue: str | None = None
    ) -> Sequence[Job]:
        """
        Enqueue a job for each of the parameters, 500 a transaction.

        Raises:
            Invalid: Some parameters do not fit the task; none was enqueued.
        """
        news = [
            NewJob(task_definition=task, parameters=self._bell.written(each), queue=queue)
            for each in parameters
        ]
        return self._bell.house.jobs.create_many(SYSTEM, news, owner=UserId(owner))

    def get(self, job_id: int) -> Job:
        """
        Return a job as it now stands.

        Raises:
            NotFound: There is none.
        """
        return self._bell.house.jobs.get(SYSTEM, JobId(job_id))

    def find(
        self,
        *,
        statuses: Sequence[str] | None = None,
        task: str | None = None,
        owner: int | None = None,
        schedule_id: int | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return the newest jobs that fit."""
        which = JobFilter(
            statuses=None if statuses is None else [Status(word) for word in statuses],
            task=task,
            owner=None if owner is None else UserId(owner),
            schedule_id=schedule_id,
        )
        return self._bell.house.jobs.find(SYSTEM, which, ("-id",), 0, limit)

    def cancel(self, job_id: int) -> Job:
        """
        Cancel a waiting job, or ask a running one to stop.

        Raises:
            NotFound: There is none.
            Conflict: It has ended.
        """
        return self._bell.house.jobs.cancel(SYSTEM, JobId(job_id))

    def retry(self, job_id: int) -> Job:
        """
        Try a failed or cancelled job again; do a succeeded one once more.

        Raises:
            NotFound: There is none.
            Conflict: It has not ended.
        """
        return self._bell.house.jobs.retry(SYSTEM, JobId(job_id))[0]


@frozen
class BellSchedules:
    """The schedules of an open bell."""

    _bell: "Bell"

    def create(
        self,
        *,
        task: str,
        cron: str,
        parameters: Any = None,
        owner: int = 0,
        time_zone: str = "UTC",
        name: str = "",
        is_active: bool = True,
        misfire_policy: str = "latest",
        overlap_policy: str = "skip",
        dst_gap: str = "run_after",
        dst_overlap: str = "first",
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
        max_runs: int | None = None,
        jitter_seconds: int = 0,
        queue: str | None = None,
    ) -> Schedule:
        """
        Create a schedule; the limit of active ones does not apply here.

        Raises:
            Invalid: The expression, the zone or the parameters are wrong.
        """
        new = NewSchedule(
            task_definition=task,
            cron_expression=cron,
            parameters=self._bell.written(parameters),
            is_active=is_active,
            name=name,
            time_zone=time_zone,
            misfire_policy=MisfirePolicy(misfire_policy),
            overlap_policy=OverlapPolicy(overlap_policy),
            dst_gap=DstGap(dst_gap),
            dst_overlap=DstOverlap(dst_overlap),
            starts_at=starts_at,
            ends_at=ends_at,
            max_runs=max_runs,
            jitter_seconds=jitter_seconds,
            queue=queue,
        )
        made = self._bell.house.scheduling.create(SYSTEM, new, owner=UserId(owner))
        return made.schedule

    def get(self, schedule_id: int) -> Schedule:
        """
        Return a schedule as it now stands.

        Raises:
            NotFound: There is none.
        """
        return self._bell.house.scheduling.get(SYSTEM, ScheduleId(schedule_id)).schedule

    def find(self, *, owner: int | None = None, limit: int = 100) -> Sequence[Schedule]:
        """Return the newest schedules."""
        which = ScheduleFilter(owner=None if owner is None else UserId(owner))
        found, _ = self._bell.house.scheduling.find(SYSTEM, which, ("-created_at",), 0, limit)
        return [view.schedule for view in found]

    def pause(self, schedule_id: int) -> Schedule:
        """Pause a schedule; NotFound if there is none."""
        return self._edit(schedule_id, {"is_active": False})

    def resume(self, schedule_id: int) -> Schedule:
        """Resume a schedule, counted from now; NotFound if there is none."""
        return self._edit(schedule_id, {"is_active": True})

    def edit(self, schedule_id: int, **changes: Any) -> Schedule:
        """
        Change the named fields of a schedule, by their names in the API.

        Raises:
            NotFound: There is none.
            Invalid: A field is wrong.
        """
        return self._edit(schedule_id, changes)

    def delete(self, schedule_id: int) -> None:
        """Delete a schedule and cancel what waits of it; NotFound if there is none."""
        self._bell.house.scheduling.delete(SYSTEM, ScheduleId(schedule_id))

    def run_now(self, schedule_id: int) -> Job:
        """Run a schedule's task once more, now; NotFound if there is none."""
        return self._bell.house.scheduling.run_now(SYSTEM, ScheduleId(schedule_id))

    def backfill(
        self, schedule_id: int, start: datetime, end: datetime, *, dry_run: bool = False
    ) -> BackfillPlan:
        """
        Run the ticks of a past range.

        Raises:
            NotFound: There is no such schedule.
            Invalid: The range is empty, not past, or too long.
        """
        return self._bell.house.scheduling.backfill(
            SYSTEM, ScheduleId(schedule_id), start, end, dry_run=dry_run
        )

    def _edit(self, schedule_id: int, changes: Mapping[str, Any]) -> Schedule:
        edited = self._bell.house.scheduling.edit(SYSTEM, ScheduleId(schedule_id), changes)
        return edited.schedule


@define(eq=False)
class Bell:
    """An open Workbell: its jobs, its schedules, and its workers if it has any."""

    house: "House"
    _runtime: "Runtime | None"
    _inline: "JobWorker"
    jobs: BellJobs = field(init=False)
    schedules: BellSchedules = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the two faces."""
        self.jobs = BellJobs(self)
        self.schedules = BellSchedules(self)

    def wake(self, queue: str = "default") -> None:
        """Wake a worker, after a commit of your own."""
        if self.house.store.waker is not None:
            self.house.store.waker.wake(queue)

    def run_until_idle(self) -> None:
        """
        Run what is due, in this thread and the workers', until nothing is.

        Later work, retries included, is left for its time.
        """
        with self._alive():
            self._run_until_idle()

    def _run_until_idle(self) -> None:
        while True:
            moved = self.house.ticking.tick()
            swept = self.house.execution.sweep()
            for queue in swept.queues:
                self._inline.drain(queue)
            running = self.jobs.find(statuses=["running"], limit=1)
            if not moved and not swept.staged and not swept.queues and not running:
                return
            if running:
                with self._inline.quiet:
                    self._inline.quiet.wait(0.005)

    @contextmanager
    def _alive(self) -> Generator[None]:
        """Renew the leases of what this thread runs, while it does."""
        from ..adapters.dramatiq.runtime import Loop

        def beat() -> float:
            self._inline.beat()
            return self.house.settings.lease_seconds / 3

        heartbeat = Loop("heartbeat", beat)
        heartbeat.start()
        try:
            yield
        finally:
            heartbeat.stop()
            self._inline.flush()
            self.house.execution.leave(self._inline.id)

    def written(self, parameters: Any) -> Mapping[str, Any]:
        """
        Return parameters, of whatever class, as a JSON object.

        Raises:
            Invalid: They are no object.
        """
        written = {} if parameters is None else self.house.shapes.write(parameters)
        if not isinstance(written, Mapping):
            raise Invalid.field("parameters", "Must be an object.")
        return written

    def close(self, grace: float = 25.0) -> None:
        """Stop the workers, give back what they have not started, close the store."""
        if self._runtime is not None:
            self._runtime.stop(grace)
        self.house.close()


@contextmanager
def open_bell(
    database_url: str = "sqlite:///workbell.db",
    *,
    workers: int = 0,
    data_dir: str | Path | None = None,
    tasks: Sequence[Task] = (),
    clock: Clock | None = None,
    **settings: Any,
) -> Generator[Bell]:
    """
    Open a Workbell within this process, and close it at the end.

    Args:
        database_url: `sqlite:///file.db`, or `memory://` in tests.
        workers: Threads that run jobs; with 0 the bell only talks, and
            `run_until_idle` runs them in the caller's thread.
        data_dir: Folder for artifacts and mail; `.workbell` if left out.
        tasks: Tasks beside those that `@task` has declared.
        clock: Another clock, for tests.
        settings: Any other setting by its name in lower case.

    Raises:
        Invalid: A setting is wrong.
        Unavailable: The store cannot be opened.
    """
    from .settings import Settings
    from .wiring import build

    if data_dir is not None:
        settings["data_dir"] = Path(data_dir)
    chosen = Settings(database_url=database_url, **settings)
    house = build(chosen, tasks=(*DECLARED.all(), *tasks), clock=clock)
    house.prepare()
    runtime = house.runtime(threads=workers) if workers else None
    inline, wakeups = house.worker(1)
    inline.wakeups = wakeups
    bell = Bell(house, runtime, inline)
    if runtime is not None:
        runtime.start()
    try:
        yield bell
    finally:
        bell.close()
