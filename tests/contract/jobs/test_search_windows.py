"""Searches of jobs read the newest rows only; statuses, schedules and owners have indexes."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.contract.factories import (
    ALICE,
    BOB,
    NOON,
    AnyStore,
    a_job,
    after,
    ended,
    ids,
    keep,
    running,
    write,
)
from workbell.domain import constraints
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobId, JobState, Status
from workbell.ports.jobs.views import JobFilter, JobPage

OWN = Scope(owner=ALICE)


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraints, "SEARCH_WINDOW", 3)


def page(
    store: AnyStore, filters: JobFilter | None = None, scope: Scope = ALL_OWNERS, **ask: Any
) -> JobPage:
    with store.view() as tx:
        return tx.jobs.list_page(scope, filters or JobFilter(), **ask)


def test_a_search_reads_the_newest_jobs_only(store: AnyStore) -> None:
    jobs = ids(keep(store, *[a_job(name="needle")] * 5))
    found = page(store, JobFilter(search="NEEDLE"))
    assert (ids(found.jobs), found.count) == (jobs[:1:-1], 3)
    assert found.next_before == jobs[2]


def test_the_count_of_a_search_is_that_of_its_window(store: AnyStore) -> None:
    keep(store, *[a_job(name="needle")] * 5)
    search = JobFilter(search="needle")
    with store.view() as tx:
        assert tx.jobs.count(ALL_OWNERS, search) == 3
    assert page(store, search, offset=1, limit=1).count == 3
    beyond = page(store, search, offset=9)
    assert (beyond.jobs, beyond.count) == ([], 3)
    assert page(store, search, is_counted=False).jobs


def test_a_search_of_no_more_jobs_than_the_window_is_complete(store: AnyStore) -> None:
    keep(store, *[a_job()] * 3)
    assert page(store, JobFilter(search="nothing")).next_before is None


def test_the_windows_of_a_search_cover_all_jobs(store: AnyStore) -> None:
    names = ["needle", "hay", "hay", "hay", "needle", "hay", "hay", "needle"]
    jobs = keep(store, *[a_job(name=name) for name in names])
    found: list[int] = []
    before: JobId | None = None
    for _ in range(3):
        part = page(store, JobFilter(search="needle", before_id=before), is_counted=False)
        found += ids(part.jobs)
        before = part.next_before
    assert found == [job.id for job in jobs[::-1] if job.name == "needle"]
    assert before is None


@pytest.mark.parametrize(
    "filters",
    [
        JobFilter(task="echo"),
        JobFilter(queue="default"),
        JobFilter(origins=["api"]),  # type: ignore[list-item]
        JobFilter(created_to=after(9)),
        JobFilter(due_to=after(9)),
    ],
)
def test_filters_without_an_index_apply_to_the_window(store: AnyStore, filters: JobFilter) -> None:
    jobs = ids(keep(store, *[a_job(queue="default")] * 5))
    found = page(store, filters)
    assert (ids(found.jobs), found.next_before) == (jobs[:1:-1], jobs[2])


@pytest.mark.parametrize("name", ["created_at", "scheduled_time", "status", "priority", "name"])
def test_an_ordering_without_an_index_sorts_the_window(store: AnyStore, name: str) -> None:
    jobs = ids(keep(store, *[a_job()] * 5))
    found = page(store, ordering=[name])
    assert (ids(found.jobs), found.count, found.next_before) == (jobs[2:], 3, jobs[2])


def test_jobs_that_the_caller_does_not_see_take_no_part_of_the_window(store: AnyStore) -> None:
    mine = ids(keep(store, *[a_job(name="needle")] * 2))
    keep(store, *[a_job(owner=BOB)] * 5)
    keep(store, *[a_job(state=JobState.FAILED, ended_at=NOON, hidden=True)] * 5)
    found = page(store, JobFilter(search="needle"), OWN)
    assert (ids(found.jobs), found.next_before) == (mine[::-1], None)
    assert page(store, JobFilter(search="needle", owner=ALICE)).count == 2


def test_a_list_in_the_order_of_ids_is_complete(store: AnyStore) -> None:
    jobs = ids(keep(store, *[a_job()] * 5))
    for scope in (ALL_OWNERS, OWN):
        newest, oldest = page(store, None, scope), page(store, None, scope, ordering=["id"])
        assert (ids(newest.jobs), newest.count, newest.next_before) == (jobs[::-1], 5, None)
        assert ids(oldest.jobs) == jobs


def test_lists_by_status_are_complete(store: AnyStore) -> None:
    works = running(store, *[a_job()] * 5)
    lost = [job.id for job in works]
    for scope in (ALL_OWNERS, OWN, Scope(owner=BOB)):
        found = page(store, JobFilter(statuses=[Status.RUNNING]), scope)
        expected: list[JobId] = [] if scope.owner == BOB else lost[::-1]
        assert (ids(found.jobs), found.count, found.next_before) == (expected, len(expected), None)
    write(store, *[ended(job, Outcome.FAILED, permanent=True) for job in works])
    done = ids(keep(store, *[a_job(state=JobState.SUCCEEDED, ended_at=NOON)] * 4))
    waiting = ids(keep(store, *[a_job(due_at=after(99)), a_job()] * 2))
    by_status: list[tuple[Status, Sequence[int]]] = [
        (Status.FAILED, lost),
        (Status.SUCCEEDED, done),
        (Status.PENDING, waiting),
        (Status.RETRYING, []),
    ]
    for status, wanted in by_status:
        found = page(store, JobFilter(statuses=[status]))
        assert (ids(found.jobs), found.count, found.next_before) == (
            wanted[::-1],
            len(wanted),
            None,
        )
        if status is not Status.SUCCEEDED:
            assert page(store, JobFilter(statuses=[status]), OWN) == found
    several = page(store, JobFilter(statuses=[Status.FAILED, Status.PENDING, Status.SUCCEEDED]))
    assert (ids(several.jobs), several.count) == (sorted((*lost, *done, *waiting))[::-1], 13)
    rest = page(store, JobFilter(statuses=[Status.FAILED, Status.SUCCEEDED]), offset=2, limit=4)
    assert ids(rest.jobs) == [*done[1::-1], *lost[:2:-1]]


def test_the_succeeded_jobs_of_an_owner_are_searched(store: AnyStore) -> None:
    done = ids(keep(store, *[a_job(state=JobState.SUCCEEDED, ended_at=NOON)] * 2))
    keep(store, *[a_job()] * 2)
    succeeded = JobFilter(statuses=[Status.SUCCEEDED])
    mine, all_ = page(store, succeeded, OWN), page(store, succeeded)
    assert (ids(mine.jobs), mine.count, mine.next_before) == (done[1:], 1, done[1])
    assert page(store, JobFilter(statuses=[Status.SUCCEEDED], owner=ALICE)) == mine
    assert (ids(all_.jobs), all_.count, all_.next_before) == (done[::-1], 2, None)
    for scope, count in ((OWN, 1), (ALL_OWNERS, 2)):
        with store.view() as tx:
            stats = tx.statistics.jobs(scope, NOON)
        assert (stats.by_status["succeeded"], stats.finished_last_hour) == (count, count)


def test_other_conditions_apply_to_the_newest_jobs_of_a_status(store: AnyStore) -> None:
    old = ids(keep(store, a_job(state=JobState.FAILED, ended_at=NOON, name="needle")))
    keep(store, *[a_job(name="needle")] * 5)
    found = page(store, JobFilter(statuses=[Status.FAILED], search="needle"))
    assert (ids(found.jobs), found.next_before) == (old, None)


def test_the_runs_of_a_schedule_are_complete(store: AnyStore) -> None:
    run = {"schedule_id": 4}
    begun = [a_job(**run, state=JobState.FAILED, started_at=NOON, ended_at=NOON)] * 3
    waiting = [a_job(**run, due_at=after(99))] * 2
    runs = ids(keep(store, *begun, *waiting))
    keep(store, a_job(schedule_id=5))
    found = page(store, JobFilter(schedule_id=4))
    assert (ids(found.jobs), found.count, found.next_before) == (runs[::-1], 5, None)
    assert ids(page(store, JobFilter(schedule_id=4), ordering=["id"]).jobs) == runs
    mine = page(store, JobFilter(schedule_id=4), OWN)
    assert (ids(mine.jobs), mine.next_before) == (runs[:1:-1], runs[2])
    assert page(store, JobFilter(schedule_id=4), Scope(owner=BOB)).jobs == []
    failed = page(store, JobFilter(schedule_id=4, statuses=[Status.FAILED]))
    assert (ids(failed.jobs), failed.next_before) == ([runs[2]], runs[2])


def test_counts_of_statistics_stop_at_the_cap(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, *[a_job(state=JobState.FAILED, ended_at=after(-9))] * 4)
    keep(store, *[a_job(queue="mail")] * 4)
    for scope in (ALL_OWNERS, OWN):
        with store.view() as tx:
            stats = tx.statistics.jobs(scope, NOON)
        assert dict(stats.by_status) == {"failed": 4, "pending": 4}
        assert (stats.failed_last_hour, stats.count_capped) == (4, False)
    monkeypatch.setattr(constraints, "COUNT_CAP", 2)
    for scope in (ALL_OWNERS, OWN):
        with store.view() as tx:
            stats = tx.statistics.jobs(scope, NOON)
        assert dict(stats.by_status) == {"failed": 2, "pending": 2}
        assert (stats.failed_last_hour, stats.count_capped) == (3, True)
    with store.view() as tx:
        (queue,) = tx.queues.all()
    assert (queue.name, queue.ready) == ("mail", 2)
