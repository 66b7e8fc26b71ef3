"""The summaries benchmark: the cache, a million entries, reminders."""

import gc
import http.client
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

import click
import structlog
from attrs import Factory, define, evolve, frozen
from sqlalchemy import Connection, Table, create_engine, insert, make_url, select

from workbell.adapters.http.app import build_app
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.adapters.sql.schema.goals import goal_ledgers, goals, progress_days, progress_entries
from workbell.adapters.sql.schema.tables import users
from workbell.adapters.system import UuidIds
from workbell.domain.errors import Conflict
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId
from workbell.entrypoints.bench.targets import resident
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
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

Row = dict[str, Any]
Figure = tuple[str, float, str]
Say = Callable[[str], None]


@frozen
class Client:
    """One connection to the service, signed in as somebody."""

    connection: http.client.HTTPConnection
    token: str

    def ask(self, method: str, path: str, body: Any = None) -> float:
        """
        Send one request; return how long its answer took, in ms.

        Raises:
            Conflict: The answer is an error.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        begun = time.perf_counter()
        self.connection.request(method, path, sent, headers)
        answer = self.connection.getresponse()
        said = answer.read()
        took = (time.perf_counter() - begun) * 1000
        if answer.status >= 400:
            raise Conflict(f"{path} answered {answer.status}: {said.decode()[:200]}")
        return took


def compare(settings: Settings, user_id: int) -> list[Row]:
    """
    Return a row for each summary of a person: with and without the cache.

    Raises:
        NotFound: There is no such person.
        Unavailable: The store does not answer.
    """
    with _opened(settings) as application:
        return _compared(application, UserId(user_id))


@contextmanager
def _opened(settings: Settings) -> Generator[Application]:
    """Have the house; what it logs about requests is left out."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )
    application = build(settings)
    try:
        application.migrate_and_register()
        yield application
    finally:
        application.close()
        structlog.configure(**before)


def _compared(application: Application, user_id: UserId) -> list[Row]:
    """Measure both ways in turns, so that whatever else goes on meets both alike."""
    rows: list[Row] = []
    with (
        _served(application, [user_id], cached=False) as without,
        _served(application, [user_id], cached=True) as cached,
        _bar(len(KINDS) * REQUESTS, "Asking for summaries") as bar,
    ):
        for kind in KINDS:
            path = f"/api/v1/summary/{kind}"
            without.ask("GET", path)
            cached.ask("GET", path)
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(REQUESTS):
                times[0].append(without.ask("GET", path))
                times[1].append(cached.ask("GET", path))
                bar.update(1)
            rows.append({"summary": kind, "requests": 2 * REQUESTS} | _ratio(*times))
    return rows


def _ratio(without: Sequence[float], cached: Sequence[float]) -> Row:
    (p50, p95), (cached_p50, cached_p95) = _cuts(without), _cuts(cached)
    return {
        "p50, ms": p50,
        "p95, ms": p95,
        "cached p50, ms": cached_p50,
        "cached p95, ms": cached_p95,
        "ratio of p50": round(p50 / cached_p50, 2),
        "ratio of p95": round(p95 / cached_p95, 2),
    }


