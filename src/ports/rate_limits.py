"""Rate limiter (approximate, fast) and quotas (exact, in the store)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.rate_limits.policy import Decision, RateLimitKey


class RateLimiter(Protocol):
    """
    Counts that may be lost: in memory, or in a Redis shared by processes.

    Never raises: if Redis is unavailable, each process counts by itself.
    """

    def hit(self, keys: Sequence[RateLimitKey], now: datetime, cost: int = 1) -> Sequence[Decision]:
        """
        Consume the cost from every key, or from none if one rejects it.

        The decisions are in the order of the keys. In any period of a rate's seconds
        at most its count is admitted, for any number of threads. A cost of 0 only
        reads. `retry_after` is a lower bound for costs above 1.
        """


class QuotaRepository(Protocol):
    """Exact counts that survive restarts: a log of uses per key."""

    def consume(self, key: RateLimitKey, now: datetime, cost: int = 1) -> Decision:
        """
        Consume the cost if the policy allows it.

        Locks the key until the transaction ends; a rollback restores the count.
        """

    def peek(self, key: RateLimitKey, now: datetime) -> Decision:
        """Return the decision on one more use, without a lock or consuming it."""

    def refund(self, key: RateLimitKey) -> None:
        """Undo the last use under a key, if there is one."""

    def prune(self, now: datetime, *, limit: int) -> int:
        """Delete up to `limit` keys without any use that still counts."""


class RateLimitTx(Protocol):
    """The repository that rate limits use within one transaction."""

    @property
    def quotas(self) -> QuotaRepository:
        """The quotas."""
