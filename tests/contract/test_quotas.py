"""Quotas: exact under concurrency, and preserved across restarts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.factories import NOON, ManualClock, after
from tests.contract.servers import SERVER_KINDS, server
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.domain.identity.user import UserId
from workbell.domain.rate_limits.policy import (
    Decision,
    Policies,
    Policy,
    Rate,
    RateLimited,
    RateLimitKey,
    RateLimitRequest,
    Route,
    Subject,
)
from workbell.ports.rate_limits import RateLimitTx
from workbell.ports.store import Store
from workbell.services.rate_limits import RateLimiting

Counting = Store[RateLimitTx]
DAY = 86_400
FREE = Policy(name="free", rate=Rate(10, DAY), subject=Subject.USER, exact=True, meter="progress")
PREMIUM = Policy(
    name="premium", rate=Rate(1_000, DAY), subject=Subject.USER, exact=True, meter="progress"
)
SHORT = Policy(name="short", rate=Rate(2, 10), subject=Subject.ACCOUNT, exact=True)
ANN, BOB = RateLimitKey(FREE, "1"), RateLimitKey(FREE, "2")


def spend(store: Counting, charge: RateLimitKey, now: datetime = NOON, cost: int = 1) -> Decision:
    """Spend in one transaction."""
    with store.begin() as tx:
        return tx.quotas.consume(charge, now, cost)


def peek(store: Counting, charge: RateLimitKey, now: datetime = NOON) -> Decision:
    """Look, without a transaction."""
    with store.view() as tx:
        return tx.quotas.peek(charge, now)


def prune(store: Counting, now: datetime, limit: int = 100) -> int:
    with store.begin() as tx:
        return tx.quotas.prune(now, limit=limit)


def test_a_limit_of_ten_a_day_admits_ten(store: Counting) -> None:
    assert [spend(store, ANN, after(n)).remaining for n in range(10)] == list(range(9, -1, -1))
    refused = spend(store, ANN, after(60))
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert refused.retry_after == refused.reset_after == DAY - 60
    assert spend(store, BOB, after(60)).allowed
    assert not spend(store, ANN, after(DAY - 0.000_1)).allowed
    assert spend(store, ANN, after(DAY)).allowed
    assert not spend(store, ANN, after(DAY)).allowed


def test_a_refused_request_consumes_nothing(store: Counting) -> None:
    short = RateLimitKey(SHORT, "1")
    for n in range(8):
        spend(store, short, after(n))
    assert spend(store, short, after(10)).allowed
    assert peek(store, short, after(11)).remaining == 2 - 1


def test_peeking_consumes_nothing(store: Counting) -> None:
    unused = peek(store, ANN)
    assert (unused.allowed, unused.remaining, unused.reset_after) == (True, 10, 0)
    spend(store, ANN)
    for _ in range(12):
        assert (peek(store, ANN, after(5)).remaining, peek(store, ANN, after(5)).reset_after) == (
            9,
            DAY - 5,
        )
    spend(store, ANN, cost=9)
    assert not peek(store, ANN).allowed


def test_a_rolled_back_request_consumes_nothing(store: Counting) -> None:
    with suppress(ZeroDivisionError), store.begin() as tx:
        assert tx.quotas.consume(ANN, NOON).remaining == 9
        raise ZeroDivisionError
    assert peek(store, ANN).remaining == 10


def test_both_tiers_share_one_count(store: Counting) -> None:
    for n in range(12):
        assert spend(store, RateLimitKey(PREMIUM, "1"), after(n)).allowed
    refused = spend(store, ANN, after(20))
    assert (refused.allowed, refused.remaining, refused.retry_after) == (False, 0, DAY + 2 - 20)


def test_a_consumed_amount_can_be_refunded(store: Counting) -> None:
    short = RateLimitKey(SHORT, "1")
    with store.begin() as tx:
        tx.quotas.refund(short)
    spend(store, short, cost=2)
    with store.begin() as tx:
        tx.quotas.refund(short)
    assert peek(store, short).remaining == 1
    for _ in range(3):
        with store.begin() as tx:
            tx.quotas.refund(short)
    assert spend(store, short).remaining == 1


def test_a_batch_fits_whole_or_not_at_all(store: Counting) -> None:
    assert spend(store, ANN, cost=8).remaining == 2
    assert not spend(store, ANN, cost=3).allowed
    assert spend(store, ANN, cost=2).remaining == 0


def test_only_expired_quota_entries_are_pruned(store: Counting) -> None:
    for n in range(5):
        spend(store, RateLimitKey(SHORT, str(n)), after(n))
    spend(store, ANN)
    spend(store, RateLimitKey(SHORT, "0"), after(5))
    assert prune(store, after(10.9)) == 0
    assert prune(store, after(13), limit=2) == 2
    assert prune(store, after(13)) == 1
    assert peek(store, RateLimitKey(SHORT, "4"), after(13)).remaining == 1
    assert prune(store, after(DAY)) == 3
    assert prune(store, after(DAY)) == 0
    assert spend(store, ANN, after(DAY)).remaining == 9


def test_a_clock_set_back_admits_no_more_requests(store: Counting) -> None:
    short = RateLimitKey(SHORT, "1")
    spend(store, short)
    spend(store, short, after(-8))
    assert prune(store, after(9.9)) == 0
    assert not spend(store, short, after(9.9)).allowed
    assert spend(store, short, after(10)).remaining == 1


def test_the_longest_key_fits(store: Counting) -> None:
    long = Policy(name="p" * 32, rate=Rate(1, 1), subject=Subject.ADDRESS, exact=True)
    assert spend(store, RateLimitKey(long, "ü" * 95)).allowed
    assert not spend(store, RateLimitKey(long, "ü" * 95)).allowed
    assert spend(store, RateLimitKey(long, "Ü" * 95)).allowed


def at_once(stores: list[Counting], charge: RateLimitKey) -> int:
    """Return how many of 32 threads are admitted, each with a moment of its own."""
    barrier = Barrier(32)

    def ask(n: int) -> bool:
        barrier.wait()
        return spend(stores[n % len(stores)], charge, after(n / 32)).allowed

    with ThreadPoolExecutor(32) as pool:
        return sum(pool.map(ask, range(32)))


def test_ten_of_32_parallel_requests_are_admitted(store: Counting) -> None:
    assert at_once([store], ANN) == 10
    assert at_once([store], ANN) == 0
    assert at_once([store], BOB) == 10


@pytest.fixture(
    params=["sqlite", *[pytest.param(k, marks=pytest.mark.integration) for k in SERVER_KINDS]]
)
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SqlStore]:
    """Return a function that opens an empty database, each time with new connections."""
    if request.param != "sqlite":
        database = server(request.param)
        database.store(ManualClock())
        return lambda: database.open(ManualClock())
    url = f"sqlite:///{tmp_path}/quotas.db"
    store = open_store(url, ManualClock())
    store.migrate()
    store.close()
    return lambda: open_store(url, ManualClock(), pool_size=16)


def test_a_restart_refills_nothing(open_again: Callable[[], SqlStore]) -> None:
    for n in range(1, 15):
        store = open_again()
        assert spend(store, ANN, after(n)).remaining == max(10 - n, 0)
        store.close()
    store = open_again()
    assert at_once([store], ANN) == 0
    assert spend(store, ANN, after(DAY + 1)).allowed
    store.close()


def test_two_processes_share_one_count(open_again: Callable[[], SqlStore]) -> None:
    """Each store has connections of its own, as each process has."""
    stores = [open_again() for _ in range(2)]
    assert at_once([*stores], ANN) == 10
    for each in stores:
        each.close()


def test_two_processes_admit_five_events_a_second(open_again: Callable[[], SqlStore]) -> None:
    """Without Redis, and however many requests arrive at the same moment."""
    clock, barrier = ManualClock(), Barrier(16)
    off = dict.fromkeys(("anonymous", "user", "login", "free", "premium"))
    policies = Policies.of(ingest=Rate(5, 1), **off)
    stores = [open_again() for _ in range(2)]
    processes = [
        RateLimiting(store=each, limiter=MemoryRateLimiter(), clock=clock, policies=policies)
        for each in stores
    ]
    request = RateLimitRequest(address="192.0.2.7", route=Route.INGEST, user_id=UserId(7))

    def ask(n: int) -> bool:
        barrier.wait()
        with suppress(RateLimited):
            return bool(processes[n % 2].admit(request))
        return False

    with ThreadPoolExecutor(16) as pool:
        for second in (0, 0.999, 1, 1.5, 2):
            clock.at = after(second)
            admitted = sum(pool.map(ask, range(16)))
            assert admitted == (5 if second in {0, 1, 2} else 0)
    for store in stores:
        store.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(0, 40), max_size=40), number=st.integers())
def test_no_span_ever_holds_more_than_the_limit(
    store: Counting, gaps: list[int], number: int
) -> None:
    """And nothing is refused that would have fitted; gaps are in eighths of a second."""
    with store.begin() as tx:
        tx.quotas.prune(after(10**9), limit=10)
    charge, admitted, at = RateLimitKey(SHORT, f"{number}"[:90]), list[float](), 0.0
    for gap in gaps:
        at += gap / 8
        fits = sum(each > at - 10 for each in admitted) < 2
        assert spend(store, charge, after(at)).allowed is fits
        if fits:
            admitted.append(at)
    assert all(sum(a <= each < a + 10 for each in admitted) <= 2 for a in admitted)
