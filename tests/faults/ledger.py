"""Ledger of a fault: compares requests, database rows and records of bodies."""

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import define, field
from sqlalchemy import Engine, NullPool, create_engine, func, select, update
from sqlalchemy.exc import DBAPIError

from tests.faults.cluster import Client, Cluster
from tests.faults.private import wait_until
from workbell.adapters.sql.jobs.logs import RESERVED
from workbell.adapters.sql.schema.tables import artifacts, attempts, jobs, schedules
from workbell.domain.jobs.job import JobState
from workbell.domain.schedules.ticks import SkipReason

PATIENCE = 120.0
MINUTE = timedelta(minutes=1)
_NO_EFFECT = ("lost", "timed_out")
PAUSED = f"schedule {SkipReason.PAUSED}"
_JOB_COLUMNS = (
    jobs.c.id,
    jobs.c.state,
    jobs.c.reason,
    jobs.c.idempotency_key,
    jobs.c.schedule_id,
    jobs.c.tick,
    jobs.c.missed,
)
_ATTEMPT_COLUMNS = (attempts.c.job_id, attempts.c.number, attempts.c.outcome)


@define
class Row:
    """
    The result of one fault.

    `lost` counts accepted jobs without an outcome, `doubled` those with two.
    `rerun` counts bodies that started again, `repeated` those of them whose
    earlier run had ended; `refused` counts stale outcomes.
    """

    fault: str
    name: str
    injected: str
    database: str = ""
    jobs: int = 0
    ticks: int = 0
    lost: int = 0
    doubled: int = 0
    rerun: int = 0
    repeated: int = 0
    refused: int = 0
    drain: float = 0.0
    note: str = ""
    wrong: list[str] = field(factory=list[str])
    losses: list[str] = field(factory=list[str])

    @property
    def clean(self) -> bool:
        """Whether all guarantees hold."""
        return not (self.lost or self.doubled or self.wrong)

    def lose(self, what: str, lost: bool = True) -> None:
        """Count and describe a loss."""
        if lost:
            self.lost += 1
            self.losses.append(what)

    def expect(self, holds: bool, problem: str) -> None:
        """Record a problem unless the condition holds."""
        if not holds:
            self.wrong.append(problem)


@define
class Load:
    """Clients that enqueue jobs with idempotency keys, and retry until accepted."""

    client: Client
    threads: int = 3
    pause: float = 0.01
    tasks: tuple[str, ...] = ("fault.work", "fault.batch")
    longest_ms: int = 40
    accepted: list[str] = field(factory=list[str])
    slowest: float = 0.0
    _stop: threading.Event = field(factory=threading.Event)
    _running: list[threading.Thread] = field(factory=list[threading.Thread])

    def start(self) -> "Load":
        """Start the clients."""
        self._running = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(self.threads)
        ]
        for thread in self._running:
            thread.start()
        return self

    def end(self) -> None:
        """Stop the clients after their current request."""
        self._stop.set()
        for thread in self._running:
            thread.join()

    def enqueue(self, task: str, parameters: Mapping[str, Any]) -> int:
        """Enqueue a job, with retries; return its id."""
        key = uuid4().hex
        body = {"task_definition": task, "parameters": dict(parameters)}
        began = time.monotonic()
        status, response = self.client.call_with_retry(
            "POST", "/api/v1/jobs", body, {"Idempotency-Key": key}
        )
        assert status in (200, 201), response
        self.accepted.append(key)
        self.slowest = max(self.slowest, time.monotonic() - began)
        return int(response["id"])

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        n = 0
        while not self._stop.wait(self.pause):
            n += 1
            ms = chance.randrange(self.longest_ms)
            self.enqueue(chance.choice(self.tasks), {"n": n, "ms": ms, "file": n % 10 == 0})


