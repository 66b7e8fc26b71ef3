"""Retry of transactions after lock or name conflicts."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from workbell.domain.errors import Contended
from workbell.domain.identity.user import AlreadyTaken

MAX_ATTEMPTS = 8

P = ParamSpec("P")
R = TypeVar("R")


def retry_on_contention(method: Callable[P, R]) -> Callable[P, R]:
    """
    Retry a method on lock or serialization conflicts, at most 8 times.

    For methods whose whole effect is one transaction, or several that may be
    repeated: `begin()` cannot run its caller's block twice. There is no delay,
    because the database has already let the other transaction finish.
    """

    @wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return method(*args, **kwargs)
            except Contended:
                continue
        return method(*args, **kwargs)

    return wrapper


def retry_on_name_conflict(attempt: Callable[[], R]) -> R:
    """Run an attempt again if another transaction took its name first."""
    attempt = retry_on_contention(attempt)
    try:
        return attempt()
    except AlreadyTaken:
        return attempt()
