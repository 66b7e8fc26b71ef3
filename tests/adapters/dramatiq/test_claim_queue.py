"""The claims of a queue: order, expiry, batch sizes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.adapters.dramatiq.factories import claim
from workbell.adapters.dramatiq import claim_queue
from workbell.adapters.dramatiq.claim_queue import BATCH_SIZE, BROADCAST_SECONDS, ClaimQueue
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import ClaimMode


class Stopwatch:
    """A monotonic clock that the test sets."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    watch = Stopwatch()
    monkeypatch.setattr(claim_queue, "monotonic", watch)
    return watch


def test_the_oldest_claim_comes_first() -> None:
    queue = ClaimQueue()
    queue.push([claim(1), claim(2)])
    queue.push([claim(3)])
    assert len(queue) == 3
    assert [claim.id for claim in (queue.pop(), queue.pop(), queue.pop()) if claim] == [1, 2, 3]
    assert queue.pop() is None


def test_only_claims_that_waited_too_long_expire(stopwatch: Stopwatch) -> None:
    queue = ClaimQueue()
    queue.push([claim(1), claim(2)])
    stopwatch.seconds += 0.2
    queue.push([claim(3)])
    assert [claim.id for claim in queue.pop_older_than(0.1)] == [1, 2]
    assert queue.pop_older_than(0.1) == []
    assert [claim.id for claim in queue.pop_older_than(0.0)] == [3]


def test_threads_never_get_the_same_claim() -> None:
    queue = ClaimQueue()
    queue.push([claim(number) for number in range(2_000)])

    def pop(expired: bool) -> list[Claim]:
        popped: list[Claim] = []
        while len(queue):
            if expired:
                popped += queue.pop_older_than(0.0)
            elif (claim := queue.pop()) is not None:
                popped.append(claim)
        return popped

    with ThreadPoolExecutor(4) as pool:
        popped = [claim.id for each in pool.map(pop, [False, False, False, True]) for claim in each]
    assert sorted(popped) == list(range(2_000))


def test_a_queue_of_batch_tasks_requests_a_full_batch() -> None:
    queue = ClaimQueue()
    assert queue.batch_size(4) == 4
    queue.adapt_batch_size([claim(1), claim(2, mode=ClaimMode.BATCH)], limit=4)
    assert (queue.batch_size(4), queue.saturated) == (BATCH_SIZE, False)
    assert queue.batch_size(BATCH_SIZE + 1) == BATCH_SIZE + 1
    queue.adapt_batch_size([claim(3)], limit=1)
    assert (queue.batch_size(4), queue.saturated) == (4, True)


def test_an_empty_claim_does_not_change_the_kind_of_tasks() -> None:
    queue = ClaimQueue()
    queue.adapt_batch_size([claim(1, mode=ClaimMode.BATCH)], limit=1)
    queue.adapt_batch_size([], limit=BATCH_SIZE)
    assert (queue.has_batch_tasks, queue.saturated) == (True, False)


def test_one_thread_at_a_time_waits_for_a_batch() -> None:
    queue, others = ClaimQueue(), list[tuple[bool, bool]]()

    class Stopping(Event):
        def wait(self, timeout: float | None = None) -> bool:
            others.append((queue.is_batch_pending, queue.wait_for_batch(Event())))
            return False

    assert queue.wait_for_batch(Stopping())
    assert others == [(True, False)]
    assert not queue.is_batch_pending


def test_a_broadcast_is_limited_in_mid_turn_only(stopwatch: Stopwatch) -> None:
    queue = ClaimQueue()
    assert queue.allows_broadcast(starts_turn=False)
    assert not queue.allows_broadcast(starts_turn=False)
    assert queue.allows_broadcast(starts_turn=True)
    stopwatch.seconds += BROADCAST_SECONDS - 0.01
    assert not queue.allows_broadcast(starts_turn=False)
    stopwatch.seconds += 0.02
    assert queue.allows_broadcast(starts_turn=False)
