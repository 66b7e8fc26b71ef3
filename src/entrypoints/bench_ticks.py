"""The ticks benchmark: what many schedules cost, idle and firing."""

import gc
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from attrs import define
from sqlalchemy import create_engine, insert

from ..adapters.sql.schedule_rows import schedule_values
from ..adapters.sql.schema import schedules
from ..domain.cron import CronRule
from ..domain.identity import UserId
from ..domain.scheduling import Schedule
from ..domain.tasks import Task
from .settings import Settings
from .wiring import House, build

START = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)
IDLE_TICKS = 2_000
BURST = 17_000
EXPRESSIONS = 1_500
FILL = 10_000


@define
class _SetClock:
    """A clock that stands where it is put."""

    at: datetime

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.at


def measure(sizes: Sequence[int], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for each number of schedules; `say` is told the progress."""
    rows = []
    for size in sizes:
        say(f"{size:,} schedules: filling the table")
        row = _measure(size)
        say(", ".join(f"{key} {value}" for key, value in row.items()))
        rows.append(row)
    return rows


def _measure(size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="workbell-bench-") as scratch:
        clock = _SetClock(START)
        folder = Path(scratch)
        settings = Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'bench.db'}")
        noop = Task(key="bench.noop", body=lambda _, __: None, batch=True)
        house = build(settings, tasks=[noop], clock=clock)
        house.prepare()
        gc.freeze()
        burst = min(BURST, size)
        _fill(folder / "bench.db", size, burst)
        resident = _resident()
        idle = _idle(house)
        fired, lateness = _fire(house, clock, burst)
        grown = _resident() - resident
        house.close()
    return {
        "schedules": size,
        "idle tick, ms (median)": round(idle * 1000, 4),
        "due in one second": burst,
        "fired/s": round(burst / fired),
        "lateness p99, ms": round(lateness * 1000),
        "memory growth, MiB": round(grown / 2**20, 1),
    }


def _fill(database: Path, size: int, burst: int) -> None:
    """Put schedules in the table, of which so many are due in the next minute."""
    soon = START.replace(second=0) + timedelta(minutes=1)
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        for begin in range(0, size, FILL):
            rows = [
                schedule_values(_nth(n, soon, due=n < burst))
                for n in range(begin, min(begin + FILL, size))
            ]
            connection.execute(insert(schedules), rows)
    engine.dispose()


def _nth(n: int, soon: datetime, *, due: bool) -> Schedule:
    """Return the schedule of a number: one of many expressions, or one of every minute."""
    rule = "* * * * *" if due else f"{n % 60} {n % 24} {n % 28 + 1} * *"
    if not due and n % EXPRESSIONS == 0:
        rule = "0 0 1 1 *"
    return Schedule(
        owner=UserId(n % 1000 + 1),
        task="bench.noop",
        cron=CronRule(rule),
        parameters={"n": n},
        next_at=soon if due else soon + timedelta(days=1 + n % 300),
        created_at=START,
        updated_at=START,
    )


def _idle(house: House) -> float:
    """Return the median of a tick that finds nothing due, in seconds."""
    times = []
    for _ in range(IDLE_TICKS):
        begun = time.perf_counter()
        house.ticking.tick()
        times.append(time.perf_counter() - begun)
    return median(times)


def _fire(house: House, clock: _SetClock, burst: int) -> tuple[float, float]:
    """Return how long a burst took to record, and the 99th percentile of its lateness."""
    clock.at = START.replace(second=0) + timedelta(minutes=1)
    late: list[float] = []
    begun = time.perf_counter()
    done = 0
    while done < burst:
        done += (moved := house.ticking.tick())
        late += [time.perf_counter() - begun] * moved
    return time.perf_counter() - begun, quantiles(late, n=100)[98]


def _resident() -> int:
    """Return the memory that the process holds now, in bytes; Linux only."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()
