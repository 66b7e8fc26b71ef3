"""Check of schedules' parameters after a task's schema has changed."""

from collections.abc import Iterable

from attrs import frozen

from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.runs import pause
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class ParameterCheck:
    """Pauses schedules whose parameters their task no longer accepts."""

    store: Store[SchedulesTx]
    clock: Clock
    definitions: TaskDefinitionService

    def pause_incompatible(self, tasks: Iterable[Task]) -> None:
        """Pause the tasks' active schedules whose parameters are invalid."""
        by_key = {task.key: task for task in tasks}
        after = ScheduleId(0)
        while by_key:
            with self.store.view() as tx:
                page = tx.schedules.active_after(after)
            if not page:
                return
            after = page[-1].id
            for schedule in page:
                task = by_key.get(schedule.task)
                if task is not None and self._schema_error(task, schedule) is not None:
                    self._pause(task, schedule.id)

    @retry_on_contention
    def _pause(self, task: Task, schedule_id: ScheduleId) -> None:
        with self.store.begin() as tx:
            try:
                schedule = tx.schedules.get_for_update(ALL_OWNERS, schedule_id)
            except NotFound:  # deleted since it was read
                return
            if schedule.is_active and (error := self._schema_error(task, schedule)) is not None:
                pause(tx, schedule, self.clock.now(), f"its parameters no longer fit: {error}")

    def _schema_error(self, task: Task, schedule: Schedule) -> str | None:
        """Return why a schedule's parameters are invalid, or None."""
        try:
            self.definitions.parse_parameters(task, schedule.parameters)
        except Invalid as error:
            return error.detail
        return None
