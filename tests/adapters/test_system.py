"""Clocks, random ids and random numbers."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from attrs import define, field

from workbell.adapters.system import (
    MIN_DURATION_SECONDS,
    AnchoredClock,
    SystemClock,
    SystemRandomness,
    UuidIds,
    min_duration,
)

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@define
class Machine:
    """A monotonic clock, and a database whose clock is `ahead` and slow to read."""

    seconds: float = 1000.0
    ahead: float = 0.0
    trips: Iterator[float] = field(factory=lambda: iter(()))

    def monotonic(self) -> float:
        return self.seconds

    def read_time(self) -> datetime:
        half = next(self.trips, 0.0) / 2
        self.seconds += half
        moment = after(self.seconds - 1000 + self.ahead)
        self.seconds += half
        return moment

    def clock(self) -> AnchoredClock:
        return AnchoredClock(self.read_time, self.monotonic)


def test_the_system_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_an_anchored_clock_advances_the_other_time() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now() == NOON
    machine.seconds += 90.5
    assert clock.now() == after(90.5)


def test_half_of_the_round_trip_is_added() -> None:
    machine = Machine(trips=iter([0.4]))
    assert machine.clock().now() == after(0.4)


def test_the_monotonic_clock_is_the_default() -> None:
    clock = AnchoredClock(lambda: NOON)
    assert NOON <= clock.now() < after(5)


def test_another_time_zone_is_converted() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    clock = AnchoredClock(lambda: NOON.astimezone(india), lambda: 0.0)
    assert clock.now().tzinfo is UTC
    assert clock.now() == NOON


def test_the_first_anchor_is_the_best_of_three_samples() -> None:
    machine = Machine(trips=iter([2.0, 0.6, 0.9]))
    assert machine.clock().anchor() == timedelta(0)
    quick = Machine(trips=iter([2.0, 0.1, 9.0]))
    quick.clock()
    assert next(quick.trips) == 9.0


def test_a_small_drift_is_corrected() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.ahead = -2.0
    assert clock.anchor() == timedelta(seconds=-2)
    assert clock.now() == after(-2)


@pytest.mark.parametrize("ahead", [2.5, -60.0])
def test_a_large_correction_is_returned(ahead: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.ahead = ahead
    assert clock.anchor() == timedelta(seconds=ahead)
    assert clock.now() == after(ahead)


FIVE_YEARS = 5 * 365 * 86_400.0


@pytest.mark.parametrize("ahead", [FIVE_YEARS, -FIVE_YEARS, 61.0])
def test_a_leap_is_accepted_after_three_anchors_over_30_seconds(ahead: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.ahead = ahead
    for seconds in (0, 10, 20):
        machine.seconds += 10.0 if seconds else 0.0
        assert clock.anchor() is None
        assert clock.has_leaped
        assert clock.now() == after(seconds)
    machine.seconds += 10
    assert clock.anchor() == timedelta(seconds=ahead)
    assert clock.now() == after(30 + ahead)
    assert not clock.has_leaped


def test_a_leap_that_ends_was_none() -> None:
    machine = Machine()
    clock = machine.clock()
    for ahead in (FIVE_YEARS, 0.0, FIVE_YEARS, FIVE_YEARS, 2 * FIVE_YEARS, FIVE_YEARS):
        machine.ahead = ahead
        assert clock.anchor() == (None if ahead else timedelta(0))
        machine.seconds += 30
        assert clock.now() == after(machine.seconds - 1000)


def test_a_slow_sample_is_dropped() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.ahead, machine.trips = 100.0, iter([0.6])
    assert clock.anchor() is None
    assert clock.now() == after(0.6)


def test_ids_are_opaque_and_unique() -> None:
    made = {UuidIds().new() for _ in range(100)}
    assert len(made) == 100
    assert all(len(id) == 32 and id.isalnum() for id in made)


def test_random_numbers_are_within_their_bounds() -> None:
    chance = SystemRandomness()
    assert {chance.randbelow(3) for _ in range(200)} == {0, 1, 2}
    assert all(1.0 <= chance.uniform(1.0, 2.0) <= 2.0 for _ in range(100))


@pytest.mark.parametrize("work", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("fails", [True, False])
def test_a_block_takes_the_minimum_duration_even_if_it_raises(work: float, fails: bool) -> None:
    began = time.perf_counter()
    with suppress(ZeroDivisionError), min_duration(0.03):
        time.sleep(work)
        if fails:
            raise ZeroDivisionError
    assert 0.03 <= time.perf_counter() - began < 0.2
    assert MIN_DURATION_SECONDS >= 0.02
