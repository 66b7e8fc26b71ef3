"""Claims at the same time stay within the limit of a fairness key together."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from workbell.adapters.dramatiq.claim_gate import ClaimGate

PATIENCE = 10.0


def counting(**counts: int) -> Callable[[], Mapping[str, int]]:
    return lambda: counts


def test_claims_far_from_the_limit_are_admitted_together() -> None:
    gate = ClaimGate(6)
    with gate.admit(1, counting(a=2)) as first, gate.admit(1, counting(a=4)) as second:
        assert (first, second) == ({"a": 2}, {"a": 4})


def test_keys_at_the_limit_do_not_delay_others() -> None:
    """They are left out of both claims."""
    gate = ClaimGate(3)
    with gate.admit(1, counting(full=3)), gate.admit(2, counting(full=4)):
        pass


def test_without_a_limit_nothing_is_counted() -> None:
    gate = ClaimGate(None)
    with gate.admit(100, lambda: pytest.fail("counted")) as counts:
        assert counts == {}


@pytest.mark.parametrize(("rows", "running"), [(8, 0), (1, 5)])
def test_a_claim_near_the_limit_waits_and_counts_again(rows: int, running: int) -> None:
    gate, counts, counted = ClaimGate(6), {"a": running}, Event()

    def count() -> Mapping[str, int]:
        counted.set()
        return dict(counts)

    def claim() -> Mapping[str, int]:
        with gate.admit(rows, count) as found:
            return found

    with ThreadPoolExecutor(1) as pool:
        with gate.admit(rows, counting(a=running)):
            second = pool.submit(claim)
            assert counted.wait(PATIENCE)
            counts["a"] = 6
            assert not second.done()
        assert second.result(PATIENCE) == {"a": 6}


def test_a_claim_that_fails_makes_room_for_the_next() -> None:
    gate = ClaimGate(1)
    with pytest.raises(ZeroDivisionError), gate.admit(1, counting()):
        raise ZeroDivisionError
    with gate.admit(1, counting()) as counts:
        assert counts == {}


def test_many_threads_never_exceed_the_limit() -> None:
    gate, running, start = ClaimGate(4), list[int](), Barrier(8)

    def claim(number: int) -> None:
        start.wait(PATIENCE)
        with gate.admit(3, lambda: {"a": len(running)}) as counts:
            room = min(3, 4 - counts["a"])
            running.extend([number] * max(0, room))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim, range(8)))
    assert len(running) == 4
