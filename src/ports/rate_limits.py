"""Counting what was asked: the limiter for rates, the store for quotas."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.rate_limits.policy import Decision, RateLimitKey


class RateLimiter(Protocol):
    """
    Counts that may be lost: in memory, or in a Redis that several processes share.

    It never raises: where Redis does not answer, each process counts by itself.
    """

    def hit(
        self, charges: Sequence[RateLimitKey], now: datetime, cost: int = 1
    ) -> Sequence[Decision]:
        """
        Spend the cost under every charge, or under none if one refuses.

        The decisions come in the order of the charges. At most the rate's
        count is admitted in any span of its seconds, whatever the number of
        threads. A cost of 0 only looks. `retry_after` is a lower bound where
        the cost is greater than 1.
        """
        ...


class QuotaRepository(Protocol):
    """Counts that outlive a restart: of each key an exact log."""

    def consume(self, charge: RateLimitKey, now: datetime, cost: int = 1) -> Decision:
        """
        Spend the cost if the policy allows it.

        Nobody else gets past this call for the same key until the
        transaction ends; what was spent is given back if it is undone.
        """
        ...

    def peek(self, charge: RateLimitKey, now: datetime) -> Decision:
        """Return what the policy would say to one more; no lock, nothing spent."""
        ...

    def refund(self, charge: RateLimitKey) -> None:
        """Undo what was spent last under a key, if anything was."""
        ...

    def prune(self, now: datetime, *, limit: int) -> int:
        """Delete at most so many keys under which nothing counts any more."""
        ...


class RateLimitTx(Protocol):
    """What throttling may touch within one transaction."""

    @property
    def quotas(self) -> QuotaRepository:
        """The counts."""
        ...
