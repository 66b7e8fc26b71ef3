"""Quotas in memory: of each key an exact log."""

from datetime import datetime

from attrs import define

from workbell.adapters.memory.tables import QuotaLog, Tables
from workbell.domain.rate_limits.policy import Decision, RateLimitKey, admit, consume


@define(eq=False)
class MemoryQuotaRepository:
    """Counts that live as long as their store."""

    _tables: Tables

    def consume(self, key: RateLimitKey, now: datetime, cost: int = 1) -> Decision:
        """Spend the cost if the policy allows it."""
        policy, at = key.policy, now.timestamp()
        log = self._log(key)
        decision = admit(policy, log, at, cost)
        if not decision.allowed:
            return decision
        kept = tuple(consume(policy.rate, log, at, cost))
        until = kept[-1] + policy.rate.seconds if kept else at
        self._tables.quotas.put(key.key, QuotaLog(until, kept))
        return decision.after_request(cost)

    def peek(self, key: RateLimitKey, now: datetime) -> Decision:
        """Return what the policy would say to one more."""
        return admit(key.policy, self._log(key), now.timestamp())

    def refund(self, key: RateLimitKey) -> None:
        """Undo what was spent last under a key, if anything was."""
        found = self._tables.quotas.get(key.key)
        if found is not None and found.log:
            self._tables.quotas.put(key.key, QuotaLog(found.until, found.log[:-1]))

    def prune(self, now: datetime, *, limit: int) -> int:
        """Delete at most so many keys under which nothing counts any more."""
        at, rows = now.timestamp(), self._tables.quotas.rows
        old = sorted((row.until, key) for key, row in rows.items() if row.until <= at)[:limit]
        for _, key in old:
            self._tables.quotas.delete(key)
        return len(old)

    def _log(self, charge: RateLimitKey) -> tuple[float, ...]:
        found = self._tables.quotas.get(charge.key)
        return found.log if found is not None else ()
