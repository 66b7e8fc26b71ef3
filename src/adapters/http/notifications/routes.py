"""Notification preferences and one-click unsubscribe over HTTP."""

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
from workbell.domain.notifications.unsubscribe import EmailCategory
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
    Reminder preferences; omitted fields are reset to their defaults.

    `reminder_time` is in the time zone of the user's profile; null selects the
    default time of the service.
    """

    reminders: bool = True
    reminder_time: Annotated[
        str | None,
        Constraints(
            pattern=r"([01][0-9]|2[0-3]):(00|15|30|45)",
            hint="must be a time in quarter hours, such as 07:30",
            example="07:30",
        ),
    ] = None


@frozen(kw_only=True, slots=False)
class UnsubscribeBody:
    """The email category of a link, and whether it is now unsubscribed."""

    category: EmailCategory
    unsubscribed: bool


@frozen(kw_only=True)
class NotificationRoutes:
    """Notification preferences and unsubscribe links."""

    reminders: ReminderService

    def preferences(self, request: ApiRequest) -> ApiResponse:
        """Return the caller's preferences."""
        return _preferences_response(self.reminders.preferences(request.actor))

    def save_preferences(self, request: ApiRequest[PreferencesBody]) -> ApiResponse:
        """Replace the caller's preferences."""
        at = request.body.reminder_time
        preferences = Preferences(
            reminders=request.body.reminders,
            reminder_time=None if at is None else time.fromisoformat(at),
        )
        return _preferences_response(self.reminders.save_preferences(request.actor, preferences))

    def confirm_unsubscribe(self, request: ApiRequest) -> ApiResponse:
        """Return a confirmation form; GET is safe, as mail scanners use links."""
        category = self.reminders.parse_unsubscribe_token(request.names["token"]).category
        content = _FORM.format(category=escape(category))
        return _unsubscribe_response(request, category, "Unsubscribe", content, done=False)

    def unsubscribe(self, request: ApiRequest) -> ApiResponse:
        """Unsubscribe from the category of the link."""
        category = self.reminders.unsubscribe(request.names["token"], request.client_info).category
        content = f"<p>You will get no more {escape(category)}.</p>"
        return _unsubscribe_response(request, category, "Unsubscribed", content, done=True)


def _unsubscribe_response(
    request: ApiRequest, category: EmailCategory, title: str, content: str, *, done: bool
) -> ApiResponse:
    """Return an HTML page if the client accepts HTML, else JSON."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if HTML not in request.accept:
        body = UnsubscribeBody(category=category, unsubscribed=done)
        return ApiResponse(body=body, headers=headers)
    return ApiResponse(
        body=_PAGE.format(title=title, content=content).encode(),
        media_type=f"{HTML}; charset=utf-8",
        headers={**headers, "Content-Security-Policy": CSP},
    )


def _preferences_response(preferences: Preferences) -> ApiResponse:
    at = preferences.reminder_time
    reminder_time = None if at is None else at.isoformat("minutes")
    body = PreferencesBody(reminders=preferences.reminders, reminder_time=reminder_time)
    return ApiResponse(body=body)


def operations(routes: NotificationRoutes) -> Sequence[AnyOperation]:
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
            summary="Get the current user's notification preferences.", handler=routes.preferences,
            responses={200: PreferencesBody}, **own,
        ),
        Operation(
            method="PUT", path=PREFERENCES, name="set_notification_preferences",
            summary="Replace the current user's notification preferences.",
            handler=routes.save_preferences, request=PreferencesBody,
            responses={200: PreferencesBody}, errors=(403,), **own,
        ),
        Operation(
            method="GET", name="show_unsubscribe",
            summary="Show the confirmation page of an unsubscribe link; changes nothing.",
            handler=routes.confirm_unsubscribe, **link,
        ),
        Operation(
            method="POST", name="unsubscribe",
            summary="Unsubscribe by the link in an email, without signing in (RFC 8058).",
            handler=routes.unsubscribe, errors=(503,), **link,
        ),
    )  # fmt: skip
