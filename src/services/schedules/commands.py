"""Use cases of schedules: create, edit, pause, run and explain them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import Factory, evolve, field, frozen

from workbell.domain.audit.entry import changed_since
from workbell.domain.cron.preview import Preview, preview
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid, NotFound, StaleVersion
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import LOGIN_REQUIRED, Action, check, get_scope, may
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.jobs.task import TaskDefinition, Tasks
from workbell.domain.schedules.schedule import (
    Schedule,
    ScheduleId,
    check_active_limit,
    check_times,
)
from workbell.domain.schedules.ticks import SkipReason
from workbell.domain.validation import check_request
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.schedules.views import ScheduleFilter, SchedulePage, ScheduleView
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import (
    audit_command,
    changed_values,
    created_values,
    deleted_values,
    mask_secrets,
)
from workbell.services.jobs.capacity import WaitingCapacity
from workbell.services.jobs.requests import check_priority, check_queue
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.cancellations import CancellationService
from workbell.services.schedules.requests import COPIED_FIELDS, BackfillRange, NewSchedule
from workbell.services.schedules.runs import (
    cancel_pending,
    pause,
    record_skipped_ticks,
    ticks_of_range,
)
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class BackfillPlan:
    """Past ticks that a backfill runs, or would run."""

    count: int
    first: datetime | None
    last: datetime | None
    dry_run: bool
    jobs: Sequence[Job] = ()


@frozen(kw_only=True)
class ScheduleService:
    """
    Creates, edits, pauses, runs and explains schedules.

    Methods that take a schedule id raise `NotFound` unless the actor may see
    the schedule. `version` is the version that the actor has seen (None: any);
    they raise `StaleVersion` if the schedule has another.
    """

    store: Store[SchedulesTx]
    clock: Clock
    tasks: Tasks
    definitions: TaskDefinitionService
    serializer: Serializer
    active_limit: int = 5
    max_waiting: int = 10_000
    queues: Sequence[str] = ("default",)
    capacity: WaitingCapacity = field(
        default=Factory(
            lambda self: WaitingCapacity(self.store, self.clock, self.max_waiting), takes_self=True
        ),
        init=False,
    )

    @property
    def cancellations(self) -> CancellationService:
        """The cancellations of waiting runs that are in progress."""
        return CancellationService(store=self.store, clock=self.clock, tasks=self.tasks)

    @retry_on_contention
    def create(
        self, actor: Actor, new: NewSchedule, *, owner: UserId | None = None
    ) -> ScheduleView:
        """
        Create a schedule, active unless `is_active` is false.

        Raises:
            Invalid: A field is wrong.
            LimitReached: The owner has too many active schedules.
            NotAllowed: The actor has not logged in.
        """
        check(actor, Action.MAKE_SCHEDULE, LOGIN_REQUIRED)
        check_request(new)
        now, definition = self.clock.now(), self.definitions.by_name(new.task_definition)
        fields = self._validated_fields(actor, new, definition)
        owner = actor.user_id if owner is None else owner
        schedule = Schedule(
            owner=owner, weight=actor.tier.weight, created_at=now, updated_at=now, **fields
        )
        check_times(schedule, now)
        if new.is_active:
            schedule = schedule.resume(now)
        changes = created_values(_audited_values(schedule))
        with self.store.begin() as tx:
            user, limit = self._lock_limited(tx, actor, owner) if new.is_active else (None, None)
            schedule = tx.schedules.add(schedule, active_limit=limit)
            audit_command(tx.audit, actor, "CREATE", "schedule", schedule.id, now, changes)
        if user is None:
            return self.get(actor, schedule.id)
        return ScheduleView.without_runs(schedule, user, definition)

    def get(self, actor: Actor, schedule_id: ScheduleId) -> ScheduleView:
        """Return a schedule visible to the actor."""
        with self.store.view() as tx:
            return tx.schedules.get_view(get_scope(actor, Action.READ_SCHEDULES), schedule_id)

    def find(
        self,
        actor: Actor,
        filters: ScheduleFilter,
        ordering: Sequence[str],
        offset: int,
        limit: int,
    ) -> SchedulePage:
        """Return a page of the actor's schedules, and the total number."""
        scope = get_scope(actor, Action.READ_SCHEDULES)
        with self.store.view() as tx:
            return tx.schedules.list_page(
                scope, filters, ordering=ordering, offset=offset, limit=limit
            )

    @retry_on_contention
    def edit(
        self,
        actor: Actor,
        schedule_id: ScheduleId,
        updates: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> ScheduleView:
        """
        Change the given fields.

        Waiting runs of the old version stay unless the schedule is paused. A
        request that only pauses the schedule is not validated.

        Raises:
            Invalid: A field is wrong.
            LimitReached: The owner has too many active schedules to resume it.
        """
        now = self.clock.now()
        view = self.get(actor, schedule_id)
        versions = {view.schedule.version, view.schedule.version if version is None else version}
        new, fields, changes = self._merge(actor, view, updates)
        with self.store.begin() as tx:
            before = self._lock(tx, actor, view.schedule.owner, schedule_id, versions)
            after = self._apply_edit(tx, actor, before, fields, now, active=new.is_active)
            tx.schedules.replace(after)
            changes["version"] = [before.version, after.version]
            audit_command(tx.audit, actor, "UPDATE", "schedule", after.id, now, changes)
        return self.get(actor, schedule_id)

    @retry_on_contention
    def delete(self, actor: Actor, schedule_id: ScheduleId, *, version: int | None = None) -> None:
        """Hide a schedule and cancel its waiting runs; its history stays."""
        now = self.clock.now()
        owner = self.get(actor, schedule_id).schedule.owner
        versions = set[int]() if version is None else {version}
        with self.store.begin() as tx:
            schedule = self._lock(tx, actor, owner, schedule_id, versions)
            deleted = cancel_pending(tx, schedule, now, SkipReason.DELETED)
            deleted = evolve(deleted.pause("deleted").touched(now), deleted_at=now)
            tx.schedules.replace(deleted)
            changes = deleted_values(_audited_values(schedule))
            audit_command(tx.audit, actor, "DELETE", "schedule", schedule.id, now, changes)

    def toggle(self, actor: Actor, schedule_id: ScheduleId) -> ScheduleView:
        """Pause an active schedule; resume a paused one, as `edit` does."""
        active = self.get(actor, schedule_id).schedule.is_active
        return self.edit(actor, schedule_id, {"is_active": not active})

    @retry_on_contention
    def run_now(self, actor: Actor, schedule_id: ScheduleId) -> Job:
        """Enqueue a run now, under its concurrency key; may raise LimitReached."""
        now = self.clock.now()
        owner = self.get(actor, schedule_id).schedule.owner
        self.capacity.check(owner, 1)
        with self.store.begin() as tx:
            schedule = tx.schedules.get(get_scope(actor, Action.READ_SCHEDULES), schedule_id)
            task = self.tasks.find(schedule.task)
            job = schedule.job(task, now, due_at=now, origin=JobOrigin.RUN_NOW, for_tick=now)
            (added,) = tx.jobs.add([job], now)
            assert added is not None
            audit_command(
                tx.audit, actor, "RUN_NOW", "schedule", schedule.id, now, {"job": [None, added.id]}
            )
        return added

    @retry_on_contention
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
        Enqueue runs for the ticks of a past range, both ends included.

        Raises:
            Invalid: The range is empty, not past, or holds more than 1,000 ticks.
            LimitReached: The owner would have too many waiting jobs.
        """
        check_request(BackfillRange(start=start, end=end))
        now = self.clock.now()
        schedule = self.get(actor, schedule_id).schedule
        ticks = ticks_of_range(schedule, start, end, now)
        plan = BackfillPlan(
            count=len(ticks),
            first=ticks[0] if ticks else None,
            last=ticks[-1] if ticks else None,
            dry_run=dry_run,
        )
        if dry_run or not ticks:
            return plan
        self.capacity.check(schedule.owner, len(ticks))
        task = self.tasks.find(schedule.task)
        jobs = [
            schedule.job(task, now, due_at=now, origin=JobOrigin.BACKFILL, for_tick=tick)
            for tick in ticks
        ]
        with self.store.begin() as tx:
            added = tx.jobs.add(jobs, now)
            audit_command(
                tx.audit,
                actor,
                "BACKFILL",
                "schedule",
                schedule.id,
                now,
                {"count": [None, len(ticks)]},
            )
        return evolve(plan, jobs=[job for job in added if job is not None])

    def upcoming(self, actor: Actor, schedule_id: ScheduleId, n: int) -> Preview:
        """Describe a schedule's expression and its next `n` runs."""
        schedule = self.get(actor, schedule_id).schedule
        return self.explain(schedule.cron, n, jitter_seconds=schedule.jitter_seconds)

    def explain(self, rule: CronRule, n: int, *, jitter_seconds: int = 0) -> Preview:
        """Describe an expression and its next `n` runs; warn of a jitter that is too large."""
        return preview(rule, self.clock.now(), n, jitter_seconds=jitter_seconds)

    def _validated_fields(
        self,
        actor: Actor,
        new: NewSchedule,
        definition: TaskDefinition,
        before: Schedule | None = None,
    ) -> dict[str, Any]:
        """Return the schedule fields of a request, validated."""
        if (task := self.tasks.find(definition.key)) is None:
            raise Invalid.field("task_definition", f"The code has no task {definition.key!r}.")
        if before is None or new.priority != before.priority:
            check_priority(actor, new.priority)
        if before is None or new.queue != before.queue:
            check_queue(new.queue, self.queues)
        zone = new.time_zone or actor.time_zone
        return {
            "task": task.key,
            "schema_version": definition.schema_version,
            "cron": CronRule(new.cron_expression, zone, new.dst_gap, new.dst_overlap),
            "parameters": self.definitions.check(actor, task, new.parameters),
        } | {name: getattr(new, name) for name in COPIED_FIELDS}

    def _merge(
        self, actor: Actor, view: ScheduleView, updates: Mapping[str, Any]
    ) -> tuple[NewSchedule, dict[str, Any], dict[str, Any]]:
        """Return the merged request, its new fields, and the audit changes."""
        before = self.serializer.unstructure(NewSchedule.of(view))
        new = self.serializer.structure({**before, **updates}, NewSchedule)
        after = self.serializer.unstructure(new)
        changes = mask_secrets(changed_values(before, after))
        if dict(updates) == {"is_active": False}:
            return new, {}, changes
        definition = self.definitions.by_name(new.task_definition)
        fields = self._validated_fields(actor, new, definition, view.schedule)
        check_times(evolve(view.schedule, **fields), self.clock.now())
        return new, fields, changes

    def _apply_edit(
        self,
        tx: SchedulesTx,
        actor: Actor,
        before: Schedule,
        fields: Mapping[str, Any],
        now: datetime,
        *,
        active: bool,
    ) -> Schedule:
        """Return the next version of a locked schedule."""
        if before.is_active and not active:
            return evolve(pause(tx, before, now), **fields)
        after = evolve(before, **fields)
        if active and not before.is_active:
            _, limit = self._lock_limited(tx, actor, after.owner)
            if limit is not None:
                check_active_limit(tx.schedules.count_active(after.owner, limit=limit), limit)
            return after.resume(now).touched(now)
        if after.has_same_ticks(before):
            same = after.alert_after_seconds == before.alert_after_seconds
            return (after if same else after.with_alert()).touched(now)
        advanced = record_skipped_ticks(tx, before, now, SkipReason.EDITED)
        return evolve(after, cursor=advanced.cursor).edited(now)

    def _lock(
        self,
        tx: SchedulesTx,
        actor: Actor,
        owner: UserId,
        schedule_id: ScheduleId,
        versions: Collection[int],
    ) -> Schedule:
        """Lock the owner's row, then the schedule; check its version."""
        if not actor.is_system:
            _lock_owner(tx, owner)
        schedule = tx.schedules.get_for_update(
            get_scope(actor, Action.CHANGE_SCHEDULES), schedule_id
        )
        if any(version != schedule.version for version in versions):
            entries = tx.audit.list_for_object("schedule", str(schedule_id))
            raise StaleVersion(schedule.version, changed_since(entries, min(versions)))
        return schedule

    def _lock_limited(
        self, tx: SchedulesTx, actor: Actor, owner_id: UserId
    ) -> tuple[User | None, int | None]:
        """
        Lock the owner; return it and its limit of active schedules.

        The system and superusers have no limit. The owner is None if it has no
        row to lock.
        """
        if actor.is_system or (owner := _lock_owner(tx, owner_id)) is None:
            return None, None
        return owner, None if may(Actor.of(owner), Action.EXCEED_SCHEDULES) else self.active_limit


def _audited_values(schedule: Schedule) -> dict[str, Any]:
    """Return the fields that the audit entries of a new or deleted schedule show."""
    return {
        "task": schedule.task,
        "name": schedule.name,
        "cron_expression": schedule.cron.line,
        "time_zone": schedule.cron.zone,
        "parameters": mask_secrets(schedule.parameters),
        "is_active": schedule.is_active,
    }


def _lock_owner(tx: SchedulesTx, owner: UserId) -> User | None:
    """Return an owner, locked; None for the system and library owners."""
    try:
        return tx.users.get_for_update(owner)
    except NotFound:
        return None
