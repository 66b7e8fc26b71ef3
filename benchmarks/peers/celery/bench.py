"""Celery: drain with and without results in the database; beat."""

import os
import resource
import time
from datetime import timedelta

from measuring import jobs

SCHEDULES = 100_000
DUE = 2_000
TICKS = 20


def _workers() -> jobs.Commands:
    options = ["--concurrency", str(jobs.PROCESSES), "--loglevel", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [jobs.command("celery", "--app", "app", "worker", *options, *quiet)]


def _enqueue(count: int) -> None:
    from app import noop

    for n in range(count):
        noop.delay(n)


def redis_only() -> dict[str, float]:
    """Drain with ignored results."""
    return jobs.drain(6_000, _enqueue, _workers())


def latency() -> dict[str, float]:
    """Start latency with ignored results."""
    from app import noop

    return jobs.latency(lambda n: noop.delay(n), _workers())


def with_results() -> dict[str, float]:
    """Drain with a row per result on PostgreSQL."""
    _django()
    from django_celery_results.models import TaskResult

    count = jobs.scaled(2_000)

    def kept() -> None:
        jobs.until(lambda: TaskResult.objects.filter(status="SUCCESS").count() >= count)

    return jobs.drain(2_000, _enqueue, _workers(), kept)


def beat() -> dict[str, float]:
    """
    Fire what is due, out of a hundred thousand schedules in the database.

    A firing is a message to Redis; the rows are saved at the end, as beat
    saves them every few minutes. A tick of beat's fires one schedule and
    looks at all of them for changes, so the figure that is compared leaves
    that look out; the other is what ticks do.
    """
    _django()
    from app import app
    from django_celery_beat.schedulers import DatabaseScheduler

    due = jobs.scaled(DUE)
    _fill(due)
    before, opened = _resident(), time.perf_counter()
    scheduler = DatabaseScheduler(app=app)
    scheduler.tick()
    started, grown = time.perf_counter() - opened, _resident() - before
    begun = time.perf_counter()
    for _ in range(TICKS):
        scheduler.tick()
    ticked = time.perf_counter() - begun
    late = [entry for entry in scheduler.schedule.values() if entry.is_due().is_due]
    begun = time.perf_counter()
    for entry in late:
        scheduler.apply_entry(scheduler.reserve(entry), producer=scheduler.producer)
    scheduler.sync()
    applied = time.perf_counter() - begun
    return {
        "fired/s": len(late) / applied,
        "fired/s by ticks": TICKS / ticked,
        "start s": started,
        "growth MiB": grown / 2**20,
    }


def _fill(due: int) -> None:
    from django.utils import timezone
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    now = timezone.now()
    PeriodicTask.objects.bulk_create(
        [
            PeriodicTask(
                name=f"schedule {n}",
                task="noop",
                args=f"[{n}]",
                interval=hourly,
                last_run_at=now - timedelta(hours=2 if n < due else 0),
            )
            for n in range(SCHEDULES)
        ],
        batch_size=5_000,
    )


def _resident() -> float:
    pages = int(open("/proc/self/statm").read().split()[1])  # noqa: PTH123, SIM115
    return pages * resource.getpagesize()


def _django() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "project"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    jobs.answer({"redis": redis_only, "latency": latency, "results": with_results, "beat": beat})
