"""Outcomes of runs: schedules whose runs fail repeatedly are paused."""

from collections.abc import Callable, Sequence
from functools import partial

from attrs import evolve, frozen

from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Settlement
from workbell.domain.jobs.job import JobState
from workbell.domain.schedules.schedule import FAILURES_TO_PAUSE, Schedule, ScheduleId
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.system import Clock
from workbell.services.schedules.notices import mail_owner
from workbell.services.schedules.runs import pause


@frozen(kw_only=True)
class RunOutcomes:
    """Settlement hook that counts failed runs of schedules."""

    clock: Clock

    def applies_to(self, settlement: Settlement) -> bool:
        """Whether the outcome is that of a schedule's run."""
        return settlement.schedule_id is not None

    def prepare(
        self, tx: SchedulesTx, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        """Lock the schedules whose failure count the outcomes change."""
        return partial(self._count, tx, _lock_schedules(tx, settlements))

    def _count(
        self, tx: SchedulesTx, schedules: dict[int, Schedule], settlements: Sequence[Settlement]
    ) -> None:
        for settlement in settlements:
            schedule = schedules.get(settlement.schedule_id or 0)
            if schedule is None:
                continue
            if settlement.state is JobState.FAILED:
                schedules[schedule.id] = self._count_failure(tx, schedule)
            elif settlement.state is JobState.SUCCEEDED:
                schedules[schedule.id] = self._reset_failures(tx, schedule)

    def _count_failure(self, tx: SchedulesTx, schedule: Schedule) -> Schedule:
        """Count a failed run; pause and notify after too many."""
        counted = schedule.failed()
        if not counted.has_failed_too_often:
            tx.schedules.replace(counted)
            return counted
        reason = f"{counted.fail_streak} runs in a row have failed"
        paused = pause(tx, counted, self.clock.now(), reason)
        mail_owner(tx, paused, "paused", f"has been paused: {reason}", self.clock.now())
        return paused

    def _reset_failures(self, tx: SchedulesTx, schedule: Schedule) -> Schedule:
        """Reset the failure count; notify if it had paused the schedule."""
        if schedule.fail_streak:
            tx.schedules.clear_failure_streaks([schedule.id])
        if schedule.fail_streak >= FAILURES_TO_PAUSE:
            what = "has recovered: its last run succeeded"
            mail_owner(tx, schedule, "recovered", what, self.clock.now())
        return evolve(schedule, fail_streak=0)


def _lock_schedules(tx: SchedulesTx, settlements: Sequence[Settlement]) -> dict[int, Schedule]:
    """Lock and return schedules whose failure count the outcomes change."""
    ended = {state: set[ScheduleId]() for state in JobState}
    for settlement in settlements:
        if settlement.schedule_id is not None:
            ended[settlement.state].add(ScheduleId(settlement.schedule_id))
    ids, succeeded = ended[JobState.FAILED], ended[JobState.SUCCEEDED] - ended[JobState.FAILED]
    if succeeded:
        ids |= tx.schedules.failure_streaks(sorted(succeeded)).keys()
    locked: dict[int, Schedule] = {}
    for schedule_id in sorted(ids):
        try:
            locked[schedule_id] = tx.schedules.get_for_update(ALL_OWNERS, schedule_id)
        except NotFound:  # deleted since its run began
            continue
    return locked