def _cuts(times: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(times, n=100)
    return round(cuts[49], 3), round(cuts[94], 3)


def measure(
    databases: Sequence[str], people: int, entries: int, reminded: int, say: Say
) -> list[Row]:
    """
    Return the rows of a benchmark over scratch databases, which it fills.

    An empty name stands for SQLite in a scratch folder.

    Raises:
        Conflict: A database is not empty.
    """
    rows: list[Row] = []
    for database in databases:
        with tempfile.TemporaryDirectory(prefix="workbell-bench-") as folder:
            url = database or f"sqlite:///{folder}/bench.db"
            key = UuidIds().new() + UuidIds().new()
            settings = Settings(data_dir=Path(folder), database_url=url, secret_key=key)
            rows += _measure(settings, people, entries, reminded, say)
    return rows


def _measure(settings: Settings, people: int, entries: int, reminded: int, say: Say) -> list[Row]:
    name = make_url(settings.database_url).get_backend_name()
    with _opened(settings) as application:
        say(f"{name}: filling in {entries:,} entries of {people:,} people")
        _fill(settings.database_url, people, entries, reminded)
        gc.freeze()
        found = [
            *_of_one(application, people),
            *_of_many(application, people),
            *_writes(application),
        ]
        found += _reminders(application, reminded)
    return [
        {"database": name, "what": what, "figure": figure, "unit": unit}
        for what, figure, unit in found
    ]


def _of_one(application: Application, people: int) -> Iterator[Figure]:
    for row in _compared(application, UserId(people // 2 or 1)):
        for name, figure in islice(row.items(), 2, None):
            what, _, unit = name.partition(", ")
            yield f"{row['summary']} summary, {what}", figure, unit or "x"


def _of_many(application: Application, people: int) -> Iterator[Figure]:
    """Yield the summaries of many people, each asked for once: nothing of theirs is warm."""
    chosen = Random(1).sample(range(1, people + 1), min(SAMPLED, people))  # noqa: S311
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with _served(application, [UserId(n) for n in chosen], cached=False) as first:
        for user_id in chosen:
            client = evolve(first, token=str(user_id))
            client.ask("GET", "/api/v1/auth/users/me")
            for kind in KINDS:
                times[kind].append(client.ask("GET", f"/api/v1/summary/{kind}"))
    for kind, found in times.items():
        yield from _figures(f"{kind} summary of {len(found)} people in turn, no cache", found)


def _writes(application: Application) -> Iterator[Figure]:
    entry = {"progress": "more", "logged_hours": "00:30:00", "total_hours": "01:00:00"}
    with _served(application, [UserId(1)], cached=True) as client:
        times = [client.ask("POST", "/api/v1/goals/1/progress", entry) for _ in range(WRITES)]
    yield from _figures("log progress", times)


def _figures(what: str, times: Sequence[float]) -> Iterator[Figure]:
    for name, figure in zip(("p50", "p95"), _cuts(times), strict=True):
        yield f"{what}, {name}", figure, "ms"


def _reminders(application: Application, reminded: int) -> Iterator[Figure]:
    """Yield how long a run took that mails everybody but the busy ones, and what it held."""
    before, begun, seen = resident(), time.perf_counter(), [0]
    with _bar(reminded, "Reminding") as bar:

        def watch(looked: int) -> None:
            bar.update(looked - seen[0])
            seen[0] = looked

        _, told = application.reminding.remind_at_default_time(watch)
    yield f"reminder run that mails {told:,} people", round(time.perf_counter() - begun, 2), "s"
    yield "memory growth of that run", round(max(0, resident() - before) / 2**20, 1), "MiB"


def _bar(length: int, label: str) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)


# ----------------------------------------------------------------------------- asking


@define(eq=False)
class _Known(ActorCache):
    """People whom the benchmark knows without a session of theirs, by name."""

    people: dict[str, Actor] = Factory(dict[str, Actor])

    def find(self, token: str, now: datetime) -> Actor | None:
        """Return whom a token names, or who asked with it a moment ago."""
        return self.people.get(token) or super().find(token, now)


@contextmanager
def _served(
    application: Application, people: Sequence[UserId], *, cached: bool
) -> Generator[Client]:
    """
    Have the service answer some people over HTTP, with or without its cache.

    Nobody is limited, and nothing of theirs is written: each one's token is
    their id. The client asks as the first of them.
    """
    with application.store.view() as tx:
        known = _Known(people={str(one): Actor.of(tx.users.get(one)) for one in people})
    signing_in = evolve(application.signing_in, actor_cache=known)
    dependencies = evolve(application.app_dependencies(), rate_limits=None, signing_in=signing_in)
    if not cached:
        dependencies = evolve(
            dependencies, summaries=evolve(application.summaries, cache_seconds=0)
        )
    server = HttpServer(
        build_app(dependencies), listen("127.0.0.1", 0), application.ids.new, threads=1
    )
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.address[1])
    try:
        yield Client(connection, str(people[0]))
    finally:
        connection.close()
        server.stop(0.0)


# ----------------------------------------------------------------------------- filling


def _fill(url: str, people: int, entries: int, reminded: int) -> None:
    """Fill an empty database: busy people first, then those who left their goal alone."""
    now = datetime.now(UTC)
    engine = create_engine(url)
    with engine.begin() as db:
        if db.execute(select(users.c.id).limit(1)).first() is not None:
            raise Conflict("This benchmark needs a database of its own: this one has users.")
    with engine.begin() as db, _bar(entries, "Filling") as bar:
        everybody = people + reminded
        _put(db, users, (_user(n, now) for n in range(1, everybody + 1)))
        _put(db, goal_ledgers, (_ledger(n) for n in range(1, everybody + 1)))
        _put(db, goals, _goals(people, reminded, now))
        _put(db, progress_entries, _entries(people, entries, now), bar.update)
        _put(db, progress_days, _days(people, entries, now))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        _settle(db)
    engine.dispose()


def _put(
    db: Connection, table: Table, rows: Iterator[Row], told: Callable[[int], None] | None = None
) -> None:
    while chunk := list(islice(rows, FILL)):
        db.execute(insert(table), chunk)
        if told is not None:
            told(len(chunk))


def _settle(db: Connection) -> None:
    """Have the database count its rows, and go on numbering where we have stopped."""
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


def _ledger(n: int) -> Row:
    return {"owner": n, "last_goal": GOALS, "revision": 1}


def _goals(people: int, reminded: int, now: datetime) -> Iterator[Row]:
    """Yield the goals of the busy people, five each, then one of everybody else's."""
    for n in range(people * GOALS):
        yield _goal(n + 1, n // GOALS + 1, n % GOALS + 1, now)
    for n in range(reminded):
        yield _goal(people * GOALS + n + 1, people + n + 1, 1, now - IDLE)


def _goal(goal_id: int, owner: int, number: int, active_at: datetime) -> Row:
    return {
        "id": goal_id, "owner": owner, "number": number, "name": f"Goal {number}",
        "category": "Primary", "is_complete": False, "deadline": None, "state": "active",
        "logged_seconds": 0, "total_seconds": 0, "last_entry": 10**6, "version": 1,
        "active_at": active_at, "created_at": active_at, "updated_at": active_at,
    }  # fmt: skip


def _entries(people: int, entries: int, now: datetime) -> Iterator[Row]:
    """Yield entries of the last year, by person and day as they would have come."""
    for n in range(entries):
        owner, goal = n % people + 1, n // people % GOALS
        at = now - timedelta(days=YEAR * (1 - (n // people + 1) / (entries // people + 1)))
        yield {
            "id": n + 1, "owner": owner, "goal_id": (owner - 1) * GOALS + goal + 1,
            "goal_number": goal + 1, "number": n + 1, "logged_seconds": 1800,
            "total_seconds": 3600, "started_at": None, "zone": "Europe/Berlin",
            "local_day": at.date(), "created_at": at, "updated_at": at, "note": "Some work",
        }  # fmt: skip


def _days(people: int, entries: int, now: datetime) -> Iterator[Row]:
    for entry in _entries(people, entries, now):
        yield {
            "entry_id": entry["id"], "local_day": entry["local_day"], "owner": entry["owner"],
            "goal_id": entry["goal_id"], "seconds": entry["logged_seconds"],
        }  # fmt: skip
