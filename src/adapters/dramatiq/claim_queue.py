"""Claims of one queue that wait for a thread."""

from collections import deque
from collections.abc import Sequence
from math import inf
from threading import Lock
from time import monotonic
from typing import NamedTuple

from attrs import define, field

from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import ClaimMode

BATCH_SIZE = 100
BROADCAST_SECONDS = 0.05
"""Minimum interval of wake-ups that threads in mid-turn send to other processes."""
PASS_ON_SECONDS = 1.0


class _WaitingClaim(NamedTuple):
    since: float
    claim: Claim


@define(eq=False)
class ClaimQueue:
    """
    The claims of one queue that wait for a thread of this process.

    `saturated`: the last claim returned as many rows as requested, so there may
    be more. `has_batch_tasks`: it returned batch tasks. `is_batch_pending`: a
    thread waits for batch tasks to accumulate before it claims. `_exhausted_for`
    are the saturated fairness keys for which a claim last found too few rows of
    all others; None if more may be ready.
    """

    saturated: bool = False
    has_batch_tasks: bool = False
    is_batch_pending: bool = False
    _waiting: deque[_WaitingClaim] = field(factory=deque[_WaitingClaim])
    _last_broadcast: float = 0.0
    _last_passed_on: float = -inf
    _exhausted_for: frozenset[str] | None = None
    _lock: Lock = field(factory=Lock)

    def __len__(self) -> int:
        """Return the number of waiting claims."""
        return len(self._waiting)

    def push(self, claims: Sequence[Claim]) -> None:
        """Append claims."""
        now = monotonic()
        with self._lock:
            self._waiting.extend(_WaitingClaim(now, claim) for claim in claims)

    def pop(self) -> Claim | None:
        """Remove and return the oldest claim, or None if there is none."""
        with self._lock:
            return self._waiting.popleft().claim if self._waiting else None

    def pop_older_than(self, seconds: float) -> list[Claim]:
        """Remove and return the claims that have waited for `seconds`."""
        before = monotonic() - seconds
        expired: list[Claim] = []
        with self._lock:
            while self._waiting and self._waiting[0].since <= before:
                expired.append(self._waiting.popleft().claim)
        return expired

    def batch_size(self, free_threads: int) -> int:
        """Return how many rows the next claim requests, and locks."""
        return max(BATCH_SIZE, free_threads) if self.has_batch_tasks else free_threads

    def adapt_batch_size(self, claims: Sequence[Claim], limit: int) -> None:
        """Update the flags from the claims of a request for `limit` rows."""
        self.saturated = len(claims) >= limit
        if claims:
            self.has_batch_tasks = any(claim.mode is ClaimMode.BATCH for claim in claims)

    def is_exhausted(self, before: frozenset[str], after: frozenset[str]) -> bool:
        """
        Whether no row is left for a claim that leaves out the keys of `after`.

        Call it after a claim that found fewer rows than requested while the keys
        of `before` were saturated: rows of the new keys in `after` may have been
        in front of others. Rows that become ready later wake a thread themselves.
        """
        if before == after:
            self._exhausted_for = before
        return self._exhausted_for is not None and self._exhausted_for <= after

    def reset_exhausted(self) -> None:
        """Note that a claim found as many rows as requested: there may be more."""
        self._exhausted_for = None

    def start_batch(self) -> bool:
        """Start to wait for batch tasks, unless another thread waits."""
        with self._lock:
            if self.is_batch_pending:
                return False
            self.is_batch_pending = True
            return True

    def end_batch(self) -> None:
        """End the wait for batch tasks."""
        self.is_batch_pending = False

    def allows_broadcast(self, *, starts_turn: bool) -> bool:
        """
        Whether a thread that leaves work in the queue may wake another process.

        Always at the start of a turn, so that a wake-up spreads until all
        threads are busy; in mid-turn once in `BROADCAST_SECONDS`.
        """
        now = monotonic()
        with self._lock:
            if not starts_turn and now - self._last_broadcast < BROADCAST_SECONDS:
                return False
            self._last_broadcast = now
            return True

    def allows_passing_on(self) -> bool:
        """Whether a wake-up without work may go on to another process: once a second."""
        now = monotonic()
        with self._lock:
            if now - self._last_passed_on < PASS_ON_SECONDS:
                return False
            self._last_passed_on = now
            return True
