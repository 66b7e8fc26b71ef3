"""On SQLite, lists of jobs and schedules follow an index, and sort a window at most."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.sql.list_plans import (
    ALL,
    COUNTS,
    JOB_LISTS,
    MINE,
    SCHEDULE_LISTS,
    fill_statement,
    list_jobs,
    list_schedules,
)
from tests.adapters.sql.test_plans import plans_of
from tests.contract.factories import ManualClock, a_schedule, after
from workbell.adapters.sql.store import SqlStore, open_store

pytestmark = pytest.mark.unit
SCAN = "SCAN workbell_"
ALLOWED_SCANS = ("USING INDEX", "USING COVERING INDEX")


@pytest.fixture(scope="module", params=[False, True], ids=["no statistics", "analyzed"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SqlStore]:
    """Return a store with 30,000 jobs and 200 schedules, with and without statistics."""
    path: Path = tmp_path_factory.mktemp("plans") / "store.db"
    opened = open_store(f"sqlite:///{path}", ManualClock())
    opened.migrate()
    with opened.begin() as tx:
        tx.db.exec_driver_sql(fill_statement("sqlite"))
        for number in range(200):
            tx.schedules.add(a_schedule(owner=number % 40, created_at=after(number)))
        if request.param:
            tx.db.exec_driver_sql("ANALYZE")
    yield opened
    opened.close()


def steps(plans: list[str]) -> list[str]:
    return [step for plan in plans for step in plan.split(" | ")]


@pytest.mark.parametrize("scope", [ALL, MINE])
@pytest.mark.parametrize("name", JOB_LISTS)
def test_a_list_of_jobs_follows_its_index(store: SqlStore, name: str, scope: str) -> None:
    index = JOB_LISTS[name][2][scope == MINE]
    plans = plans_of(store, list_jobs(name, scope))
    if index != "workbell_jobs_pkey":
        assert index in plans[0], plans
    for step in steps(plans):
        # A table without a bound is read by its primary key, the newest rows first.
        is_by_id = index == "workbell_jobs_pkey" and step == "SCAN workbell_jobs"
        assert is_by_id or not step.startswith(SCAN) or "USING" in step, plans


@pytest.mark.parametrize("scope", [ALL, MINE])
@pytest.mark.parametrize("name", ["newest", "succeeded", "failed", "results", "of a schedule"])
def test_rows_of_an_index_are_not_sorted(store: SqlStore, name: str, scope: str) -> None:
    first = steps(plans_of(store, list_jobs(name, scope)))
    sorted_at = [n for n, step in enumerate(first) if step.startswith("USE TEMP B-TREE")]
    for number in sorted_at:  # the rows of a page or of a window
        assert "workbell_jobs_" not in first[number - 1], first


@pytest.mark.parametrize("scope", [ALL, MINE])
@pytest.mark.parametrize("name", SCHEDULE_LISTS)
def test_a_list_of_schedules_follows_its_index(store: SqlStore, name: str, scope: str) -> None:
    index = "workbell_schedules_created_idx" if scope == ALL else "workbell_schedules_owner_idx"
    for plan in plans_of(store, list_schedules(name, scope)):
        assert index in plan, plan
        assert all("USING" in step for step in plan.split(" | ") if step.startswith(SCAN)), plan


@pytest.mark.parametrize("name", COUNTS)
def test_counts_read_indexes(store: SqlStore, name: str) -> None:
    plans = plans_of(store, COUNTS[name])
    for step in steps(plans):
        is_of_few = step == "SCAN workbell_queues"
        assert is_of_few or not step.startswith(SCAN) or "USING" in step, plans
        assert not step.startswith("USE TEMP B-TREE FOR ORDER BY") or name != "queues", plans
