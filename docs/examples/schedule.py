"""Schedule a task every minute, and run one job for the ticks of a night."""

from datetime import UTC, datetime, timedelta
from typing import Any

import workbell


class Clock:
    """A clock that the program moves, so it does not have to wait."""

    def __init__(self) -> None:
        """Start in the morning."""
        self.at = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the current time."""
        return self.at


@workbell.task("examples.count")
def count(context: workbell.TaskContext, _: dict[str, Any]) -> dict[str, str]:
    """Return the tick that the run is for."""
    return {"tick": str(context.tick)}


def main() -> None:
    """Move the clock by a minute, then by a night."""
    clock = Clock()
    with workbell.open("memory://", clock=clock) as client:
        schedule = client.schedules.create(task="examples.count", cron="* * * * *")
        for pause in (timedelta(minutes=1), timedelta(hours=8)):
            clock.at += pause
            client.run_until_idle()
        for job in reversed(client.jobs.find(schedule_id=schedule.id)):
            missed = f", covers {job.missed.count} ticks" if job.missed else ""
            print(f"{job.status} {job.tick:%H:%M}{missed}")


if __name__ == "__main__":
    main()
