"""Work that met another transaction is done again, and not for ever."""

import pytest

from workbell.domain.errors import Conflict, Contended
from workbell.services.transaction_retry import MAX_ATTEMPTS, retry_on_contention


def met(times: int) -> tuple[list[int], object]:
    """Return the calls of a method that meets another so often, and what came of it."""
    calls: list[int] = []

    @retry_on_contention
    def work() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise Contended
        return "done"

    try:
        return calls, work()
    except Contended as error:
        return calls, error


def test_it_is_called_until_it_meets_nobody() -> None:
    calls, outcome = met(MAX_ATTEMPTS - 1)

    assert (len(calls), outcome) == (MAX_ATTEMPTS, "done")


def test_it_gives_up_in_the_end() -> None:
    calls, outcome = met(MAX_ATTEMPTS)

    assert len(calls) == MAX_ATTEMPTS
    assert isinstance(outcome, Contended)


def test_other_errors_are_not_tried_again() -> None:
    calls: list[int] = []

    @retry_on_contention
    def work() -> None:
        calls.append(1)
        raise Conflict

    with pytest.raises(Conflict):
        work()
    assert len(calls) == 1
