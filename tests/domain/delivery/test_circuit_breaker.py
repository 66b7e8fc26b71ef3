"""The circuit breaker: opens after five failures, probes, and closes."""

from datetime import datetime, timedelta

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.contract.factories import ManualClock
from tests.domain.delivery.factories import NOON, after, an_open_breaker
from workbell.domain.delivery.circuit_breaker import (
    FIRST_PAUSE,
    MAX_PAUSE,
    BreakerState,
    CircuitBreaker,
)

pytestmark = pytest.mark.unit

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
LIMIT = timedelta(seconds=45)


def failed(times: int, breaker: CircuitBreaker | None = None) -> CircuitBreaker:
    """Return a breaker after failures of different deliveries, a second apart."""
    breaker = breaker or CircuitBreaker()
    for n in range(times):
        breaker = breaker.fail(100 + n, after(n))
    return breaker


def test_a_new_breaker_is_pristine_and_admits_everything() -> None:
    assert CircuitBreaker().is_pristine
    assert CircuitBreaker().admits(1, NOON)
    assert CircuitBreaker().start(1, NOON, LIMIT) == CircuitBreaker()


def test_four_failures_in_a_row_leave_it_closed_and_the_fifth_opens_it_for_a_minute() -> None:
    four = failed(4)
    assert (four.state, four.failures, four.failing_since) == (CLOSED, 4, NOON)
    assert four.admits(1, NOON)
    five = four.fail(9, after(4))
    assert (five.state, five.openings, five.open_until) == (OPEN, 1, after(64))
    assert not five.admits(1, after(63))
    assert not five.is_pristine


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = failed(4).succeed()
    assert breaker.is_pristine
    assert failed(4, breaker).state is CLOSED


def test_after_the_pause_one_delivery_is_admitted_as_the_probe() -> None:
    probing = an_open_breaker().start(7, after(60), LIMIT)
    assert (probing.state, probing.probe, probing.open_until) == (HALF_OPEN, 7, after(105))
    assert probing.admits(7, after(61))
    assert not probing.admits(8, after(61))


def test_a_successful_probe_closes_it() -> None:
    assert an_open_breaker().start(7, after(60), LIMIT).succeed() == CircuitBreaker()


def test_a_failed_probe_opens_it_for_twice_as_long() -> None:
    again = an_open_breaker().start(7, after(60), LIMIT).fail(7, after(62))
    assert (again.state, again.openings, again.probe) == (OPEN, 2, None)
    assert again.open_until == after(62) + 2 * FIRST_PAUSE


def test_pauses_double_up_to_15_minutes() -> None:
    breaker, now = failed(5), after(4)
    pauses: list[timedelta] = []
    for _ in range(20):
        assert breaker.open_until is not None
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        breaker = breaker.start(1, now, LIMIT).fail(1, now)
    assert [pause.total_seconds() for pause in pauses[:5]] == [60, 120, 240, 480, 900]
    assert set(pauses[4:]) == {MAX_PAUSE}


def test_a_probe_without_a_result_is_replaced_after_its_limit() -> None:
    probing = an_open_breaker().start(7, after(60), LIMIT)
    assert probing.admits(8, after(105))
    assert probing.start(8, after(105), LIMIT).probe == 8


def test_a_delivery_that_was_sent_earlier_does_not_extend_the_pause() -> None:
    breaker = an_open_breaker()
    late = breaker.fail(3, after(10))
    assert (late.state, late.open_until, late.openings) == (OPEN, after(60), 1)
    assert late.failures == breaker.failures + 1
    replaced = breaker.start(7, after(60), LIMIT).fail(3, after(61))
    assert (replaced.state, replaced.probe) == (HALF_OPEN, 7)


def test_a_day_of_failures_is_too_long() -> None:
    breaker = an_open_breaker()
    assert not breaker.is_failing_too_long(after(hours=24) - timedelta.resolution)
    assert breaker.is_failing_too_long(after(hours=24))
    assert not CircuitBreaker().is_failing_too_long(NOON)


def test_two_failures_a_day_apart_are_not_too_long() -> None:
    breaker = CircuitBreaker().fail(1, NOON).fail(2, after(days=2))
    assert not breaker.is_failing_too_long(after(days=2))


@given(st.lists(st.booleans(), max_size=60))
def test_while_closed_it_opens_exactly_after_five_failures_in_a_row(results: list[bool]) -> None:
    breaker, in_a_row = CircuitBreaker(), 0
    for n, success in enumerate(results):
        breaker = breaker.succeed() if success else breaker.fail(n, after(n))
        in_a_row = 0 if success else in_a_row + 1
        assert breaker.failures == in_a_row
        assert (breaker.state is CLOSED) == (in_a_row < 5)


@define
class Sent:
    """A delivery under way, and when it was started."""

    id: int
    at: datetime


class BreakerMachine(RuleBasedStateMachine):
    """Deliveries start, succeed and fail in any order while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(NOON)
        self.breaker = CircuitBreaker()
        self.under_way: list[Sent] = []
        self.last_id = 0

    @rule(seconds=st.integers(0, 2_000))
    def wait(self, seconds: int) -> None:
        self.clock.at += timedelta(seconds=seconds)

    @rule()
    def start(self) -> None:
        self.last_id += 1
        if self.breaker.admits(self.last_id, self.clock.now()):
            self.breaker = self.breaker.start(self.last_id, self.clock.now(), LIMIT)
            self.under_way.append(Sent(self.last_id, self.clock.now()))

    @precondition(lambda self: self.under_way)
    @rule(nth=st.integers(0, 1_000), success=st.booleans())
    def end(self, nth: int, success: bool) -> None:
        sent = self.under_way.pop(nth % len(self.under_way))
        before, now = self.breaker, self.clock.now()
        self.breaker = before.succeed() if success else before.fail(sent.id, now)
        if success:
            assert self.breaker.is_pristine
        elif before.state is not CLOSED and before.probe != sent.id:
            assert self.breaker.open_until == before.open_until

    @invariant()
    def the_state_is_consistent(self) -> None:
        breaker = self.breaker
        assert (breaker.state is CLOSED) == (breaker.open_until is None)
        assert (breaker.state is HALF_OPEN) == (breaker.probe is not None)
        assert (breaker.failures == 0) == (breaker.failing_since is None)
        if breaker.state is CLOSED:
            assert breaker.failures < 5
            assert breaker.openings == 0

    @invariant()
    def it_never_pauses_for_more_than_15_minutes(self) -> None:
        until = self.breaker.open_until
        assert until is None or until <= self.clock.now() + MAX_PAUSE


TestBreakerMachine = BreakerMachine.TestCase
