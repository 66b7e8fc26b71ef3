"""Faulty rows: a job that cannot be processed fails, and harms no other."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import Factory, define, evolve
from sqlalchemy import Text, literal_column, type_coerce, update

from tests.contract.factories import (
    FAILED,
    NOON,
    READY,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
    AnyStore,
    ManualClock,
    a_job,
    after,
    claim,
    ended,
    ids,
    in_concurrency_key,
    keep,
    see,
    stand,
)
from tests.services.engine import FixedRandomness
from workbell.adapters.file_store import LocalFileStore
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.sql.schema.tables import jobs as table
from workbell.adapters.sql.store import SqlStore
from workbell.adapters.system import UuidIds
from workbell.domain.errors import Contended, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Claim, LogLine, Outcome, Settlement
from workbell.domain.jobs.job import ClaimMode, Job, JobId, Progress
from workbell.domain.jobs.task import Tasks
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.jobs.views import JobFilter
from workbell.services.jobs.execution import ExecutionService
from workbell.services.jobs.task_definitions import TaskDefinitionService

WORKER = WorkerInfo(
    id="w", host="h", pid=1, started_at=NOON, seen_at=NOON, threads=2, running=1, queues=["default"]
)
BEFORE_ALL_TIMES = {"sqlite": "'0000-99-99'", "postgresql": "'-infinity'"}


@define
class RecordingReporter:
    """Records what was set aside."""

    reports: list[tuple[str, int]] = Factory(list[tuple[str, int]])

    def report(self, kind: str, row_id: int, reason: str) -> None:
        assert reason
        self.reports.append((kind, row_id))


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


@pytest.fixture
def execution(
    store: AnyStore, clock: ManualClock, reporter: RecordingReporter, tmp_path: Path
) -> ExecutionService[Any]:
    definitions = TaskDefinitionService(
        store=store, clock=clock, tasks=Tasks(), serializer=JsonSerializer()
    )
    return ExecutionService(
        store=store,
        clock=clock,
        randomness=FixedRandomness(),
        definitions=definitions,
        files=LocalFileStore(tmp_path, UuidIds()),
        lease=timedelta(seconds=30),
        reporter=reporter,
    )


def dialect(store: AnyStore) -> str:
    """Return the kind of a store, as SQLAlchemy names it."""
    if isinstance(store, MemoryStore):
        return "memory"
    with cast(SqlStore, store).view() as tx:
        return tx.db.dialect.name


def corrupt(store: AnyStore, job_id: int, **values: Any) -> None:
    """Write values into the row of a job that no caller could store."""
    if isinstance(store, MemoryStore):
        with store.begin() as tx:
            job = tx.tables.jobs.get(JobId(job_id))
            assert job is not None
            tx.tables.put_job(evolve(job, **values))
        return
    columns = {
        name: type_coerce(value, Text) if isinstance(value, str) else value
        for name, value in values.items()
    }
    with cast(SqlStore, store).begin() as tx:
        tx.db.execute(update(table).where(table.c.id == job_id).values(columns))


def take(execution: ExecutionService[Any]) -> list[int]:
    """Claim with the service; return the ids."""
    claims, _ = execution.claim("default", worker="w", limit=9, free_threads=9)
    return ids(claims)


def assert_quarantined(store: AnyStore, job: Job | Claim) -> None:
    """The job has failed, and can be read and listed."""
    row = see(store, job)
    assert (row.state, row.lease_until) == (FAILED, None)
    assert (row.reason or "").startswith("quarantined: ")
    assert row.ended_at is not None
    with store.view() as tx:
        listed = tx.jobs.find(ALL_OWNERS, JobFilter())
    assert job.id in ids(listed)


UNREADABLE: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "parameters that are no JSON": lambda _: {"parameters": "{broken"},
    "parameters that are an array": lambda kind: {"parameters": [1] if kind == "memory" else "[1]"},
    "a lone surrogate": lambda kind: {
        "parameters": "\ud800" if kind == "memory" else r'{"a":"\ud800"}'
    },
    "an unknown mode": lambda kind: {"parameters": ""} if kind == "memory" else {"mode": 9},
    "a time before all times": lambda kind: (
        {"due_at": literal_column(BEFORE_ALL_TIMES[kind])}
        if kind in BEFORE_ALL_TIMES
        else {"parameters": ""}
    ),
    "a limit that is a text": lambda kind: (
        {"timeout_seconds": "long"} if kind == "sqlite" else {"parameters": ""}
    ),
}
HARMLESS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "a huge time limit": lambda kind: {
        "timeout_seconds": 10**12 if kind in {"memory", "sqlite"} else 2**31 - 1
    },
    "a negative time limit": lambda _: {"timeout_seconds": -5},
    "an escaped NUL": lambda kind: {
        "parameters": {"a": "\0"} if kind == "memory" else r'{"a":"\u0000"}'
    },
    "a weight of 0": lambda _: {"weight": 0.0},
    "progress that is no JSON": lambda kind: {"progress": None if kind == "memory" else "{"},
}


# claim


@pytest.mark.parametrize("odd", UNREADABLE)
def test_a_claim_leaves_out_a_row_that_cannot_be_decoded(
    store: AnyStore, execution: ExecutionService[Any], reporter: RecordingReporter, odd: str
) -> None:
    first, bad, last = keep(store, a_job(), in_concurrency_key(), a_job())
    (waiting,) = keep(store, in_concurrency_key())
    corrupt(store, bad.id, **UNREADABLE[odd](dialect(store)))
    assert take(execution) == [first.id, last.id]
    assert stand(store, first, last) == [RUNNING, RUNNING]
    assert_quarantined(store, bad)
    assert reporter.reports == [("job", bad.id)]
    assert take(execution) == [waiting.id]  # its concurrency key is free again


@pytest.mark.parametrize("odd", HARMLESS)
def test_odd_values_that_can_be_decoded_do_not_stop_a_job(
    store: AnyStore, execution: ExecutionService[Any], reporter: RecordingReporter, odd: str
) -> None:
    bad, good = keep(store, a_job(due_at=after(1)), a_job(due_at=after(1)))
    corrupt(store, bad.id, **HARMLESS[odd](dialect(store)))
    cast(ManualClock, execution.clock).at = after(1)
    execution.sweep()
    claims, _ = execution.claim("default", worker="w", limit=9, free_threads=9)
    assert ids(claims) == [bad.id, good.id]
    assert all(claim.deadline >= claim.started_at for claim in claims)
    assert execution.heartbeat(claims, WORKER) == {bad.id: False, good.id: False}
    execution.settle([ended(claim) for claim in claims])
    assert stand(store, bad, good) == [SUCCEEDED, SUCCEEDED]
    assert reporter.reports == []


def test_outcomes_are_committed_beside_a_claim_that_cannot_be_decoded(
    store: AnyStore, execution: ExecutionService[Any]
) -> None:
    done, bad = keep(store, a_job(), a_job(due_at=after(1)))
    (work,) = claim(store)
    cast(ManualClock, execution.clock).at = after(1)
    execution.sweep()
    corrupt(store, bad.id, parameters="{broken")
    claims, accepted = execution.claim(
        "default", worker="w", limit=9, free_threads=9, finished=[ended(work)]
    )
    assert (list(claims), accepted) == ([], {done.id})
    assert stand(store, done) == [SUCCEEDED]
    assert_quarantined(store, bad)


# heartbeat, sweep, settle, note


def two_claims(store: AnyStore, **fields: Any) -> tuple[Claim, Claim]:
    """Return a claim that will be faulty, and a good one."""
    keep(store, a_job(**fields), a_job(**fields))
    first, second = claim(store)
    return first, second


@pytest.fixture
def failing(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Exception], None]:
    """Return a function that makes a method fail whenever job 1 is among its jobs."""
    with store.view() as tx:
        kind, logs = type(tx.jobs), type(tx.logs)

    def fail(method: str, error: Exception) -> None:
        owner = logs if method == "append" else kind
        original = getattr(owner, method)

        def wrapper(repository: Any, *arguments: Any, **options: Any) -> Any:
            if concerns(arguments, options):
                raise error
            return original(repository, *arguments, **options)

        monkeypatch.setattr(owner, method, wrapper)

    def concerns(arguments: Any, options: Any) -> bool:
        if "only" in options:
            return options["only"] in {None, 1}
        rows = arguments[0]
        if isinstance(rows, int):
            return rows == 1
        return any((row.id if isinstance(row, Settlement) else row[0]) == 1 for row in rows)

    return fail


BROKEN = ZeroDivisionError("broken")


def test_the_heartbeat_renews_the_other_leases(
    store: AnyStore,
    execution: ExecutionService[Any],
    failing: Callable[[str, Exception], None],
    reporter: RecordingReporter,
) -> None:
    bad, good = two_claims(store)
    failing("renew_leases", BROKEN)
    cast(ManualClock, execution.clock).at = after(20)
    assert execution.heartbeat([bad, good], WORKER) == {good.id: False}
    assert see(store, good).lease_until == after(50)
    assert_quarantined(store, bad)
    assert reporter.reports == [("job", bad.id)]


@pytest.mark.parametrize("error", [Unavailable("away"), Contended()])
def test_no_job_is_quarantined_because_the_store_is_unavailable(
    store: AnyStore,
    execution: ExecutionService[Any],
    failing: Callable[[str, Exception], None],
    error: Exception,
) -> None:
    bad, good = two_claims(store)
    for method in ("renew_leases", "record_progress", "settle", "release"):
        failing(method, error)
    notes = [(each, Progress(1)) for each in (bad, good)]
    for call in (
        lambda: execution.heartbeat([bad, good], WORKER),
        lambda: execution.record_progress(notes, {}),
        lambda: execution.settle([ended(bad), ended(good)]),
        lambda: execution.release([bad, good]),
    ):
        with pytest.raises(Unavailable):
            call()
    assert stand(store, bad.id, good.id) == [RUNNING, RUNNING]


def test_an_unknown_state_does_not_stop_the_heartbeat(
    store: AnyStore, execution: ExecutionService[Any]
) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("rows in memory have a type")
    bad, good = two_claims(store)
    corrupt(store, bad.id, state=99)
    assert execution.heartbeat([bad, good], WORKER) == {good.id: False}
    assert_quarantined(store, bad)


def test_the_heartbeat_does_not_read_parameters(
    store: AnyStore, execution: ExecutionService[Any]
) -> None:
    bad, good = two_claims(store)
    corrupt(store, bad.id, parameters="{broken")
    assert set(execution.heartbeat([bad, good], WORKER)) == {bad.id, good.id}


def test_a_sweep_stages_the_other_jobs(
    store: AnyStore,
    execution: ExecutionService[Any],
    failing: Callable[[str, Exception], None],
) -> None:
    bad, good = keep(store, a_job(due_at=after(5)), a_job(due_at=after(5)))
    failing("stage", BROKEN)
    cast(ManualClock, execution.clock).at = after(5)
    assert execution.sweep().staged == 1
    assert stand(store, good) == [READY]
    assert_quarantined(store, bad)


def test_a_time_that_cannot_be_read_does_not_stop_the_sweep(
    store: AnyStore, execution: ExecutionService[Any]
) -> None:
    bad, good = keep(store, a_job(due_at=after(5)), a_job(due_at=after(5)))
    if (time := BEFORE_ALL_TIMES.get(dialect(store))) is None:
        pytest.skip("the store cannot hold such a time")
    corrupt(store, bad.id, due_at=literal_column(time))
    cast(ManualClock, execution.clock).at = after(5)
    execution.sweep()
    execution.sweep()
    assert stand(store, good) == [READY]
    assert execution.next_due() is None


def test_the_reaper_reads_no_parameters(store: AnyStore, execution: ExecutionService[Any]) -> None:
    bad, good = two_claims(store, parameters={"a": 1})
    corrupt(store, bad.id, parameters="{broken")
    with store.view() as tx:
        assert [each.parameters for each in tx.jobs.expired(after(31))] == [{}, {}]
    cast(ManualClock, execution.clock).at = after(31)
    assert execution.sweep().reaped == 2
    assert stand(store, bad.id, good.id) == [SCHEDULED, SCHEDULED]


def test_the_reaper_closes_the_other_jobs(
    store: AnyStore,
    execution: ExecutionService[Any],
    failing: Callable[[str, Exception], None],
) -> None:
    bad, good = two_claims(store)
    if isinstance(store, MemoryStore):
        failing("expired", BROKEN)
    else:
        corrupt(store, bad.id, mode=9)
    cast(ManualClock, execution.clock).at = after(31)
    assert execution.sweep().reaped == 1
    assert stand(store, good.id) == [SCHEDULED]
    assert_quarantined(store, bad)


@pytest.mark.parametrize("fields", [{}, {"result": "\ud800"}, {"error": "\ud800"}])
def test_the_other_outcomes_are_committed(
    store: AnyStore,
    execution: ExecutionService[Any],
    failing: Callable[[str, Exception], None],
    fields: Mapping[str, Any],
) -> None:
    bad, good = two_claims(store)
    if not fields or isinstance(store, MemoryStore):
        failing("settle", BROKEN)
    faulty = evolve(ended(bad), **fields)
    claims, accepted = execution.claim(
        "default", worker="w", limit=1, free_threads=1, finished=[faulty, ended(good)]
    )
    if not fields and dialect(store) == "postgresql":  # settles and claims by one statement
        assert accepted == {bad.id, good.id}
        return
    assert (list(claims), accepted) == ([], {good.id})
    assert stand(store, good.id) == [SUCCEEDED]
    assert_quarantined(store, bad)


@pytest.mark.parametrize("method", ["record_progress", "append"])
def test_the_other_notes_are_stored(
    store: AnyStore,
    execution: ExecutionService[Any],
    failing: Callable[[str, Exception], None],
    method: str,
) -> None:
    bad, good = two_claims(store)
    failing(method, BROKEN)
    execution.record_progress(
        [(bad, Progress(1)), (good, Progress(2))],
        {each.id: [LogLine(1, 1, NOON, "info", "line")] for each in (bad, good)},
    )
    assert see(store, good).progress == Progress(2)
    with store.view() as tx:
        assert len(tx.logs.lines(good.id)) == 1
    assert_quarantined(store, bad)


@pytest.mark.parametrize("note", [Progress(1, None, "\ud800"), Progress(cast(float, {1: b""}))])
def test_progress_that_cannot_be_written_loses_no_other(
    store: AnyStore, execution: ExecutionService[Any], note: Progress
) -> None:
    bad, good = two_claims(store)
    execution.record_progress([(bad, note), (good, Progress(2))], {})
    assert see(store, good).progress == Progress(2)


def test_a_log_line_that_cannot_be_written_loses_no_other(
    store: AnyStore, execution: ExecutionService[Any]
) -> None:
    bad, good = two_claims(store)
    lines = {
        bad.id: [LogLine(1, 1, NOON, "info", "\ud800\0")],
        good.id: [LogLine(1, 1, NOON, "info", "good")],
    }
    execution.record_progress([], lines)
    with store.view() as tx:
        assert [line.text for line in tx.logs.lines(good.id)] == ["good"]


def test_the_other_claims_are_released(
    store: AnyStore,
    execution: ExecutionService[Any],
    failing: Callable[[str, Exception], None],
) -> None:
    bad, good = two_claims(store)
    failing("release", BROKEN)
    assert execution.release([bad, good]) == {good.id}
    assert stand(store, good.id) == [READY]
    assert_quarantined(store, bad)


# quarantine


def test_only_the_job_with_the_token_and_the_attempt_is_quarantined(store: AnyStore) -> None:
    work, _ = two_claims(store)
    for guard in ({"token": work.token + 1}, {"attempt": 2}):
        with store.begin() as tx:
            assert tx.jobs.quarantine(work.id, "no", NOON, **guard) is None
    assert stand(store, work.id) == [RUNNING]
    with store.begin() as tx:
        settled = tx.jobs.quarantine(work.id, "odd", after(1), token=work.token, attempt=1)
    assert settled is not None
    assert (settled.id, settled.token, settled.state) == (work.id, work.token, FAILED)
    assert (settled.outcome, settled.error, settled.attempt) == (Outcome.FAILED, "odd", 1)
    row = see(store, work)
    assert (row.state, row.reason, row.ended_at) == (FAILED, "odd", after(1))
    assert (row.mode, row.progress, row.result) == (ClaimMode.ORDINARY, None, None)
    with store.begin() as tx:
        assert tx.jobs.quarantine(work.id, "again", after(2)) is None


def test_a_quarantined_job_is_shown_with_the_text_of_its_parameters(store: AnyStore) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("rows in memory have a type")
    (job,) = keep(store, a_job())
    corrupt(store, job.id, parameters="{broken", missed="?", result="?")
    assert see(store, job).parameters == {"unreadable": "{broken"}
    assert see(store, job).missed is None
