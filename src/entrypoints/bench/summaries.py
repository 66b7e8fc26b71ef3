"""Summaries benchmark: cache, a million entries, reminders."""

import gc
import http.client
import json
import logging
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

import click
import structlog
from attrs import Factory, define, evolve, frozen
from sqlalchemy import Connection, Table, create_engine, insert, make_url, select

from workbell.adapters.sql.schema.goals import goal_ledgers, goals, progress_days, progress_entries
from workbell.adapters.sql.schema.tables import users
from workbell.domain.errors import Conflict
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId
from workbell.entrypoints.bench.http import serving
from workbell.entrypoints.bench.rows import Row, report
from workbell.entrypoints.bench.targets import Target, open_application, resident_bytes
from workbell.entrypoints.bench.workers import percentiles
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.config.settings import Settings
from workbell.services.identity.actor_cache import ActorCache

REQUESTS = 100
WRITES = 500
SAMPLED = 200
GOALS = 5
FILL = 10_000
IDLE = timedelta(days=10)
YEAR = 365
KINDS = ("weekly", "monthly")

Figure = tuple[str, float, str]


@frozen
class SummaryClient:
    """An authenticated connection to the service."""

    connection: http.client.HTTPConnection
    token: str

    def request(self, method: str, path: str, body: Any = None) -> float:
        """Send a request; return its duration in ms; raises Conflict on an error."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        started = time.perf_counter()
        self.connection.request(method, path, content, headers)
        response = self.connection.getresponse()
        text = response.read()
        duration = (time.perf_counter() - started) * 1000
        if response.status >= 400:
            raise Conflict(f"{path} failed with {response.status}: {text.decode()[:200]}")
        return duration


def compare(settings: Settings, user_id: int) -> list[Row]:
    """Measure summaries of a user with and without cache; raises NotFound."""
    with _open_application(settings) as application:
        return _compare(application, UserId(user_id))


@contextmanager
def _open_application(settings: Settings) -> Generator[Application]:
    """Open the application without logs of requests."""
    log_config = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )
    try:
        with open_application(settings) as application:
            yield application
    finally:
        structlog.configure(**log_config)


def _compare(application: Application, user_id: UserId) -> list[Row]:
    """Alternate requests with and without cache; noise affects both."""
    rows: list[Row] = []
    with (
        _serve(application, [user_id], cached=False) as without,
        _serve(application, [user_id], cached=True) as cached,
        _progress_bar(len(KINDS) * REQUESTS, "Requesting summaries") as bar,
    ):
        for kind in KINDS:
            path = f"/api/v1/summary/{kind}"
            without.request("GET", path)
            cached.request("GET", path)
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(REQUESTS):
                times[0].append(without.request("GET", path))
                times[1].append(cached.request("GET", path))
                bar.update(1)
            rows.append({"summary": kind, "requests": 2 * REQUESTS} | _ratio(*times))
    return rows


def _ratio(without: Sequence[float], cached: Sequence[float]) -> Row:
    (p50, p95), (cached_p50, cached_p95) = _p50_p95(without), _p50_p95(cached)
    return {
        "p50, ms": p50,
        "p95, ms": p95,
        "cached p50, ms": cached_p50,
        "cached p95, ms": cached_p95,
        "ratio of p50": round(p50 / cached_p50, 2),
        "ratio of p95": round(p95 / cached_p95, 2),
    }


def _p50_p95(times: Sequence[float]) -> tuple[float, float]:
    p50, p95 = percentiles(times, 95)
    return round(p50, 3), round(p95, 3)


def measure(
    databases: Sequence[str], user_count: int, entries: int, inactive_count: int
) -> list[Row]:
    """
    Fill empty databases and run the benchmark; return its rows.

    An empty name means SQLite in a temporary folder.

    Raises:
        Conflict: A database is not empty.
    """
    rows: list[Row] = []
    for database in databases:
        with Target().settings() as scratch:
            url, key = database or scratch.database_url, secrets.token_hex(32)
            settings = evolve(scratch, database_url=url, secret_key=key)
            rows += _measure(settings, user_count, entries, inactive_count)
    return rows


def _measure(settings: Settings, user_count: int, entries: int, inactive_count: int) -> list[Row]:
    name = make_url(settings.database_url).get_backend_name()
    with _open_application(settings) as application:
        report(f"{name}: inserting {entries:,} entries of {user_count:,} users")
        _fill(settings.database_url, user_count, entries, inactive_count)
        gc.freeze()
        figures = [
            *_measure_one_user(application, user_count),
            *_measure_many_users(application, user_count),
            *_measure_writes(application),
            *_measure_reminders(application, inactive_count),
        ]
    return [
        {"database": name, "what": what, "figure": figure, "unit": unit}
        for what, figure, unit in figures
    ]


def _measure_one_user(application: Application, user_count: int) -> Iterator[Figure]:
    for row in _compare(application, UserId(user_count // 2 or 1)):
        for name, figure in islice(row.items(), 2, None):
            what, _, unit = name.partition(", ")
            yield f"{row['summary']} summary, {what}", figure, unit or "x"


def _measure_many_users(application: Application, user_count: int) -> Iterator[Figure]:
    """Yield figures of many users' first requests, which find nothing cached."""
    sample = Random(1).sample(range(1, user_count + 1), min(SAMPLED, user_count))  # noqa: S311
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with _serve(application, [UserId(n) for n in sample], cached=False) as first:
        for user_id in sample:
            client = evolve(first, token=str(user_id))
            client.request("GET", "/api/v1/auth/users/me")
            for kind in KINDS:
                times[kind].append(client.request("GET", f"/api/v1/summary/{kind}"))
    for kind, durations in times.items():
        yield from _figures(f"{kind} summary of {len(sample)} users in turn, no cache", durations)


