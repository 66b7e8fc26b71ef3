"""Repository of one-time codes."""

from datetime import datetime
from typing import Protocol

from workbell.domain.identity.one_time_code import OneTimeCode, Purpose
from workbell.domain.identity.user import UserId


class OneTimeCodeRepository(Protocol):
    """One-time codes; used rows remain for counting until they are purged."""

    def add(self, code: OneTimeCode) -> OneTimeCode:
        """
        Insert a code and return it with its id; ids ascend.

        Earlier codes of the same user and purpose expire at the new code's
        `created_at`, if they have not already (`OneTimeCode.superseded`). The caller
        holds the user's row (`UserRepository.get_for_update`).
        """

    def latest(self, user_id: UserId, purpose: Purpose) -> OneTimeCode | None:
        """Return the code with the highest id in any state, without a lock."""

    def count_since(self, user_id: UserId, purpose: Purpose, since: datetime) -> int:
        """Return how many codes were created after an instant."""

    def count_wrong_since(self, user_id: UserId, since: datetime) -> int:
        """
        Return how many attempts failed, of codes created after an instant.

        Counts every purpose; the attempt that used a code up is not counted. The
        caller holds the user's row, so that all attempts are counted.
        """

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` codes created before a time; return how many."""

    def try_attempt(self, code_id: int, now: datetime) -> bool:
        """
        Count an attempt before the code is compared; False if none is left.

        One UPDATE: increments `attempts` where `used_at` is null, `expires_at > now`
        and `attempts < MAX_ATTEMPTS`. Parallel guesses therefore get no more
        attempts than sequential ones.
        """

    def try_use(self, code_id: int, now: datetime) -> bool:
        """
        Mark a code as used; of parallel callers exactly one gets True.

        One UPDATE: sets `used_at` where it is null and `expires_at > now`. Attempts
        are not checked, because `try_attempt` has counted this one.
        """
