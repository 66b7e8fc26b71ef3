"""Thread slots: busy, reserved, idle."""

from threading import Event, Thread

import pytest

from tests.processes.fleet import until
from workbell.adapters.dramatiq.thread_slots import ThreadSlots


def test_a_reserved_thread_is_not_idle_and_becomes_busy() -> None:
    slots = ThreadSlots(1)
    assert slots.wait_idle(0)
    assert slots.reserve_idle_thread()
    assert not slots.reserve_idle_thread()
    assert not slots.wait_idle(0)
    with slots.turn():
        assert (slots.busy, slots.reserved) == (1, 0)
        assert not slots.reserve_idle_thread()
    assert slots.reserve_idle_thread()


def test_a_turn_that_fails_ends_too() -> None:
    slots = ThreadSlots(1)
    with pytest.raises(OSError, match="gone"), slots.turn():
        raise OSError("gone")
    assert slots.busy == 0


def test_no_more_threads_are_reserved_than_are_idle() -> None:
    slots = ThreadSlots(4)
    assert slots.reserve_idle_thread()
    with slots.turn(), slots.turn():
        assert slots.reserve(-1) == 0
        assert slots.reserve(1) == 1
        assert slots.reserve(9) == 1
        assert slots.reserve(9) == 0


def test_threads_that_claim_together_are_available() -> None:
    slots = ThreadSlots(2)
    with slots.turn(), slots.turn():
        assert slots.available(sharing=2) == 2
        assert slots.available(sharing=0) == 1  # the inline worker has no thread of its own


def test_closed_slots_have_no_idle_thread() -> None:
    slots = ThreadSlots(2)
    slots.close()
    assert not slots.wait_idle(0)
    assert not slots.reserve_idle_thread()


def test_waiting_ends_with_the_last_turn() -> None:
    slots, go = ThreadSlots(1), Event()

    def work() -> None:
        with slots.turn():
            go.wait(10)

    thread = Thread(target=work)
    thread.start()
    until(lambda: slots.busy == 1)
    assert not slots.wait_all_idle(0)
    assert not slots.wait_idle(0)
    go.set()
    assert slots.wait_all_idle(10)
    assert slots.wait_idle(10)
    thread.join(10)
