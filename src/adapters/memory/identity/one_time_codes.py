"""One-time codes in memory."""

from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.domain.identity.one_time_code import OneTimeCode, Purpose
from workbell.domain.identity.user import UserId


@define(eq=False)
class MemoryOneTimeCodeRepository:
    """One-time codes; used and expired ones stay, for counting, until they are purged."""

    _tables: Tables

    def add(self, code: OneTimeCode) -> OneTimeCode:
        """Insert a code and expire the user's earlier ones for its purpose."""
        for earlier in self._of(code.user_id, code.purpose):
            self._tables.codes.put(earlier.id, earlier.superseded(code.created_at))
        stored = evolve(code, id=self._tables.codes.next_id())
        self._tables.codes.put(stored.id, stored)
        return stored

    def latest(self, user_id: UserId, purpose: Purpose) -> OneTimeCode | None:
        """Return the newest code in any state, or None."""
        return max(self._of(user_id, purpose), key=lambda code: code.id, default=None)

    def count_since(self, user_id: UserId, purpose: Purpose, since: datetime) -> int:
        """Return the number of codes created after a time."""
        return sum(code.created_at > since for code in self._of(user_id, purpose))

    def count_wrong_since(self, user_id: UserId, since: datetime) -> int:
        """Return the number of wrong attempts on codes created after a time."""
        return sum(
            code.attempts - (code.used_at is not None and code.attempts > 0)
            for code in self._tables.codes
            if code.user_id == user_id and code.created_at > since
        )

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` codes created before a time; return how many."""
        old = [code.id for code in self._tables.codes if code.created_at < before][:limit]
        for code_id in old:
            self._tables.codes.delete(code_id)
        return len(old)

    def try_attempt(self, code_id: int, now: datetime) -> bool:
        """Count an attempt before verifying it; return False if none is left."""
        code = self._tables.codes.get(code_id)
        if code is None or not code.can_be_tried(now):
            return False
        self._tables.codes.put(code_id, code.tried())
        return True

    def try_use(self, code_id: int, now: datetime) -> bool:
        """Mark a code as used; return False if it is not usable."""
        code = self._tables.codes.get(code_id)
        if code is None or not code.is_usable(now):
            return False
        self._tables.codes.put(code_id, code.used(now))
        return True

    def _of(self, user_id: UserId, purpose: Purpose) -> list[OneTimeCode]:
        of_user = (code for code in self._tables.codes if code.user_id == user_id)
        return [code for code in of_user if code.purpose is purpose]
