"""What other contexts contribute to notifications."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

from workbell.domain.identity.user import User, UserId
from workbell.domain.notifications.digest import DigestItem
from workbell.domain.notifications.notice import Notification

TxT_contra = TypeVar("TxT_contra", contravariant=True)


class MayReceive(Protocol[TxT_contra]):
    """The permission of a recipient, asked when an email is about to be sent."""

    def __call__(self, tx: TxT_contra, user_id: UserId, notification: Notification, /) -> bool:
        """Whether the user may still see what the notification is about."""
        ...


class Composer(Protocol[TxT_contra]):
    """The current content of an email of one kind."""

    def __call__(
        self, tx: TxT_contra, user: User, notification: Notification, /
    ) -> Mapping[str, Any] | None:
        """Return the values of the templates, or None if the email is no longer wanted."""
        ...


class DailyDigest(Protocol[TxT_contra]):
    """The tasks in a daily summary."""

    def __call__(
        self, tx: TxT_contra, user: User, today: date, now: datetime, /
    ) -> tuple[Sequence[DigestItem], Sequence[DigestItem]]:
        """
        Return the user's open tasks that are overdue, and those due today.

        `today` is the user's local day. Only what the user may see, earliest first.
        """
        ...


def everyone_may_receive(_tx: object, _user_id: UserId, _notification: Notification) -> bool:
    """Permit every notification, for contexts without permissions of their own."""
    return True


def no_tasks(
    _tx: object, _user: User, _today: date, _now: datetime
) -> tuple[Sequence[DigestItem], Sequence[DigestItem]]:
    """Return no tasks, for an application without projects."""
    return (), ()
