"""Repository of one-time codes."""

from datetime import datetime
from typing import Protocol

from workbell.domain.identity.one_time_code import OneTimeCode, Purpose
from workbell.domain.identity.user import UserId


class OneTimeCodeRepository(Protocol):
    """One-time codes; the rows stay, for counting, until they are purged."""

    def add(self, code: OneTimeCode) -> OneTimeCode:
        """
        Keep a new code, and return it with its id; ids grow.

        Every earlier code of the same person and purpose expires at the new
        one's `created_at`, unless it did before (`OneTimeCode.superseded`).
        The caller holds the person's row (`Users.get_for_update`).
        """
        ...

    def latest(self, user_id: UserId, purpose: Purpose) -> OneTimeCode | None:
        """Return the code with the highest id, whatever its state; no lock."""
        ...

    def count_since(self, user_id: UserId, purpose: Purpose, since: datetime) -> int:
        """Return how many codes were made after a moment (`created_at > since`)."""
        ...

    def count_wrong_since(self, user_id: UserId, since: datetime) -> int:
        """
        Return how many tries failed, of all codes made after a moment.

        A code's `attempts` count, whatever it was for, less the one that used
        it up. The caller holds the person's row, so that nobody is counted
        past.
        """
        ...

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove codes made before a moment, at most so many; return how many."""
        ...

    def try_attempt(self, code_id: int, now: datetime) -> bool:
        """
        Count one try, before it is known whether it will succeed.

        One UPDATE: `attempts` grows by one where `used_at` is null,
        `expires_at > now` and `attempts < domain.otp.MAX_ATTEMPTS`. False,
        and no change, where no row fits. It makes a flood of parallel guesses
        no better than one after another.
        """
        ...

    def try_use(self, code_id: int, now: datetime) -> bool:
        """
        Use a code up.

        One UPDATE: `used_at` becomes now where `used_at` is null and
        `expires_at > now`; attempts are not looked at, for the try was
        counted already. False, and no change, where no row fits; of parallel
        callers one gets True.
        """
        ...
