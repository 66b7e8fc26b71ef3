"""Second factors in memory."""

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.domain.identity.second_factor import SecondFactor
from workbell.domain.identity.user import UserId


@define(eq=False)
class MemorySecondFactorRepository:
    """Second factors, at most one per user, confirmed or not."""

    _tables: Tables

    def find(self, user_id: UserId) -> SecondFactor | None:
        """Return a user's factor, or None."""
        return self._tables.second_factors.get(user_id)

    def put(self, factor: SecondFactor) -> None:
        """Insert a factor, replacing the user's previous one."""
        self._tables.second_factors.put(factor.user_id, factor)

    def replace(self, before: SecondFactor, after: SecondFactor) -> bool:
        """Update a factor, unless it was used or changed since `before` was read."""
        stored = self.find(before.user_id)
        if stored is None or _guard(stored) != _guard(before):
            return False
        changed = evolve(stored, confirmed_at=after.confirmed_at, last_step=after.last_step)
        changed = evolve(changed, recovery=after.recovery)
        self._tables.second_factors.put(stored.user_id, changed)
        return True

    def remove(self, user_id: UserId) -> bool:
        """Delete a user's factor with its recovery codes."""
        exists = self.find(user_id) is not None
        self._tables.second_factors.delete(user_id)
        return exists


def _guard(factor: SecondFactor) -> tuple[str, int, tuple[str, ...]]:
    return factor.seed, factor.last_step, factor.recovery
