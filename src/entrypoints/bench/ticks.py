"""Ticks benchmark: cost of many schedules, idle and firing."""

import gc
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from statistics import median
from typing import Any

from attrs import define
from sqlalchemy import Connection, create_engine, insert, text

from workbell.adapters.sql.database.column_types import json_text
from workbell.adapters.sql.schedules.rows import schedule_values
from workbell.adapters.sql.schema.tables import schedules
from workbell.domain.cron.rule import CronRule
from workbell.domain.identity.user import UserId
from workbell.domain.schedules.schedule import Schedule
from workbell.entrypoints.bench.rows import Row, report
from workbell.entrypoints.bench.targets import Target, resident_bytes
from workbell.entrypoints.bench.workers import (
    StartTimes,
    is_finished,
    percentiles,
    running,
    wait_until,
)
from workbell.entrypoints.bootstrap.application import Application

START = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)
IDLE_TICKS = 2_000
BURST = 17_000
EXPRESSIONS = 1_500
FILL = 10_000

_rule = cache(CronRule)


@define
class _ManualClock:
    """A clock that is set by hand."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def measure(target: Target, sizes: Sequence[int]) -> list[Row]:
    """Return a row for each number of schedules."""
    rows = []
    for size in sizes:
        report(f"{size:,} schedules: filling the table")
        row = _measure(target, size)
        report(", ".join(f"{key} {value}" for key, value in row.items()))
        rows.append(row)
    return rows


def _measure(target: Target, size: int) -> Row:
    clock, starts = _ManualClock(START), StartTimes()
    burst = min(BURST, size)
    with target.application(starts.tasks(), clock) as application:
        _fill_schedules(application, size, burst)
        gc.freeze()
        before = resident_bytes()
        idle = _time_idle_ticks(application)
        fired, lateness = _fire_burst(application, clock, burst)
        grown = resident_bytes() - before
        with running(application, scheduler=False):
            wait_until(lambda: is_finished(application))
            recorded, started = starts.count, time.perf_counter()
            _fire_burst(application, clock, burst)
            wait_until(lambda: starts.count >= recorded + burst and is_finished(application))
    assert (recorded, starts.count) == (burst, 2 * burst), "every tick runs once"
    return {
        "schedules": size,
        "idle tick, ms (median)": round(idle * 1000, 4),
        "due in one second": burst,
        "fired/s": round(burst / fired),
        "lateness p99, ms": round(lateness * 1000),
        "recorded after, s": round(fired, 3),
        "started after, s": round(starts.last - started, 3),
        "memory growth, MiB": round(grown / 2**20, 1),
    }


def _fill_schedules(application: Application, size: int, burst: int) -> None:
    """Insert schedules, `burst` of which are due in the next minute."""
    soon = START.replace(second=0) + timedelta(minutes=1)
    engine = create_engine(application.settings.database_url)
    with engine.begin() as connection:
        for begin in range(0, size, FILL):
            rows = [
                schedule_values(_make_schedule(n, soon, due=n < burst))
                for n in range(begin, min(begin + FILL, size))
            ]
            if connection.dialect.name == "postgresql":
                _copy(connection, rows)
            else:
                connection.execute(insert(schedules), rows)
    with engine.begin() as connection:  # autovacuum does it on a server in use
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE workbell_schedules"))
    engine.dispose()


def _copy(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert rows by COPY: a million within a minute."""
    names = list(rows[0])
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY workbell_schedules ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(list({**row, "parameters": json_text(row["parameters"])}.values()))


def _make_schedule(n: int, soon: datetime, *, due: bool) -> Schedule:
    """Return schedule `n`: minutely if `due`, else with varying expressions."""
    rule = "* * * * *" if due else f"{n % 60} {n % 24} {n % 28 + 1} * *"
    if not due and n % EXPRESSIONS == 0:
        rule = "0 0 1 1 *"
    return Schedule(
        owner=UserId(n % 1000 + 1),
        task="bench.noop",
        cron=_rule(rule),
        parameters={"n": n},
        next_at=soon if due else soon + timedelta(days=1 + n % 300),
        created_at=START,
        updated_at=START,
    )


def _time_idle_ticks(application: Application) -> float:
    """Return the median duration of a tick with no due schedule, in seconds."""
    times = []
    for _ in range(IDLE_TICKS):
        started = time.perf_counter()
        application.ticker.tick()
        times.append(time.perf_counter() - started)
    return median(times)


def _fire_burst(application: Application, clock: _ManualClock, burst: int) -> tuple[float, float]:
    """Fire a burst; return its duration and p99 lateness, in seconds."""
    clock.at = clock.at.replace(second=0) + timedelta(minutes=1)
    late: list[float] = []
    started = time.perf_counter()
    done = 0
    while done < burst:
        done += (fired := application.ticker.tick())
        late += [time.perf_counter() - started] * fired
    return time.perf_counter() - started, percentiles(late)[1]
