"""Schedules: create, change, pause, run and explain them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from attrs import Factory, evolve, frozen

from ..domain.audit import AuditEntry
from ..domain.cron import CronRule, DstGap, DstOverlap
from ..domain.cron_preview import Preview, preview
from ..domain.errors import Invalid, StaleVersion
from ..domain.identity import Actor, UserId
from ..domain.jobs import Job, JobOrigin, JobState
from ..domain.limits import Limits
from ..domain.scheduling import (
    MAX_BACKFILL,
    MisfirePolicy,
    OverlapPolicy,
    Schedule,
    ScheduleId,
    check_active_limit,
    check_window,
)
from ..domain.tasks import Task, Tasks
from ..ports.jobs import WorkTx
from ..ports.scheduling import ScheduleFilter, ScheduleView
from ..ports.store import Store
from ..ports.system import Clock
from .definitions import Definitions

Name = Annotated[str, Limits(max_length=255)]
Expression = Annotated[str, Limits(min_length=1, max_length=256, example="0 9 * * 1-5")]
ZoneName = Annotated[str, Limits(min_length=1, max_length=64, example="Europe/Berlin")]
QueueName = Annotated[str, Limits(min_length=1, max_length=64, pattern="[a-z0-9][a-z0-9_.-]*")]


@frozen(kw_only=True)
class NewSchedule:
    """What is asked of a schedule; None means the task's or the owner's default."""

    task_definition: int | str
    cron_expression: Expression
    parameters: Mapping[str, Any] = Factory(dict[str, Any])
    is_active: bool = True
    name: Name = ""
    time_zone: ZoneName | None = None
    misfire_policy: MisfirePolicy = MisfirePolicy.LATEST
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    dst_gap: DstGap = DstGap.RUN_AFTER
    dst_overlap: DstOverlap = DstOverlap.FIRST
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_runs: Annotated[int, Limits(ge=1, le=1_000_000_000)] | None = None
    jitter_seconds: Annotated[int, Limits(ge=0, le=3600)] = 0
    queue: QueueName | None = None
    priority: Annotated[int, Limits(ge=-100, le=100)] = 0
    max_attempts: Annotated[int, Limits(ge=1, le=100)] | None = None
    timeout_seconds: Annotated[int, Limits(ge=1, le=86_400)] | None = None


@frozen(kw_only=True)
class BackfillPlan:
    """Which past ticks of a schedule an explicit backfill runs."""

    count: int
    first: datetime | None
    last: datetime | None
    dry_run: bool
    jobs: Sequence[Job] = ()


@frozen(kw_only=True)
class Scheduling:
    """Create, change, pause, run and explain schedules."""

    store: Store[WorkTx]
    clock: Clock
    tasks: Tasks
    definitions: Definitions
    active_limit: int = 5
    queues: Sequence[str] = ("default",)

    def create(
        self, actor: Actor, new: NewSchedule, *, owner: UserId | None = None
    ) -> ScheduleView:
        """
        Give the actor a new schedule, active unless asked otherwise.

        Raises:
            Invalid: A field is wrong.
            LimitReached: The owner has as many active ones as they may have.
        """
        now = self.clock.now()
        task = self._task(new)
        owner = actor.user_id if owner is None else owner
        schedule = self._filled(
            actor, new, task, Schedule(
                owner=owner, task=task.key, weight=actor.tier.weight,
                cron=self._rule(actor, new), created_at=now, updated_at=now,
            ),
        )  # fmt: skip
        if new.is_active:
            schedule = schedule.resume(now)
        with self.store.begin() as tx:
            self._check_limit(tx, actor, schedule, activating=new.is_active)
            schedule = tx.schedules.add(schedule)
            self._remember(tx, actor, "CREATE", schedule, now, {"task": [None, task.key]})
        return self.get(actor, schedule.id)

    def get(self, actor: Actor, schedule_id: ScheduleId) -> ScheduleView:
        """
        Return one schedule that the actor may see.

        Raises:
            NotFound: There is none.
        """
        with self.store.view() as tx:
            return tx.schedules.show(actor.scope, schedule_id)

    def find(
        self, actor: Actor, which: ScheduleFilter, ordering: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[ScheduleView], int]:
        """Return a part of the actor's schedules, and how many there are."""
        with self.store.view() as tx:
            total = tx.schedules.count(actor.scope, which)
            found = tx.schedules.find(
                actor.scope, which, ordering=ordering, offset=offset, limit=limit
            )
        return found, total

    def edit(
        self,
        actor: Actor,
        schedule_id: ScheduleId,
        given: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> ScheduleView:
        """
        Change the given fields, and leave the others.

        `version` is the one that the actor has seen, None where they do not
        care. What waits of the old form is not taken back.

        Raises:
            NotFound: There is none.
            Invalid: A field is wrong.
            StaleVersion: It has been changed since.
            LimitReached: It would become active, and there is no room.
        """
        now = self.clock.now()
        shown = self.get(actor, schedule_id)
        new = self._merged(shown, given)
        task = self._task(new)
        rule = self._rule(actor, new)
        with self.store.begin() as tx:
            before = self._locked(tx, actor, shown.schedule.owner, schedule_id, version)
            if before.version != shown.schedule.version and version is None:
                raise StaleVersion(before.version)
            after = self._filled(actor, new, task, evolve(before, task=task.key, cron=rule))
            if new.is_active and not before.is_active:
                self._check_limit(tx, actor, after, activating=True)
                after = after.resume(now)
            elif before.is_active and not new.is_active:
                after = after.pause()
                cancel_waiting(tx, schedule_id, now, "schedule paused")
            after = after.edited(now)
            tx.schedules.replace(after)
            self._remember(tx, actor, "UPDATE", after, now, self._changes(shown, new))
        return self.get(actor, schedule_id)

    def delete(self, actor: Actor, schedule_id: ScheduleId, *, version: int | None = None) -> None:
        """
        Hide a schedule and cancel what waits of it; its history stays.

        Raises:
            NotFound: There is none.
            StaleVersion: It has been changed since.
        """
        now = self.clock.now()
        owner = self.get(actor, schedule_id).schedule.owner
        with self.store.begin() as tx:
            schedule = self._locked(tx, actor, owner, schedule_id, version)
            gone = evolve(schedule.pause("deleted").edited(now), deleted_at=now)
            tx.schedules.replace(gone)
            cancel_waiting(tx, schedule_id, now, "schedule deleted")
            self._remember(tx, actor, "DELETE", schedule, now)

    def toggle(self, actor: Actor, schedule_id: ScheduleId) -> ScheduleView:
        """
        Pause an active schedule, or resume a paused one.

        Raises:
            NotFound: There is none.
            LimitReached: There is no room for one more active schedule.
        """
        active = self.get(actor, schedule_id).schedule.is_active
        return self.edit(actor, schedule_id, {"is_active": not active})

    def run_now(self, actor: Actor, schedule_id: ScheduleId) -> Job:
        """
        Run a schedule's task once more, now; its lane still holds.

        Raises:
            NotFound: There is none.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            schedule = tx.schedules.get(actor.scope, schedule_id)
            task = self.tasks.find(schedule.task)
            job = schedule.job(task, now, due_at=now, origin=JobOrigin.RUN_NOW, for_tick=now)
            (added,) = tx.jobs.add([job], now)
            assert added is not None
            self._remember(tx, actor, "RUN_NOW", schedule, now, {"job": [None, added.id]})
        return added

    def backfill(
        self,
        actor: Actor,
        schedule_id: ScheduleId,
        start: datetime,
        end: datetime,
        *,
        dry_run: bool = False,
    ) -> BackfillPlan:
        """
        Run the ticks of a past range, both ends included.

        Raises:
            NotFound: There is none.
            Invalid: The range is empty, not past, or holds more than 1,000 ticks.
        """
        now = self.clock.now()
        schedule = self.get(actor, schedule_id).schedule
        ticks = _ticks_of_range(schedule, start, end, now)
        plan = BackfillPlan(
            count=len(ticks),
            first=ticks[0] if ticks else None,
            last=ticks[-1] if ticks else None,
            dry_run=dry_run,
        )
        if dry_run or not ticks:
            return plan
        task = self.tasks.find(schedule.task)
        jobs = [
            schedule.job(task, now, due_at=now, origin=JobOrigin.BACKFILL, for_tick=tick)
            for tick in ticks
        ]
        added: list[Job] = []
        with self.store.begin() as tx:
            for at in range(0, len(jobs), 500):
                added += [job for job in tx.jobs.add(jobs[at : at + 500], now) if job]
            self._remember(tx, actor, "BACKFILL", schedule, now, {"count": [None, len(ticks)]})
        return evolve(plan, jobs=added)

    def upcoming(self, actor: Actor, schedule_id: ScheduleId, n: int) -> Preview:
        """
        Explain a schedule's expression and its next runs.

        Raises:
            NotFound: There is none.
        """
        return preview(self.get(actor, schedule_id).schedule.cron, self.clock.now(), n)

    def explain(self, rule: CronRule, n: int) -> Preview:
        """Explain an expression and its next runs."""
        return preview(rule, self.clock.now(), n)

    # what the commands share

    def _task(self, new: NewSchedule) -> Task:
        definition = self.definitions.named(new.task_definition)
        if (task := self.tasks.find(definition.key)) is None:
            raise Invalid.field("task_definition", f"No code here knows {definition.key!r}.")
        return task

    def _rule(self, actor: Actor, new: NewSchedule) -> CronRule:
        return CronRule(
            new.cron_expression,
            new.time_zone or actor.time_zone,
            new.dst_gap,
            new.dst_overlap,
        )

    def _filled(self, actor: Actor, new: NewSchedule, task: Task, schedule: Schedule) -> Schedule:
        check_priority(actor, new.priority)
        check_queue(new.queue, self.queues)
        filled = evolve(
            schedule,
            name=new.name,
            parameters=self.definitions.check(actor, task, new.parameters),
            misfire_policy=new.misfire_policy,
            overlap_policy=new.overlap_policy,
            starts_at=new.starts_at,
            ends_at=new.ends_at,
            max_runs=new.max_runs,
            jitter_seconds=new.jitter_seconds,
            queue=new.queue,
            priority=new.priority,
            max_attempts=new.max_attempts,
            timeout_seconds=new.timeout_seconds,
        )
        check_window(filled)
        return filled

    def _merged(self, shown: ScheduleView, given: Mapping[str, Any]) -> NewSchedule:
        current = self.definitions.shapes.write(as_new(shown))
        return self.definitions.shapes.read({**current, **given}, NewSchedule)

    def _changes(self, shown: ScheduleView, new: NewSchedule) -> dict[str, Any]:
        write = self.definitions.shapes.write
        before, after = write(as_new(shown)), write(new)
        return {name: [before[name], after[name]] for name in after if before[name] != after[name]}

    def _locked(
        self, tx: WorkTx, actor: Actor, owner: UserId, schedule_id: ScheduleId, version: int | None
    ) -> Schedule:
        if not actor.is_system:
            tx.users.get_for_update(owner)
        schedule = tx.schedules.get_for_update(actor.scope, schedule_id)
        if version is not None and version != schedule.version:
            raise StaleVersion(schedule.version)
        return schedule

    def _check_limit(
        self, tx: WorkTx, actor: Actor, schedule: Schedule, *, activating: bool
    ) -> None:
        if actor.is_system or not activating:
            return
        owner = Actor.of(tx.users.get_for_update(schedule.owner))
        active = tx.schedules.count_active(schedule.owner)
        check_active_limit(active, self.active_limit, unlimited=owner.is_super_user)

    def _remember(
        self,
        tx: WorkTx,
        actor: Actor,
        action: str,
        schedule: Schedule,
        now: datetime,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        if not actor.is_system:
            tx.audit.add(AuditEntry.of(actor, action, "schedule", schedule.id, now, changes))


def as_new(shown: ScheduleView) -> NewSchedule:
    """Return what a schedule was asked to be, to be merged with a change."""
    schedule = shown.schedule
    return NewSchedule(
        task_definition=shown.task_id,
        cron_expression=schedule.cron.line,
        parameters=schedule.parameters,
        is_active=schedule.is_active,
        name=schedule.name,
        time_zone=schedule.cron.zone,
        misfire_policy=schedule.misfire_policy,
        overlap_policy=schedule.overlap_policy,
        dst_gap=schedule.cron.dst_gap,
        dst_overlap=schedule.cron.dst_overlap,
        starts_at=schedule.starts_at,
        ends_at=schedule.ends_at,
        max_runs=schedule.max_runs,
        jitter_seconds=schedule.jitter_seconds,
        queue=schedule.queue,
        priority=schedule.priority,
        max_attempts=schedule.max_attempts,
        timeout_seconds=schedule.timeout_seconds,
    )


def cancel_waiting(tx: WorkTx, schedule_id: ScheduleId, now: datetime, reason: str) -> None:
    """Cancel what waits of a schedule; what runs goes on."""
    for job in tx.jobs.unfinished([schedule_id]).get(schedule_id, ()):
        if job.state is not JobState.RUNNING:
            tx.jobs.replace(job, job.cancel(now, reason))


def check_priority(actor: Actor, priority: int) -> None:
    """
    Refuse a raised priority to ordinary users.

    Raises:
        Invalid: The priority is above 0 and the actor is no superuser.
    """
    if priority > 0 and not actor.is_super_user:
        raise Invalid.field("priority", "Only superusers may raise the priority above 0.")


def check_queue(queue: str | None, known: Sequence[str]) -> None:
    """
    Refuse a queue that nobody works on.

    Raises:
        Invalid: The queue is not among the known ones.
    """
    if queue is not None and queue not in known:
        raise Invalid.field("queue", f"There is no queue {queue!r}; known: {', '.join(known)}.")


def _ticks_of_range(
    schedule: Schedule, start: datetime, end: datetime, now: datetime
) -> list[datetime]:
    if end < start:
        raise Invalid.field("end", "The end must not lie before the start.")
    if end > now:
        raise Invalid.field("end", "The range must lie in the past.")
    ticks: list[datetime] = []
    for tick in schedule.cron.ticks(start - timedelta(microseconds=1), end):
        ticks.append(tick)
        if len(ticks) > MAX_BACKFILL:
            raise Invalid.field("end", f"The range holds more than {MAX_BACKFILL} runs.")
    return ticks
