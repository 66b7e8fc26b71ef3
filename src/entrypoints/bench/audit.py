"""Audit benchmark: cost of an entry, sealing, verification and lists."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from statistics import median
from unittest.mock import patch

from attrs import frozen

from workbell.adapters.sql.audit.repository import SqlAuditRepository
from workbell.adapters.system import SystemClock
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter
from workbell.domain.goals.goal import Category
from workbell.domain.identity.actor import SYSTEM, Actor, ClientInfo
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import UserId
from workbell.entrypoints.bench.http import PASSWORD
from workbell.entrypoints.bench.rows import FigureRows, Row
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bench.workers import percentiles
from workbell.entrypoints.bootstrap.application import Application
from workbell.services.goals.commands import NewGoal
from workbell.services.jobs.requests import NewJob

ROUNDS = 12
WRITES = 150
"""Writes per round; rounds with and without entries alternate."""
LISTS = 200
USERS = 50
BATCH = 1_000
CLIENT = ClientInfo(request_id="0" * 32, address="192.0.2.1", user_agent="Mozilla/5.0 (X11)")


def measure(target: Target, entries: int) -> list[Row]:
    """Run the benchmark on a log of that size; return its rows."""
    figures = FigureRows(digits=2)
    with target.application(()) as application:
        bench = _Bench(application, _sign_up(application))
        for name, write in bench.writes().items():
            _compare(figures, name, write)
    with target.application(()) as application:
        bench = _Bench(application, _sign_up(application))
        bench.fill(entries)
        figures.add("sealing", bench.seal(entries), "entries/s")
        figures.add("verification", bench.verify(entries), "entries/s")
        for name, ask in bench.lists().items():
            p50, p99 = percentiles([_milliseconds(ask) for _ in range(LISTS)])
            figures.add_latency(f"list of 20 of {entries:,} entries, {name}", p50, p99)
    return figures.rows


def _compare(figures: FigureRows, name: str, write: Callable[[], object]) -> None:
    """Measure a write with and without its entry, in turns, by time and processor time."""
    wall: dict[bool, list[float]] = {True: [], False: []}
    cpu: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * ROUNDS + 2):
        with_entry = number % 2 == 0
        with _entries(stored=with_entry):
            started, used = time.perf_counter(), time.process_time()
            for _ in range(WRITES):
                write()
        if number > 1:  # the first round of each warms up
            wall[with_entry].append((time.perf_counter() - started) / WRITES)
            cpu[with_entry].append((time.process_time() - used) / WRITES)
    figures.add(f"{name} without an entry", median(wall[False]) * 1e3, "ms")
    figures.add(f"{name} with an entry", median(wall[True]) * 1e3, "ms")
    for kind, times in (("time", wall), ("processor time", cpu)):
        overhead = median(times[True]) / median(times[False]) - 1
        figures.add(f"overhead of the entry on {name}, {kind}", overhead * 100, "%")


@contextmanager
def _entries(*, stored: bool) -> Generator[None]:
    """Store audit entries within the block, or drop them."""
    if stored:
        yield
        return
    with patch.object(SqlAuditRepository, "add", lambda _repository, _entry: None):
        yield


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def _sign_up(application: Application) -> Actor:
    """Return the actor of a new user."""
    new = Registration(username="ann", email="ann@example.org", password=PASSWORD)
    user = application.identity.register(new, CLIENT)
    return Actor.of(user, client_info=CLIENT)


@frozen
class _Bench:
    application: Application
    actor: Actor

    def writes(self) -> dict[str, Callable[[], object]]:
        """Return writes of different size: one of several statements, one of a single row."""
        goals, jobs, actor = self.application.goals, self.application.jobs, self.actor
        goal = goals.create(actor, NewGoal(goal_name="Swim", category=Category.PRIMARY)).goal
        numbers = iter(range(10**9))
        new = NewJob(task_definition="echo", parameters={})
        return {
            "editing a goal": lambda: goals.edit(
                actor, goal.number, {"goal_name": f"Swim {next(numbers)}"}
            ),
            "enqueueing a job": lambda: jobs.create(actor, new),
        }

    def fill(self, entries: int) -> None:
        """Insert entries of several users and projects, all of them old."""
        start = SystemClock().now() - timedelta(days=30)
        for first in range(0, entries, BATCH):
            with self.application.store.begin() as tx:
                for number in range(first, min(first + BATCH, entries)):
                    tx.audit.add(_entry(number, start))

    def seal(self, entries: int) -> float:
        """Seal all entries; return how many a second."""
        sealed, started = 0, time.perf_counter()
        while sealed < entries:
            sealed += self.application.audit.sealer.seal()
        return sealed / (time.perf_counter() - started)

    def verify(self, entries: int) -> float:
        """Verify the log; return how many entries a second."""
        started = time.perf_counter()
        report = self.application.audit.verifier.verify(SYSTEM)
        elapsed = time.perf_counter() - started
        assert report.is_intact and report.verified >= entries
        return report.verified / elapsed

    def lists(self) -> dict[str, Callable[[], Sequence[object]]]:
        """Return questions for a page: all, own, of an object, of an old month."""
        log = self.application.audit.log
        member = Actor(user_id=UserId(100), client_info=CLIENT)
        day = SystemClock().now() - timedelta(days=29)

        def ask(actor: Actor, filters: AuditFilter) -> Callable[[], Sequence[object]]:
            return lambda: log.find(actor, filters, before_id=10**12)[0]

        return {
            "all": ask(SYSTEM, AuditFilter()),
            "own": ask(member, AuditFilter()),
            "of an object": ask(SYSTEM, AuditFilter(model_name="task", object_id="7")),
            "of an old day": ask(
                SYSTEM, AuditFilter(date_from=day, date_to=day + timedelta(days=1))
            ),
        }


def _entry(number: int, start: datetime) -> AuditEntry:
    return AuditEntry(
        user_id=UserId(100 + number % USERS),
        action="UPDATE",
        model_name="task",
        object_id=str(number % 1_000),
        project_id=number % 20,
        changes={"status": ["todo", "done"], "version": [number, number + 1]},
        address=CLIENT.address,
        user_agent=CLIENT.user_agent,
        request_id=CLIENT.request_id,
        at=start + timedelta(seconds=number),
    )
