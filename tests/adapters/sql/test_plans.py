"""Every due query uses its index, and none of them sorts."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.contract.factories import (
    ALICE,
    NOON,
    ManualClock,
    a_job,
    a_schedule,
    after,
    claim,
    in_concurrency_key,
    keep,
    release_held,
)
from workbell.adapters.sql.database.sqlite import SqliteConnections
from workbell.adapters.sql.store import SqlStore, SqlTx, open_store
from workbell.domain.goals.goal import GoalId
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.claim_limits import ClaimLimits
from workbell.domain.jobs.job import JobId, JobState
from workbell.domain.notifications.notice import NotificationId
from workbell.domain.schedules.schedule import ScheduleId
from workbell.ports.goals.repository import EntryFilter
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ScheduleFilter

pytestmark = pytest.mark.unit

Ask = Callable[[SqlTx], object]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """Return a store with rows in every state, and no statistics to mislead anybody."""
    path: Path = tmp_path_factory.mktemp("plans") / "store.db"
    opened = open_store(f"sqlite:///{path}", ManualClock())
    opened.migrate()
    with opened.begin() as tx:
        schedule = tx.schedules.add(a_schedule())
    keep(opened, *[a_job(queue="claimed") for _ in range(3)])
    claim(opened, queue="claimed")
    keep(
        opened,
        *[in_concurrency_key() for _ in range(3)],
        *[a_job(due_at=after(9)) for _ in range(3)],
    )
    keep(opened, *[a_job(schedule_id=schedule.id, tick=after(n)) for n in range(3)])
    yield opened
    opened.close()


def plans_of(store: SqlStore, ask: Ask) -> list[str]:
    """Return SQLite's plan of each statement that a question runs."""
    assert isinstance(store._connections, SqliteConnections)
    engine = store._connections._engine
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        with store.begin() as tx:
            ask(tx)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with store._connections.reading() as db:
        return [
            " | ".join(row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values))
            for sql, values in asked
            if not isinstance(values, list)
        ]


def claiming(tx: SqlTx) -> object:
    later = NOON + timedelta(seconds=30)
    return tx.jobs.claim(
        "nothing", worker="w", now=NOON, lease_until=later, limit=5, free_threads=5
    )


def claiming_within_limits(tx: SqlTx) -> object:
    later = NOON + timedelta(seconds=30)
    limits = ClaimLimits(excluded_tasks=["a", "b"], owner_threads=2, running={"1": 2, "2": 1})
    return tx.jobs.claim(
        "nothing", worker="w", now=NOON, lease_until=later, limit=5, free_threads=5, limits=limits
    )


def cancelling(schedule_id: int | None = None) -> Cancellation:
    return Cancellation(
        owner=UserId(77),
        schedule_id=schedule_id,
        last_job_id=JobId(9_999_999),
        reason="paused",
        started_at=NOON,
    )


