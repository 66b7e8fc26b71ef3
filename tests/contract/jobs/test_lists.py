"""Lists of jobs: scope, filters, ordering, paging and pruning."""

from typing import Any

import pytest
from attrs import evolve

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
    see,
    write,
)
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.jobs.attempt import Artifact, LogLine, Outcome
from workbell.domain.jobs.job import ENDED, Job, JobId, JobOrigin, JobState, Status
from workbell.ports.jobs.views import JobFilter


def found(store: AnyStore, filters: JobFilter | None = None, **ask: Any) -> list[int]:
    with store.view() as tx:
        return ids(tx.jobs.find(ALL_OWNERS, filters or JobFilter(), **ask))


def over(**fields: Any) -> Job:
    """Return a job that ended at noon."""
    return a_job(**{"state": JobState.SUCCEEDED, "ended_at": NOON} | fields)


def test_the_newest_jobs_are_listed_first(store: AnyStore) -> None:
    jobs = keep(store, *[a_job()] * 5)
    assert found(store) == ids(jobs)[::-1]


def test_a_list_is_read_in_pages(store: AnyStore) -> None:
    numbers = ids(keep(store, *[a_job()] * 25))[::-1]
    assert found(store) == numbers[:20]
    assert found(store, offset=20) == numbers[20:]
    assert found(store, offset=5, limit=5) == numbers[5:10]
    assert found(store, offset=25) == []


def test_a_list_continues_after_an_id(store: AnyStore) -> None:
    numbers = ids(keep(store, *[a_job()] * 9))[::-1]
    pages: list[list[int]] = []
    last: JobId | None = None
    while page := found(store, JobFilter(before_id=last), limit=4):
        pages.append(page)
        last = JobId(page[-1])
    assert pages == [numbers[:4], numbers[4:8], numbers[8:]]


def test_a_scope_limits_every_list(store: AnyStore) -> None:
    mine, _ = keep(store, a_job(owner=ALICE), a_job(owner=BOB))
    with store.view() as tx:
        scope = Scope(owner=ALICE)
        assert ids(tx.jobs.find(scope, JobFilter())) == [mine.id]
        assert tx.jobs.find(scope, JobFilter(owner=BOB)) == []
        assert tx.jobs.count(scope, JobFilter()) == 1
        assert tx.jobs.count(ALL_OWNERS, JobFilter(owner=BOB)) == 1


def test_hidden_jobs_are_left_out(store: AnyStore) -> None:
    shown, hidden = keep(store, over(), over(hidden=True))
    assert found(store) == [shown.id]
    with store.view() as tx:
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == 1
        with pytest.raises(NotFound):
            tx.jobs.get(ALL_OWNERS, hidden.id)


def test_counting_stops(store: AnyStore) -> None:
    keep(store, *[a_job()] * 5)
    with store.view() as tx:
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == 5
        assert tx.jobs.count(ALL_OWNERS, JobFilter(task="none")) == 0


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (JobFilter(task="report"), {"b"}),
        (JobFilter(queue="mail"), {"c"}),
        (JobFilter(origins=[JobOrigin.SCHEDULE, JobOrigin.MAIL]), {"b", "c"}),
        (JobFilter(origins=[]), set()),
        (JobFilter(schedule_id=4), {"b"}),
        (JobFilter(owner=BOB), {"c"}),
        (JobFilter(created_from=after(1)), {"b", "c"}),
        (JobFilter(created_to=after(1)), {"a", "b"}),
        (JobFilter(created_from=after(1), created_to=after(1)), {"b"}),
        (JobFilter(due_from=after(60)), {"c"}),
        (JobFilter(due_to=after(59)), {"a", "b"}),
        (JobFilter(search="REPO"), {"b"}),
        (JobFilter(search="A"), {"a", "c"}),
        (JobFilter(search="needle"), {"c"}),
        (JobFilter(search="100%"), {"a"}),
        (JobFilter(search="_"), set()),
        (JobFilter(task="echo", owner=ALICE), {"a"}),
    ],
)
def test_filters(store: AnyStore, filters: JobFilter, names: set[str]) -> None:
    keep(
        store,
        a_job(name="a", description="100%"),
        a_job(
            name="b",
            task="report",
            origin=JobOrigin.SCHEDULE,
            schedule_id=4,
            created_at=after(1),
        ),
        a_job(
            name="c",
            queue="mail",
            origin=JobOrigin.MAIL,
            owner=BOB,
            created_at=after(2),
            due_at=after(60),
            description="A Needle in hay",
        ),
    )
    with store.view() as tx:
        jobs = tx.jobs.find(ALL_OWNERS, filters)
        assert {job.name for job in jobs} == names
        assert tx.jobs.count(ALL_OWNERS, filters) == len(names)


