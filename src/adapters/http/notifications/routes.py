"""Notifications over HTTP: preferences, and unsubscribing by one click."""

from collections.abc import Sequence
from datetime import time
from html import escape
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.web.operations import (
    JSON,
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Operation,
)
from workbell.domain.constraints import Constraints
from workbell.domain.goals.reminder import Preferences
from workbell.domain.notifications.unsubscribe import Category
from workbell.services.goals.reminders import UNSUBSCRIBE, ReminderService

PREFERENCES = "/api/v1/notification-preferences"
HTML = "text/html"
CSP = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
</head>
<body>
<h1>{title}</h1>
{content}
</body>
</html>
"""
_FORM = '<form method="post"><button type="submit">No more {category}</button></form>'


@frozen(kw_only=True, slots=False)
class PreferencesBody:
    """
    Whether and when a person wants reminders.

    `reminder_time` is a quarter hour of the person's own day, by the time zone
    of their profile; null for the time at which everybody gets them. What is
    left out goes back to its default.
    """

    reminders: bool = True
    reminder_time: Annotated[
        str | None,
        Constraints(
            pattern=r"([01][0-9]|2[0-3]):(00|15|30|45)",
            hint="must be a quarter hour, such as 07:30",
            example="07:30",
        ),
    ] = None


@frozen(kw_only=True, slots=False)
class UnsubscribeBody:
    """The kind of mail that a link ends, and whether that has been done now."""

    category: Category
    unsubscribed: bool


@frozen(kw_only=True)
class NotificationRoutes:
    """What people prefer of notifications."""

    reminding: ReminderService

    def preferences(self, request: ApiRequest) -> ApiResponse:
        """Return what the caller prefers."""
        return ApiResponse(body=_body(self.reminding.preferences(request.actor)))

    def prefer(self, request: ApiRequest[PreferencesBody]) -> ApiResponse:
        """Keep what the caller prefers."""
        data = request.body
        at = data.reminder_time
        wanted = Preferences(
            reminders=data.reminders, reminder_time=None if at is None else time.fromisoformat(at)
        )
        return ApiResponse(body=_body(self.reminding.save_preferences(request.actor, wanted)))

    def ask(self, request: ApiRequest) -> ApiResponse:
        """Show what a link ends, and a button for it; scanners of mail follow links, too."""
        category = self.reminding.parse_unsubscribe_token(request.names["token"]).category
        content = _FORM.format(category=escape(category))
        return _answer(request, category, "Unsubscribe", content, done=False)

    def unsubscribe(self, request: ApiRequest) -> ApiResponse:
        """End what the link stands for."""
        category = self.reminding.unsubscribe(request.names["token"], request.origin).category
        content = f"<p>You will get no more {escape(category)}.</p>"
        return _answer(request, category, "Unsubscribed", content, done=True)


def _answer(
    request: ApiRequest, category: Category, title: str, content: str, *, done: bool
) -> ApiResponse:
    """Answer a browser with a page, and a program with JSON."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if HTML not in request.accept:
        body = UnsubscribeBody(category=category, unsubscribed=done)
        return ApiResponse(body=body, headers=headers)
    return ApiResponse(
        body=_PAGE.format(title=title, content=content).encode(),
        media_type=f"{HTML}; charset=utf-8",
        headers={**headers, "Content-Security-Policy": CSP},
    )


def _body(preferences: Preferences) -> PreferencesBody:
    at = preferences.reminder_time
    return PreferencesBody(
        reminders=preferences.reminders,
        reminder_time=None if at is None else at.isoformat("minutes"),
    )


def operations(notifications: NotificationRoutes) -> Sequence[AnyOperation]:
    """Return the operations on notifications."""
    own: dict[str, Any] = {"access": Access.SELF, "tag": "notifications"}
    link: dict[str, Any] = {
        "path": UNSUBSCRIBE + "{token}",
        "responses": {200: UnsubscribeBody},
        "media_types": (JSON, HTML),
        "access": Access.ANYONE,
        "tag": "notifications",
    }
    return (
        Operation(
            method="GET", path=PREFERENCES, name="get_notification_preferences",
            summary="Show which notifications one wants.", handler=notifications.preferences,
            responses={200: PreferencesBody}, **own,
        ),
        Operation(
            method="PUT", path=PREFERENCES, name="set_notification_preferences",
            summary="Say which notifications one wants.", handler=notifications.prefer,
            request=PreferencesBody, responses={200: PreferencesBody}, errors=(403,), **own,
        ),
        Operation(
            method="GET", name="show_unsubscribe",
            summary="Show what a link in a mail ends; nothing is done.", handler=notifications.ask, **link,
        ),
        Operation(
            method="POST", name="unsubscribe",
            summary="End mails by the link in one of them, without signing in (RFC 8058).",
            handler=notifications.unsubscribe, errors=(503,), **link,
        ),
    )  # fmt: skip
