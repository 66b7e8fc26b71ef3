"""Contention: short work is done again when another transaction met it."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from workbell.domain.errors import Contended
from workbell.domain.identity.user import AlreadyTaken

TIMES = 8

P = ParamSpec("P")
R = TypeVar("R")


def retry_on_contention(method: Callable[P, R]) -> Callable[P, R]:
    """
    Have a method called again, from its first line, when it meets a deadlock.

    It is for methods whose whole effect is one transaction, or several that
    may each be repeated: a `begin()` cannot run its caller's block twice, and
    only the method knows that nothing else has happened yet. The database
    has let the others go first, so there is nothing to wait for.
    """

    @wraps(method)
    def patient(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(TIMES - 1):
            try:
                return method(*args, **kwargs)
            except Contended:
                continue
        return method(*args, **kwargs)

    return patient


def retry_on_name_conflict(attempt: Callable[[], R]) -> R:
    """Try again, where another took the name that was found free a moment before."""
    attempt = retry_on_contention(attempt)
    try:
        return attempt()
    except AlreadyTaken:
        return attempt()
