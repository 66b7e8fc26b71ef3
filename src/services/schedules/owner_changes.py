"""Changes of users: stop what an owner may no longer run."""

from datetime import datetime

from attrs import frozen

from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.user import User
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.domain.schedules.ticks import SkipReason
from workbell.ports.schedules.repository import SchedulesTx
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.cancellations import stop_owner
from workbell.services.schedules.runs import pause_without_runs

BATCH = 500
NOT_PERMITTED = "owner no longer permitted"


@frozen(kw_only=True)
class OwnerChanges:
    """
    Follows changes of users by superusers.

    Deactivation pauses all schedules of the user and cancels their waiting jobs;
    the sweeper continues where there are many, and no job starts until then. With fewer rights, only the schedules are paused whose task
    refuses the user from now on; their jobs are refused when they are claimed.
    Reactivation and new rights resume nothing.
    """

    definitions: TaskDefinitionService

    def apply(self, tx: SchedulesTx, before: User, after: User, now: datetime) -> None:
        """Stop what the change forbids; the user's row is locked."""
        if before.is_active and not after.is_active:
            stop_owner(tx, after.id, now, self.definitions.tasks)
        elif after.is_active and before.token_version != after.token_version:
            self._pause_forbidden(tx, after, now)

    def _pause_forbidden(self, tx: SchedulesTx, owner: User, now: datetime) -> None:
        actor = Actor.of(owner)
        forbidden = [s.id for s in _active(tx, owner) if not self._permits(actor, s)]
        for schedule_id in forbidden:
            _pause(tx, schedule_id, now)

    def _permits(self, actor: Actor, schedule: Schedule) -> bool:
        """Whether a schedule's task permits its owner; other problems fail the run."""
        task = self.definitions.tasks.find(schedule.task)
        if task is None or task.check is None:
            return True
        try:
            task.check(actor, self.definitions.parse_parameters(task, schedule.parameters))
        except NotAllowed:
            return False
        except (Invalid, NotFound):
            pass
        return True


def _active(tx: SchedulesTx, owner: User) -> list[Schedule]:
    """Return the active schedules of a user, by id."""
    found: list[Schedule] = []
    page = tx.schedules.active_after(ScheduleId(0), owner=owner.id, limit=BATCH)
    while page:
        found += page
        page = tx.schedules.active_after(page[-1].id, owner=owner.id, limit=BATCH)
    return found


def _pause(tx: SchedulesTx, schedule_id: ScheduleId, now: datetime) -> None:
    """Lock and pause a schedule whose task its owner may no longer run."""
    try:
        schedule = tx.schedules.get_for_update(ALL_OWNERS, schedule_id)
    except NotFound:  # deleted since it was read
        return
    if schedule.is_active:
        pause_without_runs(tx, schedule, now, SkipReason.OWNER_NOT_PERMITTED, NOT_PERMITTED)
