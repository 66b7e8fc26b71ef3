"""Quotas: one row a key, locked while it is spent from."""

from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import frozen
from sqlalchemy import Connection, bindparam, delete, select, update

from ...domain.throttling import Charge, Decision, admit, spend
from .schema import quotas
from .statements import insert_unless_taken

_q = quotas.c
_PEEK = select(_q.log).where(_q.key == bindparam("of_key"))
_LOCK = _PEEK.with_for_update()
_WRITE = update(quotas).where(_q.key == bindparam("of_key"))
_OLD = select(_q.key).where(_q.until <= bindparam("now")).order_by(_q.until, _q.key)
_DELETE = delete(quotas).where(
    _q.key.in_(bindparam("keys", expanding=True)), _q.until <= bindparam("now")
)


@frozen
class SqlQuotas:
    """Counts that outlive a restart: of each key an exact log."""

    _db: Connection

    def spend(self, charge: Charge, now: datetime, cost: int = 1) -> Decision:
        """Spend the cost if the policy allows it."""
        policy, at = charge.policy, now.timestamp()
        log = self._locked(charge.key, now)
        decision = admit(policy, log, at, cost)
        if not decision.allowed:
            return decision
        log = spend(policy.rate, log, at, cost)
        until = datetime.fromtimestamp(log[-1] + policy.rate.seconds, UTC) if log else now
        self._db.execute(_WRITE.values(log=log, until=until), {"of_key": charge.key})
        return decision.spent(cost)

    def peek(self, charge: Charge, now: datetime) -> Decision:
        """Return what the policy would say to one more."""
        log = self._db.execute(_PEEK, {"of_key": charge.key}).scalar() or ()
        return admit(charge.policy, log, now.timestamp())

    def give_back(self, charge: Charge) -> None:
        """Undo what was spent last under a key, if anything was."""
        if log := self._db.execute(_LOCK, {"of_key": charge.key}).scalar():
            self._db.execute(_WRITE.values(log=log[:-1]), {"of_key": charge.key})

    def prune(self, now: datetime, *, limit: int) -> int:
        """Delete at most so many keys under which nothing counts any more."""
        keys = self._db.execute(_OLD.limit(limit), {"now": now}).scalars().all()
        if not keys:
            return 0
        return self._db.execute(_DELETE, {"keys": keys, "now": now}).rowcount

    def _locked(self, key: str, now: datetime) -> Sequence[float]:
        """Return a key's log, its row locked; there is one from now on."""
        new = insert_unless_taken(quotas, self._db.dialect.name)
        while (log := self._db.execute(_LOCK, {"of_key": key}).scalar()) is None:
            self._db.execute(new.values(key=key, until=now, log=[]))
        found: Sequence[float] = log
        return found
