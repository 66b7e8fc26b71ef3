"""Rate-limit logs in SQL: one row per key, locked while it is changed."""

from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import frozen
from sqlalchemy import Connection, bindparam, delete, select, update

from workbell.adapters.sql.database.column_types import json_value, to_db_values
from workbell.adapters.sql.database.statements import PreparedStatement, insert_if_absent, prepare
from workbell.adapters.sql.schema.tables import quotas
from workbell.domain.rate_limits.policy import Decision, RateLimitKey, admit, consume

quotas_c = quotas.c
_LOG = select(quotas_c.log).where(quotas_c.key == bindparam("for_key"))
_PEEK = prepare(_LOG, "for_key")
_LOCK = prepare(_LOG.with_for_update(), "for_key")
_update = update(quotas).where(quotas_c.key == bindparam("for_key"))
_WRITE = prepare(
    _update.values(log=bindparam("new_log"), until=bindparam("new_until")),
    "new_log",
    "new_until",
    "for_key",
)
_WRITE_LOG = prepare(_update.values(log=bindparam("new_log")), "new_log", "for_key")
_INSERT = PreparedStatement(
    lambda dialect: insert_if_absent(quotas, dialect), ("key", "until", "log")
)
_OLD = (
    select(quotas_c.key)
    .where(quotas_c.until <= bindparam("now"))
    .order_by(quotas_c.until, quotas_c.key)
)
_DELETE = delete(quotas).where(
    quotas_c.key.in_(bindparam("keys", expanding=True)), quotas_c.until <= bindparam("now")
)


@frozen
class SqlQuotaRepository:
    """Rate limits that survive restarts, with an exact log for each key."""

    _db: Connection

    def consume(self, key: RateLimitKey, now: datetime, cost: int = 1) -> Decision:
        """Consume the cost if the policy allows it."""
        policy, at = key.policy, now.timestamp()
        log = self._locked(key.key, now)
        decision = admit(policy, log, at, cost)
        if not decision.allowed:
            return decision
        log = consume(policy.rate, log, at, cost)
        until = datetime.fromtimestamp(log[-1] + policy.rate.seconds, UTC) if log else now
        _WRITE.execute_no_result(self._db, to_db_values((log, until, key.key), self._db.dialect))
        return decision.after_request(cost)

    def peek(self, key: RateLimitKey, now: datetime) -> Decision:
        """Return the decision for one more request, without consuming it."""
        return admit(key.policy, self._log(_PEEK, key.key) or (), now.timestamp())

    def refund(self, key: RateLimitKey) -> None:
        """Remove the newest entry of a key's log, if there is one."""
        if log := self._log(_LOCK, key.key):
            _WRITE_LOG.execute_no_result(
                self._db, to_db_values((log[:-1], key.key), self._db.dialect)
            )

    def prune(self, now: datetime, *, limit: int) -> int:
        """Delete up to `limit` keys whose entries have all expired."""
        keys = self._db.execute(_OLD.limit(limit), {"now": now}).scalars().all()
        if not keys:
            return 0
        return self._db.execute(_DELETE, {"keys": keys, "now": now}).rowcount

    def _locked(self, key: str, now: datetime) -> Sequence[float]:
        """Lock a key's row, inserting it if it is missing, and return its log."""
        while (log := self._log(_LOCK, key)) is None:
            _INSERT.execute_no_result(self._db, to_db_values((key, now, []), self._db.dialect))
        return log

    def _log(self, query: PreparedStatement, key: str) -> Sequence[float] | None:
        rows = query.fetch_all(self._db, (key,))
        found: Sequence[float] | None = json_value(rows[0][0]) if rows else None
        return found
