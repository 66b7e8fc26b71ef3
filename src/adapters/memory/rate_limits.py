"""Rate-limit logs in memory."""

from datetime import datetime

from attrs import define

from workbell.adapters.memory.tables import QuotaLog, Tables
from workbell.domain.rate_limits.policy import Decision, RateLimitKey, admit, consume


@define(eq=False)
class MemoryQuotaRepository:
    """Rate limits with an exact log for each key."""

    _tables: Tables

    def consume(self, key: RateLimitKey, now: datetime, cost: int = 1) -> Decision:
        """Consume the cost if the policy allows it."""
        policy, at = key.policy, now.timestamp()
        log = self._log(key)
        decision = admit(policy, log, at, cost)
        if not decision.allowed:
            return decision
        stored = tuple(consume(policy.rate, log, at, cost))
        until = stored[-1] + policy.rate.seconds if stored else at
        self._tables.quotas.put(key.key, QuotaLog(until, stored))
        return decision.after_request(cost)

    def peek(self, key: RateLimitKey, now: datetime) -> Decision:
        """Return the decision for one more request, without consuming it."""
        return admit(key.policy, self._log(key), now.timestamp())

    def refund(self, key: RateLimitKey) -> None:
        """Remove the newest entry of a key's log, if there is one."""
        found = self._tables.quotas.get(key.key)
        if found is not None and found.log:
            self._tables.quotas.put(key.key, QuotaLog(found.until, found.log[:-1]))

    def prune(self, now: datetime, *, limit: int) -> int:
        """Delete up to `limit` keys whose entries have all expired."""
        at, rows = now.timestamp(), self._tables.quotas.rows
        old = sorted((row.until, key) for key, row in rows.items() if row.until <= at)[:limit]
        for _, key in old:
            self._tables.quotas.delete(key)
        return len(old)

    def _log(self, charge: RateLimitKey) -> tuple[float, ...]:
        found = self._tables.quotas.get(charge.key)
        return found.log if found is not None else ()