def test_the_public_status_of_each_state(store: AnyStore) -> None:
    """Waiting is pending, or retrying after an attempt."""
    work, busy = running(store, a_job(name="retrying"), a_job(name="running"))
    write(store, ended(work, Outcome.FAILED, retry_after=60))
    keep(store, a_job(name="ready"), a_job(name="scheduled", due_at=after(1)))
    keep(
        store,
        a_job(concurrency_key="l", name="in concurrency key"),
        a_job(concurrency_key="l", name="held"),
    )
    keep(store, *[over(name=state.name.lower(), state=state) for state in ENDED])
    expected = {
        Status.PENDING: {"ready", "scheduled", "in concurrency key", "held"},
        Status.RETRYING: {"retrying"},
        Status.RUNNING: {"running"},
        Status.SUCCEEDED: {"succeeded"},
        Status.FAILED: {"failed"},
        Status.CANCELLED: {"cancelled"},
        Status.SKIPPED: {"skipped"},
    }
    with store.view() as tx:
        for status, names in expected.items():
            jobs = tx.jobs.find(ALL_OWNERS, JobFilter(statuses=[status]))
            assert {job.name for job in jobs} == names
            assert {job.status for job in jobs} == {status}
        several = JobFilter(statuses=[Status.RUNNING, Status.FAILED])
        assert tx.jobs.count(ALL_OWNERS, several) == 2
        assert tx.jobs.count(ALL_OWNERS, JobFilter(statuses=[])) == 0
        assert tx.jobs.get(ALL_OWNERS, busy.id).status is Status.RUNNING


@pytest.mark.parametrize(
    ("ordering", "names"),
    [
        (["id"], "abc"),
        (["-id"], "cba"),
        (["name"], "abc"),
        (["-name"], "cba"),
        (["created_at"], "bca"),
        (["-created_at"], "acb"),
        (["scheduled_time"], "acb"),
        (["-scheduled_time"], "bca"),
        (["priority"], "cab"),
        (["-priority"], "bac"),
        (["task"], "bac"),
        (["queue"], "cba"),
    ],
)
def test_orderings(store: AnyStore, ordering: list[str], names: str) -> None:
    keep(
        store,
        a_job(name="a", created_at=after(3), due_at=after(1), priority=2, task="m", queue="z"),
        over(name="b", created_at=after(1), due_at=after(9), priority=3, task="l", queue="y"),
        a_job(name="c", created_at=after(2), due_at=after(5), priority=1, task="n", queue="x"),
    )
    with store.view() as tx:
        jobs = tx.jobs.find(ALL_OWNERS, JobFilter(), ordering=ordering)
    assert "".join(job.name for job in jobs) == names