def _measure_writes(application: Application) -> Iterator[Figure]:
    entry = {"progress": "more", "logged_hours": "00:30:00", "total_hours": "01:00:00"}
    with _serve(application, [UserId(1)], cached=True) as client:
        times = [client.request("POST", "/api/v1/goals/1/progress", entry) for _ in range(WRITES)]
    yield from _figures("log progress", times)


def _figures(what: str, times: Sequence[float]) -> Iterator[Figure]:
    p50, p95 = _p50_p95(times)
    yield f"{what}, p50", p50, "ms"
    yield f"{what}, p95", p95, "ms"


def _measure_reminders(application: Application, inactive_count: int) -> Iterator[Figure]:
    """Yield duration and memory growth of a run that emails inactive users."""
    before, started = resident_bytes(), time.perf_counter()
    with _progress_bar(inactive_count, "Reminding") as bar:
        _, emailed = application.reminders.remind_at_default_time(
            lambda checked: bar.update(checked - bar.pos)
        )
    seconds = round(time.perf_counter() - started, 2)
    yield f"reminder run that emails {emailed:,} users", seconds, "s"
    yield "memory growth of that run", round(max(0, resident_bytes() - before) / 2**20, 1), "MiB"


def _progress_bar(length: int, label: str) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)


@define(eq=False)
class _PreloadedActors(ActorCache):
    """An actor cache that also knows fixed actors, by token."""

    actors: dict[str, Actor] = Factory(dict[str, Actor])

    def find(self, token: str, now: datetime) -> Actor | None:
        return self.actors.get(token) or super().find(token, now)


@contextmanager
def _serve(
    application: Application, user_ids: Sequence[UserId], *, cached: bool
) -> Generator[SummaryClient]:
    """Serve users without rate limits; a user's token is their id."""
    with application.store.view() as tx:
        actors = _PreloadedActors(
            actors={str(one): Actor.of(tx.users.get(one)) for one in user_ids}
        )
    login_service = evolve(application.login, actor_cache=actors)
    dependencies = evolve(application.app_dependencies(), rate_limits=None, login=login_service)
    if not cached:
        uncached = evolve(application.summaries, cache_seconds=0)
        dependencies = evolve(dependencies, summaries=uncached)
    with (
        serving(application, dependencies, threads=1) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port)) as connection,
    ):
        yield SummaryClient(connection, str(user_ids[0]))


