"""Daily summaries: one email per user and local day, at the user's time."""

from datetime import date, datetime
from typing import Protocol, TypeVar

from workbell.domain.identity.user import User
from workbell.domain.notifications.digest import DigestItem

TxT_contra = TypeVar("TxT_contra", contravariant=True)


class DailyDigest(Protocol[TxT_contra]):
    """What another context contributes to the daily summary."""

    def __call__(
        self, tx: TxT_contra, user: User, today: date, now: datetime
    ) -> tuple[list[DigestItem], list[DigestItem]]:
        """
        Return the user's open tasks that are overdue, and those due today.

        `today` is the user's local day. Only what the user may see, earliest first.
        """
        ...