def test_ordering_by_status_follows_the_order_of_states(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    later, success, failure = keep(
        store, a_job(due_at=after(1)), over(), over(state=JobState.FAILED)
    )
    course = [later.id, work.id, success.id, failure.id]
    assert found(store, ordering=["status"]) == course
    assert found(store, ordering=["-status"]) == course[::-1]


def test_ids_break_ties_descending_where_the_first_name_is(store: AnyStore) -> None:
    a, b, c = ids(keep(store, a_job(priority=1), a_job(priority=2), a_job(priority=1)))
    assert found(store, ordering=["priority"]) == [a, c, b]
    assert found(store, ordering=["-priority"]) == [b, c, a]
    assert found(store, ordering=["queue", "-priority"]) == [b, a, c]
    assert found(store, ordering=["-queue", "priority"]) == [c, a, b]


# pruning


def prune(store: AnyStore, *states: JobState, limit: int = 99) -> list[str]:
    with store.begin() as tx:
        return list(tx.jobs.prune(states or ENDED, after(10), limit=limit))


def test_old_ended_jobs_are_pruned_by_state(store: AnyStore) -> None:
    jobs = keep(store, *[over(state=state) for state in ENDED])
    assert prune(store, JobState.SUCCEEDED, JobState.SKIPPED) == ["", ""]
    assert found(store) == ids(jobs[1:3])[::-1]
    assert prune(store) == ["", ""]
    assert prune(store) == []


def test_younger_unfinished_and_scheduled_jobs_are_not_pruned(store: AnyStore) -> None:
    running(store, a_job())
    keep(store, a_job(), a_job(due_at=after(1)), over(ended_at=after(10)), over(schedule_id=1))
    assert prune(store) == []
    assert len(found(store)) == 5


def test_jobs_of_schedules_are_pruned_in_any_final_state(store: AnyStore) -> None:
    kept = keep(
        store,
        over(),
        a_job(schedule_id=1),
        over(schedule_id=1, ended_at=after(10)),
    )
    keep(store, *[over(schedule_id=1, state=state) for state in ENDED])
    with store.begin() as tx:
        assert len(tx.jobs.prune_scheduled(after(10), limit=3)) == 3
        assert len(tx.jobs.prune_scheduled(after(10), limit=3)) == 1
        assert list(tx.jobs.prune_scheduled(after(10), limit=3)) == []
    assert sorted(found(store)) == ids(kept)


def test_pruning_is_done_in_batches(store: AnyStore) -> None:
    keep(store, *[over()] * 5)
    assert [len(prune(store, limit=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_pruning_frees_files_and_takes_all_that_belongs_to_a_job(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    with store.begin() as tx:
        for name in ("a.csv", "b.csv"):
            tx.logs.add_artifact(work.id, Artifact(name, "text/csv", 1, "ab", f"key of {name}"))
        tx.logs.append(work.id, [LogLine(1, 1, NOON, "info", "x")], keep_head=9, keep_tail=9)
    write(store, ended(work))
    keep(store, over())
    assert sorted(prune(store)) == ["", "key of a.csv", "key of b.csv"]
    with store.view() as tx:
        assert list(tx.jobs.attempts(work.id)) == []
        assert list(tx.logs.lines(work.id)) == []
        assert list(tx.logs.artifacts(work.id)) == []
        with pytest.raises(NotFound):
            tx.jobs.get(ALL_OWNERS, work.id)


def test_a_pruned_key_is_free_again(store: AnyStore) -> None:
    (old,) = keep(store, over(idempotency_key="k"))
    prune(store)
    (new,) = keep(store, a_job(idempotency_key="k"))
    assert new.id > old.id


def test_hidden_jobs_are_pruned_too(store: AnyStore) -> None:
    (job,) = keep(store, over())
    with store.begin() as tx:
        assert tx.jobs.replace(job, evolve(job, hidden=True))
    assert prune(store) == [""]


def test_a_list_of_thousands_is_quick(store: AnyStore) -> None:
    """Two thousand jobs, added, claimed and settled in batches."""
    for _ in range(4):
        keep(store, *[a_job()] * 500)
    assert len(found(store, limit=5000)) == 2000
    assert see(store, found(store, limit=1)[0]).state is JobState.READY