def _fill(url: str, user_count: int, entries: int, inactive_count: int) -> None:
    """Fill an empty database: first active users, then inactive ones."""
    now = datetime.now(UTC)
    engine = create_engine(url)
    with engine.begin() as db:
        if db.execute(select(users.c.id).limit(1)).first() is not None:
            raise Conflict("The database has users; this benchmark needs an empty database.")
    user_ids = range(1, user_count + inactive_count + 1)
    with engine.begin() as db, _progress_bar(entries, "Filling") as bar:
        _insert(db, users, (_user(n, now) for n in user_ids))
        ledgers = ({"owner": n, "last_goal": GOALS, "revision": 1} for n in user_ids)
        _insert(db, goal_ledgers, ledgers)
        _insert(db, goals, _goals(user_count, inactive_count, now))
        _insert(db, progress_entries, _entries(user_count, entries, now), bar.update)
        _insert(db, progress_days, _days(user_count, entries, now))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        _update_statistics(db)
    engine.dispose()


def _insert(
    db: Connection, table: Table, rows: Iterator[Row], on_rows: Callable[[int], None] | None = None
) -> None:
    while chunk := list(islice(rows, FILL)):
        db.execute(insert(table), chunk)
        if on_rows is not None:
            on_rows(len(chunk))


def _update_statistics(db: Connection) -> None:
    """Update the statistics of the database, and its sequences."""
    if db.dialect.name == "postgresql":
        for table in ("workbell_users", "workbell_goals", "workbell_progress_entries"):
            last = f"(SELECT max(id) FROM {table})"  # noqa: S608 - our own names
            db.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})")
        db.exec_driver_sql("VACUUM ANALYZE")
    elif db.dialect.name == "sqlite":
        db.exec_driver_sql("ANALYZE")


def _user(n: int, now: datetime) -> Row:
    name = f"user{n}"
    return {
        "id": n, "username": name, "username_key": name, "email": f"{name}@example.org",
        "email_key": f"{name}@example.org", "first_name": "", "last_name": "",
        "password_hash": "", "role": "MEMBER", "tier": "premium", "is_super_user": False,
        "is_active": True, "is_email_verified": True, "time_zone": "Europe/Berlin",
        "token_version": 0, "created_at": now,
    }  # fmt: skip


def _goals(user_count: int, inactive_count: int, now: datetime) -> Iterator[Row]:
    """Yield five goals of each active user, then one of each inactive user."""
    for n in range(user_count * GOALS):
        yield _goal(n + 1, n // GOALS + 1, n % GOALS + 1, now)
    for n in range(inactive_count):
        yield _goal(user_count * GOALS + n + 1, user_count + n + 1, 1, now - IDLE)


def _goal(goal_id: int, owner: int, number: int, active_at: datetime) -> Row:
    return {
        "id": goal_id, "owner": owner, "number": number, "name": f"Goal {number}",
        "category": "Primary", "is_complete": False, "deadline": None, "state": "active",
        "logged_seconds": 0, "total_seconds": 0, "last_entry": 10**6, "version": 1,
        "active_at": active_at, "created_at": active_at, "updated_at": active_at,
    }  # fmt: skip


def _entries(user_count: int, entries: int, now: datetime) -> Iterator[Row]:
    """Yield entries of the last year, evenly spread over users and days."""
    for n in range(entries):
        owner, goal = n % user_count + 1, n // user_count % GOALS
        at = now - timedelta(days=YEAR * (1 - (n // user_count + 1) / (entries // user_count + 1)))
        yield {
            "id": n + 1, "owner": owner, "goal_id": (owner - 1) * GOALS + goal + 1,
            "goal_number": goal + 1, "number": n + 1, "logged_seconds": 1800,
            "total_seconds": 3600, "started_at": None, "zone": "Europe/Berlin",
            "local_day": at.date(), "created_at": at, "updated_at": at, "note": "Some work",
        }  # fmt: skip


def _days(user_count: int, entries: int, now: datetime) -> Iterator[Row]:
    sums: Counter[tuple[int, int, date]] = Counter()
    for entry in _entries(user_count, entries, now):
        for goal_id in (0, entry["goal_id"]):
            key = (entry["owner"], goal_id, entry["local_day"])
            sums[key] += entry["logged_seconds"]
    for (owner, goal_id, day), seconds in sums.items():
        yield {"owner": owner, "goal_id": goal_id, "local_day": day, "seconds": seconds}