QUESTIONS: dict[str, tuple[Ask, str]] = {
    "stage": (lambda tx: tx.jobs.stage(NOON), "workbell_jobs_stage_idx"),
    "claim": (claiming, "workbell_jobs_claim_idx"),
    "claim within limits": (claiming_within_limits, "workbell_jobs_claim_idx"),
    "first ready": (lambda tx: tx.jobs.hold_first(["a"], limit=9), "workbell_jobs_claim_idx"),
    "expired": (lambda tx: tx.jobs.expired(NOON), "workbell_jobs_lease_idx"),
    "next due": (lambda tx: tx.jobs.next_due(), "workbell_jobs_stage_idx"),
    "has held": (lambda tx: tx.jobs.has_held(), "workbell_jobs_held_idx"),
    "held of a task": (
        lambda tx: tx.jobs.count_held("a", limit=9),
        "workbell_jobs_held_task_idx (task=?)",
    ),
    "waiting": (lambda tx: tx.jobs.count_waiting(ALICE, limit=9), "workbell_jobs_waiting_idx"),
    "unfinished": (lambda tx: tx.jobs.unfinished([1]), "workbell_jobs_unfinished_idx"),
    "jobs of an owner to cancel": (
        lambda tx: tx.cancellations.cancel_jobs(cancelling(), NOON),
        "workbell_jobs_waiting_idx (owner=?)",
    ),
    "runs of a schedule to cancel": (
        lambda tx: tx.cancellations.cancel_jobs(cancelling(schedule_id=77), NOON),
        "workbell_jobs_unfinished_idx (schedule_id=? AND id<?)",
    ),
    "prune": (
        lambda tx: tx.jobs.prune([JobState.FAILED], NOON, limit=5),
        "workbell_jobs_ended_idx ",
    ),
    "prune runs": (
        lambda tx: tx.jobs.prune_scheduled(NOON, limit=5),
        "workbell_jobs_ended_runs_idx",
    ),
    "newest of an owner": (
        lambda tx: tx.jobs.find(Scope(owner=ALICE), JobFilter()),
        "workbell_jobs_owner_idx",
    ),
    "schedules due": (
        lambda tx: tx.schedules.due(NOON - timedelta(days=1)),
        "workbell_schedules_due_idx",
    ),
    "schedules to judge": (
        lambda tx: tx.schedules.due_alerts(NOON),
        "workbell_schedules_alert_idx",
    ),
    "last success": (
        lambda tx: tx.schedules.last_success(ScheduleId(1), NOON),
        "workbell_jobs_started_idx",
    ),
    "next schedule": (lambda tx: tx.schedules.next_due(), "workbell_schedules_due_idx"),
    "active of an owner": (
        lambda tx: tx.schedules.count_active(ALICE, limit=9),
        "workbell_schedules_active_idx (owner=?)",
    ),
    "days of a person": (
        lambda tx: tx.entries.days(ALICE),
        "PRIMARY KEY (owner=? AND goal_id=?)",
    ),
    "days of a goal": (
        lambda tx: tx.entries.days(ALICE, GoalId(1)),
        "PRIMARY KEY (owner=? AND goal_id=?)",
    ),
    "newest progress": (
        lambda tx: tx.entries.find(ALICE, EntryFilter()),
        "workbell_progress_entries_owner_idx",
    ),
    "who is idle": (
        lambda tx: tx.reminders.idle(ALICE, NOON, limit=5),
        "workbell_goals_idle_idx",
    ),
    "own times due": (
        lambda tx: tx.reminders.due(NOON, limit=5),
        "workbell_reminder_preferences_next_at_idx",
    ),
    "notifications": (
        lambda tx: tx.notices.list_page(ALICE),
        "workbell_notices_user_idx (user_id=? AND in_app=?)",
    ),
    "notifications after a cursor": (
        lambda tx: tx.notices.list_page(ALICE, before_id=NotificationId(9)),
        "workbell_notices_user_idx (user_id=? AND in_app=? AND id<?)",
    ),
    "unread notifications": (
        lambda tx: tx.notices.list_page(ALICE, is_read=False),
        "workbell_notices_unread_idx (user_id=? AND in_app=? AND read_at=?)",
    ),
    "unread notifications to mark": (
        lambda tx: tx.notices.mark_read(ALICE, None, NOON),
        "workbell_notices_unread_idx (user_id=? AND in_app=? AND read_at=?)",
    ),
    "old notifications": (
        lambda tx: tx.notices.prune(NOON, limit=5),
        "workbell_notices_created_at_idx (created_at<?)",
    ),
    "summaries due": (
        lambda tx: tx.preferences.list_due_summaries(NOON, limit=5),
        "workbell_notification_preferences_summary_at_idx (summary_at<?)",
    ),
    "signed in from": (
        lambda tx: tx.sessions.has_login_from(ALICE, "192.0.2.1"),
        "workbell_sessions_from_idx (user_id=? AND address=?)",
    ),
    "export": (
        lambda tx: tx.entries.export(ALICE),
        "workbell_progress_entries_owner_idx (owner=? AND created_at>?)",
    ),
    "span before": (
        lambda tx: tx.entries.latest_before(ALICE, NOON),
        "workbell_progress_entries_started_idx",
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_uses_its_index_without_a_sort(store: SqlStore, question: str) -> None:
    ask, index = QUESTIONS[question]
    plan = plans_of(store, ask)[0]
    assert index.startswith("PRIMARY KEY") or f"INDEX {index.strip()}" in plan, plan
    assert index.strip() in plan, plan
    assert "TEMP B-TREE" not in plan, plan


def test_adding_probes_both_ends_of_a_share(store: SqlStore) -> None:
    plan = plans_of(store, lambda tx: tx.jobs.add([a_job()], NOON))[0]
    assert "INDEX workbell_jobs_claim_idx (queue=? AND priority=?)" in plan
    assert "INDEX workbell_jobs_share_idx (queue=? AND priority=? AND fair_key=?)" in plan
    assert "TEMP B-TREE" not in plan


def test_adding_many_probes_each_share_once(store: SqlStore) -> None:
    jobs = [a_job(fair_key=key) for key in "abc"]
    plans = plans_of(store, lambda tx: tx.jobs.add(jobs, NOON))
    assert any(
        "INDEX workbell_jobs_share_idx (queue=? AND priority=? AND fair_key=?)" in p for p in plans
    )
    assert not any("TEMP B-TREE" in plan for plan in plans)


def test_a_concurrency_key_is_counted_and_released_by_its_indexes(store: SqlStore) -> None:
    plans = plans_of(store, lambda tx: tx.jobs.add([in_concurrency_key(limit=9)], NOON))
    busy = "COVERING INDEX workbell_jobs_busy_idx (concurrency_key=? AND state"
    assert any(busy in plan for plan in plans), plans
    plans = plans_of(store, lambda tx: release_held(tx, NOON))
    assert any("INDEX workbell_jobs_held_idx (concurrency_key=?)" in plan for plan in plans), plans
    assert any(busy in plan for plan in plans), plans
    assert not any("TEMP B-TREE" in plan for plan in plans), plans


def test_a_walk_over_held_jobs_jumps_from_key_to_key(
    store: SqlStore,
) -> None:
    plans = plans_of(store, lambda tx: tx.jobs.find_releasable(thorough=False))
    assert any("INDEX workbell_jobs_held_idx (concurrency_key>?)" in plan for plan in plans), plans
    assert any("INDEX workbell_jobs_held_task_idx (task=?)" in plan for plan in plans), plans
    assert not any("SCAN workbell_jobs" in plan for plan in plans), plans
    plans = plans_of(store, lambda tx: tx.jobs.remove_unused_keys(""))
    assert "INDEX workbell_jobs_busy_idx (concurrency_key=? AND state" in plans[0], plans


def test_waiting_queues_jump_from_one_to_the_next(store: SqlStore) -> None:
    for plan in plans_of(store, lambda tx: tx.jobs.waiting_queues())[:-1]:
        assert "(queue>?)" in plan
        assert "TEMP B-TREE" not in plan


def test_a_list_of_schedules_probes_its_last_runs(store: SqlStore) -> None:
    (plan,) = plans_of(store, lambda tx: tx.schedules.find(ALL_OWNERS, ScheduleFilter()))
    assert "INDEX workbell_jobs_started_idx (schedule_id=?)" in plan
    assert "SEARCH workbell_jobs USING INTEGER PRIMARY KEY" in plan


def test_rows_are_locked_and_moved_by_id(store: SqlStore) -> None:
    for ask in (
        lambda tx: tx.jobs.renew_leases([(1, 1), (2, 1)], NOON),
        lambda tx: tx.jobs.find_cancelled([(1, 1), (2, 1)]),
        lambda tx: tx.jobs.release([(1, 9), (2, 9)]),
        lambda tx: tx.schedules.lock([ScheduleId(1), ScheduleId(2)]),
    ):
        for plan in plans_of(store, ask):
            assert "USING INTEGER PRIMARY KEY (rowid=?)" in plan, plan
