"""What is kept of people's second factors."""

from typing import Protocol

from workbell.domain.identity.second_factor import SecondFactor
from workbell.domain.identity.user import UserId


class SecondFactors(Protocol):
    """Second factors, at most one of a person, confirmed or not."""

    def find(self, user_id: UserId) -> SecondFactor | None:
        """Return a person's factor as it now stands, without a lock."""
        ...

    def put(self, factor: SecondFactor) -> None:
        """
        Keep a new factor in place of the one that its person had.

        The caller holds the person's row (`Users.get_for_update`).
        """
        ...

    def replace(self, before: SecondFactor, after: SecondFactor) -> bool:
        """
        Keep a factor as it now stands, if nobody has used or changed it since.

        One UPDATE: `confirmed_at`, `last_step` and `recovery` change where
        seed, `last_step` and `recovery` are those of `before`. False, and no
        change, where no row fits; of parallel callers one gets True.
        """
        ...

    def remove(self, user_id: UserId) -> bool:
        """Remove a person's factor with its recovery codes; return whether there was one."""
        ...
