"""Schedule a task every minute, and see the ticks that a night off has missed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import workbell


class Clock:
    """A clock that stands where it is put; a test needs no waiting."""

    def __init__(self) -> None:
        """Begin in the morning."""
        self.at = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time."""
        return self.at


@workbell.task("examples.count")
def count(context: workbell.TaskContext, _: dict[str, Any]) -> dict[str, str]:
    """Say for which time the run stands."""
    return {"tick": str(context.tick)}


def main() -> None:
    """Let a minute pass, then a night."""
    clock = Clock()
    with workbell.open("memory://", clock=clock) as client:
        schedule = client.schedules.create(task="examples.count", cron="* * * * *")
        for pause in (timedelta(minutes=1), timedelta(hours=8)):
            clock.at += pause
            client.run_until_idle()
        for job in reversed(client.jobs.find(schedule_id=schedule.id)):
            missed = f", stands for {job.missed.count} runs" if job.missed else ""
            print(f"{job.status} {job.tick:%H:%M}{missed}")


if __name__ == "__main__":
    main()
