"""Rendering of notifications as emails."""

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen

from workbell.domain.identity.user import User
from workbell.domain.notifications.notice import Notification


@frozen(kw_only=True)
class NoticeLinks:
    """
    URLs in an email.

    A POST to `unsubscribe` turns off emails of this kind, to `unsubscribe_all` all
    of them.
    """

    unsubscribe: str
    unsubscribe_all: str


@frozen(kw_only=True)
class RenderedNotice:
    """Subject, and the same content as text and as HTML."""

    subject: str
    text: str
    html: str


class NoticeRenderer(Protocol):
    """Renders the emails of notifications."""

    def render(
        self,
        notification: Notification,
        user: User,
        data: Mapping[str, Any],
        links: NoticeLinks,
    ) -> RenderedNotice:
        """
        Render an email to a user; `data` are the values of the kind's templates.

        The subject is one line. Titles and values are shown as plain text: none of
        them is interpreted as HTML.
        """
