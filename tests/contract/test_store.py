"""The store: all or nothing, one writer, wake-ups only after the commit."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Event

import pytest

from tests.contract.conftest import RecordingWaker
from tests.contract.factories import (
    ALICE,
    NOON,
    AnyStore,
    a_definition,
    a_job,
    a_schedule,
    a_user,
    after,
    claim,
    ended,
    in_concurrency_key,
    keep,
    move,
    reap_all,
    running,
    sweep,
    switch,
    write,
)
from workbell.domain.errors import LimitReached, NotFound, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobId
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ScheduleFilter


def count(store: AnyStore) -> int:
    with store.view() as tx:
        return tx.jobs.count(ALL_OWNERS, JobFilter())


def test_a_block_without_an_error_is_committed(store: AnyStore) -> None:
    with store.begin() as tx:
        user = tx.users.add(a_user())
        schedule = tx.schedules.add(a_schedule())
        (job,) = tx.jobs.add([a_job()], NOON)
        tx.metadata.set("tzdata", "2026a")
    assert job is not None
    with store.view() as tx:
        assert tx.users.get(user.id).username == "alice"
        assert tx.schedules.get(ALL_OWNERS, schedule.id) == schedule
        assert tx.jobs.get(ALL_OWNERS, job.id).task == "echo"
        assert tx.metadata.get("tzdata") == "2026a"


def test_a_block_that_raises_leaves_no_trace(store: AnyStore) -> None:
    (kept,) = keep(store, a_job(name="kept"))
    with suppress(ZeroDivisionError), store.begin() as tx:
        user = tx.users.add(a_user())
        tx.schedules.add(a_schedule())
        tx.jobs.add([a_job()], NOON)
        before = tx.jobs.get_for_update(ALL_OWNERS, kept.id)
        tx.jobs.replace(before, before.cancel(NOON))
        raise ZeroDivisionError
    with store.view() as tx:
        assert tx.jobs.get(ALL_OWNERS, kept.id) == kept
        assert tx.schedules.count(ALL_OWNERS, ScheduleFilter()) == 0
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == 1
        with pytest.raises(NotFound):
            tx.users.get(user.id)  # pyright: ignore[reportPossiblyUnboundVariable]
    assert [work.id for work in claim(store)] == [kept.id]


def test_an_error_leaves_the_block_as_it_is(store: AnyStore) -> None:
    with pytest.raises(ZeroDivisionError, match="mine"), store.begin():
        raise ZeroDivisionError("mine")
    assert len(keep(store, a_job())) == 1


def test_a_transaction_sees_its_own_writes(store: AnyStore) -> None:
    with store.begin() as tx:
        (job,) = tx.jobs.add([a_job()], NOON)
        assert job is not None
        assert tx.jobs.get(ALL_OWNERS, job.id) == job
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == 1


def test_a_nested_begin_of_the_same_thread_raises(store: AnyStore) -> None:
    with store.begin() as tx:
        with pytest.raises(RuntimeError), store.begin():
            pass
        tx.jobs.add([a_job()], NOON)
    assert count(store) == 1
    with store.begin():
        pass


def test_a_begin_after_one_that_raised_works(store: AnyStore) -> None:
    for _ in range(3):
        with suppress(ZeroDivisionError), store.begin():
            raise ZeroDivisionError
    assert keep(store, a_job())


def test_a_view_sees_only_what_is_committed(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.jobs.add([a_job()], NOON)
        assert count(store) == 0
    assert count(store) == 1


def test_a_view_is_read_only(store: AnyStore) -> None:
    with pytest.raises((RuntimeError, Unavailable)), store.view() as tx:
        tx.jobs.add([a_job()], NOON)
    with pytest.raises((RuntimeError, Unavailable)), store.view() as tx:
        tx.metadata.set("a", "b")
    assert count(store) == 0
    with store.view() as tx:
        assert tx.metadata.get("a") is None


def test_a_view_does_not_wait_for_the_writer(store: AnyStore) -> None:
    open_now, finish = Event(), Event()

    def write_slowly() -> None:
        with store.begin() as tx:
            tx.jobs.add([a_job()], NOON)
            open_now.set()
            finish.wait(10)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_slowly)
        assert open_now.wait(10)
        assert count(store) == 0
        finish.set()
        writing.result(10)
    assert count(store) == 1


def test_the_store_answers(store: AnyStore) -> None:
    store.ping()
    assert store.time().utcoffset() == timedelta(0)
    assert store.schema_version()


def test_queues_are_woken_after_the_commit_and_once_each(
    store: AnyStore, waker: RecordingWaker
) -> None:
    with store.begin() as tx:
        tx.jobs.add([a_job(), a_job(), a_job(queue="mail")], NOON)
        assert waker.woken == []
    assert sorted(waker.woken) == ["default", "mail"]


def test_the_waker_is_called_after_the_commit(store: AnyStore) -> None:
    found = []

    class Look:
        def wake(self, queue: str) -> None:
            found.append((queue, count(store)))

        def stop_job(self, worker: str, job_id: JobId) -> None:
            """Do nothing."""

    store.waker = Look()
    keep(store, a_job())
    assert found == [("default", 1)]


def test_no_worker_is_woken_after_a_rollback(store: AnyStore, waker: RecordingWaker) -> None:
    with suppress(ZeroDivisionError), store.begin() as tx:
        tx.jobs.add([a_job()], NOON)
        raise ZeroDivisionError
    assert waker.woken == []
    with store.begin():
        pass
    assert waker.woken == []


def test_no_worker_is_woken_for_jobs_that_are_not_ready(
    store: AnyStore, waker: RecordingWaker
) -> None:
    keep(store, a_job(due_at=after(1)))
    with store.view() as tx:
        tx.jobs.waiting_queues()
    assert waker.woken == []


def test_every_way_to_ready_wakes(store: AnyStore, waker: RecordingWaker) -> None:
    """Staged, released, retried, returned unstarted, activated."""
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="other"))
    keep(store, a_job(due_at=after(1)))
    sweep(store, after(1))
    assert waker.woken.pop() == "default"
    (work,) = claim(store, now=after(1))
    with store.begin() as tx:
        tx.jobs.release([(work.id, work.token)])
    assert waker.woken.pop() == "default"
    (work,) = claim(store, now=after(1))
    write(store, ended(work, Outcome.FAILED, now=after(1), permanent=True))
    assert waker.woken == []
    move(store, work.id, "retry", now=NOON)
    assert waker.woken.pop() == "default"
    (work,) = claim(store, now=after(1))
    write(store, ended(work, Outcome.SNOOZED, now=after(2), retry_after=0))
    assert waker.woken.pop() == "default"
    keep(store, a_job(queue="other", task="other"))
    waker.woken.clear()
    switch(store, "other", on=False)
    assert waker.woken == []
    switch(store, "other", on=True)
    assert waker.woken == ["other"]


def test_a_released_concurrency_key_wakes(store: AnyStore, waker: RecordingWaker) -> None:
    first, _ = keep(store, in_concurrency_key(), in_concurrency_key())
    (work,) = claim(store)
    waker.woken.clear()
    assert write(store, ended(work)) == {first.id}
    assert waker.woken == ["default"]
    claim(store)
    keep(store, in_concurrency_key())
    waker.woken.clear()
    reap_all(store, after(31))
    assert waker.woken == ["default"]


def test_an_outcome_that_readies_no_job_wakes_no_worker(
    store: AnyStore, waker: RecordingWaker
) -> None:
    (work,) = running(store, a_job())
    waker.woken.clear()
    write(store, ended(work))
    assert waker.woken == []


def test_threads_lose_no_writes(store: AnyStore) -> None:
    def add_ten(_: int) -> None:
        for _ in range(10):
            keep(store, a_job())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_ten, range(8)))
    assert count(store) == 80


def test_counting_under_a_lock_has_no_race(store: AnyStore) -> None:
    """24 threads, 5 created, 19 refused."""
    with store.begin() as tx:
        owner = tx.users.add(a_user()).id

    def create(_: int) -> bool:
        with store.begin() as tx:
            tx.users.get_for_update(owner)
            if tx.schedules.count_active(owner, limit=9) >= 5:
                return False
            tx.schedules.add(a_schedule(owner=owner))
            return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(create, range(24))) == 5
    with store.view() as tx:
        assert tx.schedules.count_active(owner, limit=9) == 5


def test_inserts_below_a_limit_under_a_lock_have_no_race(store: AnyStore) -> None:
    """24 threads, 5 created, 19 refused."""
    with store.begin() as tx:
        owner = tx.users.add(a_user()).id

    def create(_: int) -> bool:
        with suppress(LimitReached), store.begin() as tx:
            tx.users.get_for_update(owner)
            return tx.schedules.add(a_schedule(owner=owner), active_limit=5).is_active
        return False

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(create, range(24))) == 5
    with store.view() as tx:
        assert tx.schedules.count_active(owner, limit=9) == 5


def test_threads_that_raise_do_not_disturb_the_others(store: AnyStore) -> None:
    def work(n: int) -> None:
        with suppress(ZeroDivisionError), store.begin() as tx:
            tx.jobs.add([a_job(owner=ALICE, name=f"n{n}")], NOON)
            if n % 2:
                raise ZeroDivisionError

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    with store.view() as tx:
        found = tx.jobs.find(ALL_OWNERS, JobFilter(), limit=100)
    assert sorted(job.name for job in found) == sorted(f"n{n}" for n in range(0, 40, 2))
