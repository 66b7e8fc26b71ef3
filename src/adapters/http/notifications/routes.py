"""Notifications, their preferences and one-click unsubscribe over HTTP."""

from collections.abc import Sequence
from html import escape
from typing import Any

from attrs import frozen

from workbell.adapters.http.notifications.views import (
    MarkedBody,
    NotificationBody,
    PreferencesBody,
    ReadBody,
    notification_body,
)
from workbell.adapters.http.web.operations import (
    JSON,
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import (
    CursorQuery,
    cursor_page,
    decode_cursor,
    make_slice,
    numbered_page,
)
from workbell.domain.notifications.notice import NotificationId
from workbell.domain.notifications.unsubscribe import EmailCategory
from workbell.services.goals.preferences import PreferenceService
from workbell.services.notifications.inbox import NotificationService
from workbell.services.notifications.mail import UNSUBSCRIBE

NOTIFICATIONS = "/api/v1/notifications"
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
class UnsubscribeBody:
    """The email category of a link, and whether it is now unsubscribed."""

    category: EmailCategory
    unsubscribed: bool


@frozen(kw_only=True)
class NotificationQuery(CursorQuery):
    """A page of the notifications, newest first; `unread=true` shows unread ones only."""

    unread: bool | None = None


@frozen(kw_only=True)
class NotificationRoutes:
    """Notifications, preferences and unsubscribe links."""

    notifications: NotificationService
    preference_service: PreferenceService

    def list_page(self, request: ApiRequest[object, NotificationQuery]) -> ApiResponse:
        """Return a page of the caller's notifications."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        is_read = None if query.unread is None else not query.unread
        if query.cursor is None:
            rows, count = self.notifications.list_page(
                request.actor, is_read=is_read, offset=part.offset, limit=part.size
            )
            return numbered_page(request, part, [*map(notification_body, rows)], count)
        last = decode_cursor(query.cursor)
        rows, _ = self.notifications.list_page(
            request.actor,
            is_read=is_read,
            before_id=None if last is None else NotificationId(last),
            limit=part.size,
        )
        last_id = rows[-1].id if rows else None
        return cursor_page(request, part.size, [*map(notification_body, rows)], last_id)

    def mark_read(self, request: ApiRequest[ReadBody]) -> ApiResponse:
        """Mark the caller's notifications as read."""
        ids = request.body.ids
        wanted = None if ids is None else [NotificationId(each) for each in ids]
        return ApiResponse(
            body=MarkedBody(marked=self.notifications.mark_read(request.actor, wanted))
        )

    def preferences(self, request: ApiRequest) -> ApiResponse:
        """Return the caller's preferences."""
        return ApiResponse(body=PreferencesBody.of(self.preference_service.get(request.actor)))

    def save_preferences(self, request: ApiRequest[PreferencesBody]) -> ApiResponse:
        """Replace the caller's preferences."""
        saved = self.preference_service.save(request.actor, request.body.to_preferences())
        return ApiResponse(body=PreferencesBody.of(saved))

    def confirm_unsubscribe(self, request: ApiRequest) -> ApiResponse:
        """Return a confirmation form; GET is safe, as mail scanners use links."""
        category = self.preference_service.parse_unsubscribe_token(request.names["token"]).category
        content = _FORM.format(category=escape(category.label))
        return _unsubscribe_response(request, category, "Unsubscribe", content, done=False)

    def unsubscribe(self, request: ApiRequest) -> ApiResponse:
        """Unsubscribe from the category of the link."""
        category = self.preference_service.unsubscribe(
            request.names["token"], request.client_info
        ).category
        content = f"<p>You will get no more {escape(category.label)}.</p>"
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
            method="GET", path=NOTIFICATIONS, name="list_notifications",
            summary="List the current user's notifications, newest first.",
            handler=routes.list_page, query=NotificationQuery,
            responses={200: ListOf(NotificationBody, history=True)}, **own,
        ),
        Operation(
            method="POST", path=f"{NOTIFICATIONS}/read", name="mark_notifications_read",
            summary="Mark notifications of the current user as read; all of them without ids.",
            handler=routes.mark_read, request=ReadBody,
            responses={200: MarkedBody}, errors=(403,), **own,
        ),
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
