"""Every due query uses its index on servers, too, and none of them sorts."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.adapters.sql.server_plans import Ask, plans_of
from tests.contract.factories import ALICE, NOON, ManualClock, a_job, a_schedule, after
from tests.contract.servers import SERVERS, Server, server
from workbell.adapters.sql.jobs.claims import RUNNING_BY_KEY
from workbell.adapters.sql.schema.tables import jobs
from workbell.adapters.sql.store import SqlStore, SqlTx
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Claim, Outcome, TaskResult, settle
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.claim_limits import ClaimLimits
from workbell.domain.jobs.job import ClaimMode, JobId, JobState
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.schedule import ScheduleId
from workbell.domain.schedules.ticks import fast_path_step
from workbell.ports.jobs.views import JobFilter

pytestmark = pytest.mark.integration

SPREAD = {
    "postgresql": """
        INSERT INTO workbell_jobs (state, queue, priority, fair_tag, fair_key, weight, due_at, concurrency_key,
            concurrency_limit, mode, fail_when_lost, attempt, uncharged, max_attempts, timeout_seconds, token,
            lease_until, cancel_requested, owner, task, name, origin, schedule_id, tick, hidden,
            created_at, queued_at, started_at, ended_at, description, parameters)
        SELECT CASE WHEN n % 50 < 4 THEN n % 50 ELSE 4 + n % 3 END, 'default', 0, n, n % 20, 1,
            timestamp '2030-01-01' + n * interval '1 second',
            CASE WHEN n % 10 = 1 THEN 'concurrency_key' || n % 200 END, 9, 1, false, 1, 0, 3, 60, 1,
            CASE WHEN n % 50 = 3 THEN timestamp '2030-01-01' + n * interval '1 second' END, false,
            n % 1000, 'echo', 'job', 'api', CASE WHEN n % 2 = 0 THEN n % 500 END, NULL, false,
            timestamp '2030-01-01', NULL, timestamp '2030-01-01',
            CASE WHEN n % 50 >= 4 THEN timestamp '2030-01-01' + n * interval '1 second' END,
            '', '{}'
        FROM generate_series(1, 20000) AS n
    """,
    "mariadb": """
        INSERT INTO workbell_jobs (state, queue, priority, fair_tag, fair_key, weight, due_at, concurrency_key,
            concurrency_limit, mode, fail_when_lost, attempt, uncharged, max_attempts, timeout_seconds, token,
            lease_until, cancel_requested, owner, task, name, origin, schedule_id, tick, hidden,
            created_at, queued_at, started_at, ended_at, description, parameters)
        SELECT IF(seq MOD 50 < 4, seq MOD 50, 4 + seq MOD 3), 'default', 0, seq, seq MOD 20, 1,
            '2030-01-01' + INTERVAL seq SECOND, IF(seq MOD 10 = 1, CONCAT('concurrency_key', seq MOD 200),
            NULL), 9, 1, 0, 1, 0, 3, 60, 1,
            IF(seq MOD 50 = 3, '2030-01-01' + INTERVAL seq SECOND, NULL), 0,
            seq MOD 1000, 'echo', 'job', 'api', IF(seq MOD 2 = 0, seq MOD 500, NULL), NULL, 0,
            '2030-01-01', NULL, '2030-01-01',
            IF(seq MOD 50 >= 4, '2030-01-01' + INTERVAL seq SECOND, NULL), '', '{}'
        FROM seq_1_to_20000
    """,
}


@pytest.fixture(scope="module", params=SERVERS)
def database(request: pytest.FixtureRequest) -> Server:
    """Return a database on each kind of server."""
    return server(request.param)


@pytest.fixture(scope="module")
def store(database: Server) -> Iterator[SqlStore]:
    """Return a store with 20,000 jobs in every state, and 2,000 schedules."""
    store = database.store(ManualClock())
    with store._connections.writing() as db:
        db.exec_driver_sql(SPREAD[database.kind].replace("%", "%%"))
    with store.begin() as tx:
        for n in range(2_000):
            tx.schedules.add(a_schedule(owner=n % 400, next_at=after(n)))
    with store._connections.migrating() as db:
        for table in ("workbell_jobs", "workbell_schedules"):
            db.exec_driver_sql(
                f"ANALYZE {'' if database.kind == 'postgresql' else 'TABLE '}{table}"
            )
    yield store
    database.store(ManualClock())


def claiming(tx: SqlTx) -> object:
    later = NOON + timedelta(seconds=30)
    return tx.jobs.claim(
        "default", worker="w", now=NOON, lease_until=later, limit=5, free_threads=5
    )


LIMITS = ClaimLimits(excluded_tasks=["a", "b"], owner_threads=2, running={"1": 2, "2": 1, "3": 2})


def claiming_within_limits(tx: SqlTx) -> object:
    later = NOON + timedelta(seconds=30)
    return tx.jobs.claim(
        "default", worker="w", now=NOON, lease_until=later, limit=5, free_threads=5, limits=LIMITS
    )


def counting_running(tx: SqlTx) -> object:
    statement, values = RUNNING_BY_KEY.compiled(tx.db, ())
    return tx.db.exec_driver_sql(statement, values)


def sorts(plan: str) -> bool:
    """Whether rows of a table are sorted; the few that a CTE has picked may be."""
    if not plan.startswith("["):
        return "filesort" in plan
    return sorts_rows(json.loads(plan)[0]["Plan"], sorted_above=False)


def sorts_rows(node: dict[str, Any], *, sorted_above: bool) -> bool:
    if sorted_above and node.get("Relation Name") in {"workbell_jobs", "workbell_schedules"}:
        return True
    here = sorted_above or "Sort" in node["Node Type"]
    return any(
        sorts_rows(part, sorted_above=here and part["Parent Relationship"] != "InitPlan")
        for part in node.get("Plans", ())
    )


SCANS = re.compile(r'"Seq Scan"|"table_name": "workbell_(jobs|schedules)",\s+"access_type": "ALL"')
LARGE_SCANS = re.compile(
    r'"Seq Scan"[^{}]*"Relation Name": "workbell_(jobs|schedules|concurrency_keys)"'
)
OF_FEW = {"unfinished", "of an owner", "runs of a schedule to cancel"}
"""For about 20 rows a server may prefer sorting."""
EARLY = NOON - timedelta(hours=11)


def cancelling(schedule_id: int | None = None) -> Cancellation:
    return Cancellation(
        owner=UserId(77),
        schedule_id=schedule_id,
        last_job_id=JobId(9_999_999),
        reason="paused",
        started_at=NOON,
    )


QUESTIONS: dict[str, tuple[Ask, str]] = {
    "stage": (lambda tx: tx.jobs.stage(EARLY, limit=10), "workbell_jobs_stage_idx"),
    "claim": (claiming, "workbell_jobs_claim_idx"),
    "claim within limits": (claiming_within_limits, "workbell_jobs_claim_idx"),
    "expired": (lambda tx: tx.jobs.expired(EARLY, limit=10), "workbell_jobs_lease_idx"),
    "next due": (lambda tx: tx.jobs.next_due(), "workbell_jobs_stage_idx"),
    "waiting": (lambda tx: tx.jobs.count_waiting(ALICE, limit=9), "workbell_jobs_waiting_idx"),
    "unfinished": (lambda tx: tx.jobs.unfinished([2]), "workbell_jobs_unfinished_idx"),
    "jobs of an owner to cancel": (
        lambda tx: tx.cancellations.cancel_jobs(cancelling(), NOON),
        "workbell_jobs_waiting_idx",
    ),
    "runs of a schedule to cancel": (
        lambda tx: tx.cancellations.cancel_jobs(cancelling(schedule_id=77), NOON),
        "workbell_jobs_unfinished_idx",
    ),
    "prune": (
        lambda tx: tx.jobs.prune([JobState.FAILED], EARLY, limit=5),
        "workbell_jobs_ended_idx",
    ),
    "prune runs": (
        lambda tx: tx.jobs.prune_scheduled(EARLY, limit=5),
        "workbell_jobs_ended_runs_idx",
    ),
    "of an owner": (
        lambda tx: tx.jobs.find(Scope(owner=ALICE), JobFilter()),
        "workbell_jobs_owner_idx",
    ),
    "schedules due": (lambda tx: tx.schedules.due(after(9)), "workbell_schedules_due_idx"),
    "schedules to judge": (
        lambda tx: tx.schedules.due_alerts(after(9)),
        "workbell_schedules_alert_idx",
    ),
    "last success": (
        lambda tx: tx.schedules.last_success(ScheduleId(1), EARLY),
        "workbell_jobs_started_idx",
    ),
    "deleted schedules": (
        lambda tx: tx.schedules.purge(EARLY, limit=9),
        "workbell_schedules_deleted_idx",
    ),
    "next schedule": (lambda tx: tx.schedules.next_due(), "workbell_schedules_due_idx"),
    "active": (
        lambda tx: tx.schedules.count_active(ALICE, limit=9),
        "workbell_schedules_active_idx",
    ),
}


ON_MARIADB = {"workbell_jobs_waiting_idx": "workbell_jobs_owner_status_idx"}
"""MariaDB has no partial indexes: one serves all states of an owner."""


def test_a_scan_of_a_whole_table_is_recognised(store: SqlStore, database: Server) -> None:
    """Otherwise the tests below would accept every plan."""
    query = select(jobs.c.id).where(jobs.c.description == "none")
    plan = plans_of(store, lambda tx: tx.db.execute(query), database.kind)[0]
    assert SCANS.search(plan), plan
    assert database.kind == "mariadb" or LARGE_SCANS.search(plan), plan


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_uses_its_index_without_a_sort(
    store: SqlStore, database: Server, question: str
) -> None:
    ask, index = QUESTIONS[question]
    if database.kind == "mariadb":
        index = ON_MARIADB.get(index, index)
    plan = plans_of(store, ask, database.kind)[0]
    assert index in plan or question in OF_FEW, plan
    joins_users = question == "schedules due" and database.kind == "postgresql"  # a small table
    assert not (LARGE_SCANS if joins_users else SCANS).search(plan), plan
    assert question in OF_FEW or not sorts(plan), plan


def test_running_jobs_are_counted_by_an_index(store: SqlStore, database: Server) -> None:
    plan = plans_of(store, counting_running, database.kind)[0]
    assert not SCANS.search(plan), plan


def test_a_sweep_reads_held_jobs_and_busy_keys_by_indexes(
    store: SqlStore, database: Server
) -> None:
    found = plans_of(store, lambda tx: tx.jobs.find_releasable(thorough=False), database.kind)
    plans = "".join(found)
    assert "workbell_jobs_held_idx" in plans, plans
    assert "workbell_jobs_busy_idx" in plans, plans
    scans = LARGE_SCANS if database.kind == "postgresql" else SCANS
    assert not scans.search(plans), plans


def test_adding_probes_both_ends_of_a_share(store: SqlStore, database: Server) -> None:
    plan = plans_of(store, lambda tx: tx.jobs.add([a_job()], NOON), database.kind)[0]
    assert "workbell_jobs_claim_idx" in plan, plan
    assert "workbell_jobs_share_idx" in plan, plan
    assert not sorts(plan), plan


def test_rows_are_locked_by_id(store: SqlStore, database: Server) -> None:
    for ask in (
        lambda tx: tx.jobs.renew_leases([(1, 1), (2, 1)], NOON),
        lambda tx: tx.jobs.find_cancelled([(1, 1), (2, 1)]),
        lambda tx: tx.schedules.lock([ScheduleId(1), ScheduleId(2)]),
    ):
        for plan in plans_of(store, ask, database.kind):
            assert (
                "workbell_jobs_pkey" in plan
                or "workbell_schedules_pkey" in plan
                or '"key": "PRIMARY"' in plan
            ), plan


def settling_and_claiming(tx: SqlTx) -> object:
    work = Claim(
        id=JobId(3),
        token=1,
        task="echo",
        owner=ALICE,
        parameters={},
        queue="default",
        mode=ClaimMode.BATCH,
        fail_when_lost=False,
        concurrency_key=None,
        attempt=1,
        max_attempts=3,
        timeout_seconds=60,
        due_at=NOON,
        queued_at=NOON,
        started_at=NOON,
        schedule_id=None,
        tick=None,
    )
    outcome = settle(work, TaskResult(outcome=Outcome.SUCCEEDED), NOON, 0.0)
    later = NOON + timedelta(seconds=30)
    return tx.jobs.settle_and_claim(
        [outcome], "default", worker="w", now=NOON, lease_until=later, limit=5, free_threads=5
    )


def firing(tx: SqlTx) -> object:
    due = [step for each in tx.schedules.due(after(9)) if (step := fast_path_step(each, after(9)))]
    tx.schedules.advance_by_one(
        kept := tx.jobs.add_ticks(Task(key="echo", body=print), due, after(9))
    )
    return kept


@pytest.mark.parametrize(
    ("ask", "indexes"),
    [
        (settling_and_claiming, {"workbell_jobs_pkey", "workbell_jobs_claim_idx"}),
        (
            firing,
            {
                "workbell_schedules_pkey",
                "workbell_jobs_unfinished_idx",
                "workbell_jobs_busy_idx",
                "workbell_jobs_share_idx",
            },
        ),
    ],
)
def test_statements_in_several_steps_go_by_indexes_throughout(
    store: SqlStore, database: Server, ask: Ask, indexes: set[str]
) -> None:
    if database.kind != "postgresql":
        pytest.skip("only PostgreSQL reads and writes by one statement")
    found = plans_of(store, ask, database.kind)
    plans = "".join(found)
    assert not LARGE_SCANS.search(plans), plans
    assert not any("workbell_schedules_due_idx" in plan for plan in found[1:]), (
        "only the first looks for them"
    )
    assert {index for index in indexes if index in plans} == indexes
