"""Transactions are retried on conflicts, a limited number of times."""

import pytest

from workbell.domain.errors import Conflict, Contended
from workbell.services.transaction_retry import MAX_ATTEMPTS, retry_on_contention


def call_with_conflicts(times: int) -> tuple[list[int], object]:
    """Call a method with this many conflicts; return the calls and the result."""
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


def test_it_is_retried_until_there_is_no_conflict() -> None:
    calls, outcome = call_with_conflicts(MAX_ATTEMPTS - 1)

    assert (len(calls), outcome) == (MAX_ATTEMPTS, "done")


def test_it_gives_up_after_the_maximum_number_of_attempts() -> None:
    calls, outcome = call_with_conflicts(MAX_ATTEMPTS)

    assert len(calls) == MAX_ATTEMPTS
    assert isinstance(outcome, Contended)


def test_other_errors_are_not_retried() -> None:
    calls: list[int] = []

    @retry_on_contention
    def work() -> None:
        calls.append(1)
        raise Conflict

    with pytest.raises(Conflict):
        work()
    assert len(calls) == 1