@define(eq=False)
class Ledger:
    """
    Accounts for all jobs since it was created.

    Jobs with lower ids are ignored, so one installation can be used for
    several faults.
    """

    cluster: Cluster
    mark: int = 0
    schedules: dict[int, datetime] = field(factory=dict[int, datetime])
    horizon: datetime | None = None

    def __attrs_post_init__(self) -> None:
        self.mark = self._value(select(func.coalesce(func.max(jobs.c.id), 0)))

    @cached_property
    def engine(self) -> Engine:
        """Direct connections to the database."""
        return create_engine(
            self.cluster.database.url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )

    def schedule(self, count: int, minutes: int, **fields: Any) -> list[int]:
        """Create minutely schedules that missed the last `minutes` ticks."""
        body = {
            "task_definition": "fault.batch", "cron_expression": "* * * * *", "parameters": {},
            "misfire_policy": "all", "overlap_policy": "allow_all", **fields,
        }  # fmt: skip
        made: list[int] = []
        for _ in range(count):
            status, response = self.cluster.admin.call_with_retry("POST", "/api/v1/schedules", body)
            assert status == 201, response
            made.append(int(response["id"]))
        if minutes:
            self.age_schedules(made, minutes)
        return made

    def age_schedules(self, ids: Collection[int], minutes: int) -> None:
        """Move the next run of schedules back, as if no scheduler had run since."""
        c = schedules.c
        with self.engine.connect() as db:
            rows = db.execute(select(c.id, c.next_at).where(c.id.in_(ids))).all()
            for number, next_at in rows:
                since = next_at - minutes * MINUTE
                moved = {"next_at": since, "version": c.version + 1}
                db.execute(update(schedules).where(c.id == number).values(moved))
                self.schedules[number] = since

    def drained(self) -> bool:
        """Whether no job waits or runs, and no tick is due."""
        c = jobs.c
        open_ = select(c.id).where(c.id > self.mark, c.state < int(JobState.SUCCEEDED)).limit(1)
        with self.engine.connect() as db:
            if db.execute(open_).first() is not None:
                return False
            next_runs = db.execute(
                select(schedules.c.next_at).where(schedules.c.id.in_(self.schedules))
            ).scalars()
            now = datetime.now().astimezone()
            return all(next_at is None or next_at > now for next_at in next_runs)

    def drain(self) -> float:
        """
        Wait until all jobs have ended, pause the schedules; return the seconds waited.

        A tick between the two is accounted for as well: its job ends, or the pause
        cancels it.
        """
        began = time.monotonic()
        with suppress(AssertionError):  # unfinished jobs are counted as lost
            wait_until(self._safely_drained, "everything to end", PATIENCE)
        took = time.monotonic() - began
        for number in self.schedules:
            self.cluster.admin.call_with_retry(
                "PATCH", f"/api/v1/schedules/{number}", {"is_active": False}
            )
        with suppress(AssertionError):
            wait_until(self._safely_drained, "the last runs to end", PATIENCE)
        return took

    def account(
        self,
        row: Row,
        accepted: Collection[str] = (),
        ends: Collection[JobState] = (JobState.SUCCEEDED,),
        *,
        refusals: bool = False,
    ) -> Row:
        """
        Fill a row with the counts; `ends` are the allowed final states of jobs.

        With `refusals`, if no process was killed, a body that ended without
        effect is counted as a refused outcome.
        """
        row.database = self.cluster.database.kind
        job_rows = self._rows(select(*_JOB_COLUMNS).where(jobs.c.id > self.mark))
        tried = self._rows(select(*_ATTEMPT_COLUMNS).where(attempts.c.job_id > self.mark))
        keys = Counter(job.idempotency_key for job in job_rows)
        allowed = {int(state) for state in (*ends, JobState.SKIPPED)}
        row.jobs = len(accepted)
        for key in accepted:
            row.lose(f"job with the key {key} is not stored", keys[key] == 0)
        for job in job_rows:
            is_expected = job.state in allowed or job.reason == PAUSED
            row.lose(f"job {job.id} is {JobState(job.state).name}: {job.reason}", not is_expected)
        row.doubled += sum(keys[key] > 1 for key in accepted)
        ends_of = Counter(t.job_id for t in tried if t.outcome == "succeeded")
        row.doubled += sum(count > 1 for count in ends_of.values())
        self._ticks(row, job_rows)
        self._bodies(row, tried, refusals=refusals)
        self._files(row)
        return row

    def _ticks(self, row: Row, job_rows: list[Any]) -> None:
        c = schedules.c
        cursors = {
            r.id: r.cursor for r in self._rows(select(schedules).where(c.id.in_(self.schedules)))
        }
        found: dict[int, Counter[datetime]] = {number: Counter() for number in self.schedules}
        for job in job_rows:
            if job.schedule_id in found and job.tick is not None:
                found[job.schedule_id].update(covered_ticks(job))
        for number, since in self.schedules.items():
            until = cursors.get(number)
            if until is not None and self.horizon is not None:
                until = min(until, self.horizon)
            expected = set(minutes(since, until)) if until is not None else set()
            row.ticks += len(expected)
            for tick in sorted(expected - found[number].keys()):
                row.lose(f"schedule {number} has no job for {tick}")
            row.lose(f"schedule {number} was never looked at", not expected)
            row.doubled += sum(count - 1 for count in found[number].values())

    def _bodies(self, row: Row, tried: list[Any], *, refusals: bool) -> None:
        outcomes = {(t.job_id, t.number): t.outcome for t in tried}
        begun: Counter[tuple[int, int]] = Counter()
        ended: Counter[int] = Counter()
        without_effect = 0
        for line in self.cluster.notes.read_text().splitlines():
            word, job, number, _ = line.split()
            one = int(job), int(number)
            if one[0] <= self.mark:
                continue
            if word == "began":
                begun[one] += 1
                continue
            ended[one[0]] += 1
            if outcomes.get(one) in _NO_EFFECT:
                without_effect += 1
        row.repeated += sum(count - 1 for count in ended.values())
        row.refused = without_effect if refusals else 0
        row.doubled += sum(count - 1 for count in begun.values())
        bodies = Counter(job for job, _ in begun)
        row.rerun += sum(count - 1 for count in bodies.values())

    def _files(self, row: Row) -> None:
        """Count artifacts whose file is missing or differs; files need a row."""
        folder = self.cluster.folder / "data" / "artifacts"
        files = {path.stem: path for path in folder.rglob("*") if path.is_file()}
        stored = self._rows(select(artifacts))
        for file in stored:
            if file.job_id > self.mark and not file.name.startswith(RESERVED):
                whole = file.key in files and _sha256(files[file.key]) == file.sha256
                row.lose(f"file {file.name} of job {file.job_id} is missing or differs", not whole)
        unknown = files.keys() - {file.key for file in stored}
        row.expect(not unknown, f"{len(unknown)} files belong to no job")

    def bodies(self) -> tuple[int, int]:
        """Return how many bodies have started and ended."""
        words = Counter(
            line.split()[0]
            for line in self.cluster.notes.read_text().splitlines()
            if int(line.split()[1]) > self.mark
        )
        return words["began"], words["ended"]

    def running(self) -> Counter[str]:
        """Return the number of running jobs by worker id."""
        c = jobs.c
        query = select(c.worker).where(c.id > self.mark, c.state == int(JobState.RUNNING))
        return Counter(each.worker for each in self._rows(query))

    def count_attempts(self, ids: Collection[int]) -> Counter[int]:
        """Return the number of attempts by job."""
        query = select(attempts.c.job_id).where(attempts.c.job_id.in_(ids))
        return Counter(each.job_id for each in self._rows(query))

    def count_outcomes(self, outcome: str) -> int:
        """Return the number of attempts with an outcome."""
        query = select(attempts.c.job_id).where(
            attempts.c.job_id > self.mark, attempts.c.outcome == outcome
        )
        return len(self._rows(query))

    def states(self, ids: Collection[int]) -> Counter[JobState]:
        """Count jobs by state."""
        found = self._rows(select(jobs.c.state).where(jobs.c.id.in_(ids)))
        return Counter(JobState(each.state) for each in found)

    def _safely_drained(self) -> bool:
        try:
            return self.drained()
        except DBAPIError:  # the database may be unavailable
            return False

    def _rows(self, query: Any) -> list[Any]:
        with self.engine.connect() as db:
            return list(db.execute(query).all())

    def _value(self, query: Any) -> int:
        with self.engine.connect() as db:
            return int(db.execute(query).scalar_one())


def minutes(first: datetime, last: datetime) -> list[datetime]:
    """Return all minutes from first to last, inclusive."""
    return [first + n * MINUTE for n in range(round((last - first) / MINUTE) + 1)]


def covered_ticks(job: Any) -> list[datetime]:
    """Return the ticks of a job: its own, or a range of missed ones."""
    if job.missed is None:
        return [job.tick]
    first = datetime.fromisoformat(job.missed["first"])
    last = datetime.fromisoformat(job.missed["last"])
    return minutes(first, last)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
