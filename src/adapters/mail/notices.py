"""Emails of notifications, from Jinja2 templates in text and HTML."""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from workbell.domain.cron.time_zones import load_zone
from workbell.domain.identity.user import User
from workbell.domain.notifications.notice import (
    MAX_TITLE_LENGTH,
    NoticeKind,
    Notification,
    one_line,
)
from workbell.domain.notifications.unsubscribe import EmailCategory
from workbell.ports.notifications.rendering import NoticeLinks, RenderedNotice

if TYPE_CHECKING:  # Jinja2 is imported when the first email is rendered
    from jinja2 import Environment

TEMPLATES: Final = Path(__file__).parent / "templates"
MAX_EXCERPT_LENGTH: Final = 500
_SUBJECTS: Final[Mapping[NoticeKind, str]] = {
    NoticeKind.ASSIGNMENT: "Assigned to you: {title}",
    NoticeKind.MENTION: "{actor} mentioned you: {title}",
    NoticeKind.COMMENT: "{actor} commented: {title}",
    NoticeKind.STATUS: "Status changed: {title}",
    NoticeKind.SLA_WARNING: "SLA warning: {title}",
    NoticeKind.SLA_BREACH: "SLA breached: {title}",
    NoticeKind.SLA_ESCALATION: "SLA escalation: {title}",
    NoticeKind.DAILY_SUMMARY: "{title}",
    NoticeKind.REMINDER: "{subject}",
}
_SECTIONS: Final = (
    ("Overdue", "overdue"),
    ("Due today", "due"),
    ("Assigned to you", "assigned"),
    ("Mentions of you", "mentioned"),
)


@frozen
class JinjaNoticeRenderer:
    """
    Renders the templates `<kind>.html` and `<kind>.txt`.

    HTML is escaped automatically. Control characters are removed from all values.
    """

    def render(
        self,
        notification: Notification,
        user: User,
        data: Mapping[str, Any],
        links: NoticeLinks,
    ) -> RenderedNotice:
        """Render an email to a user; the subject is one line."""
        clean = _printable(data)
        texts = {
            "title": one_line(notification.title, MAX_TITLE_LENGTH),
            "actor": one_line(str(clean.get("actor") or "Workbell")),
            "subject": one_line(str(clean.get("subject") or notification.title)),
        }
        subject = one_line(_SUBJECTS[notification.kind].format(**texts))
        values = {
            **texts,
            "subject": subject,
            "name": one_line(user.first_name or user.username),
            "place": f" in {one_line(str(clean['project']))}" if clean.get("project") else "",
            "excerpt": _truncate(str(clean.get("excerpt") or "")),
            "deadline": _format_time(clean.get("deadline"), user.time_zone),
            "sections": [(heading, clean[name]) for heading, name in _SECTIONS if name in clean],
            "category": EmailCategory.of(notification.kind).label,
            "data": clean,
            "links": links,
        }
        environment = _environment()
        return RenderedNotice(
            subject=subject,
            text=environment.get_template(f"{notification.kind}.txt").render(values),
            html=environment.get_template(f"{notification.kind}.html").render(values),
        )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=lambda value: one_line(str(value)), quote=_quote)
    return environment


def _printable(value: Any) -> Any:
    """Remove control characters, except line breaks, from the texts of a JSON value."""
    if isinstance(value, str):
        return "".join(c for c in value if c == "\n" or unicodedata.category(c) not in {"Cc", "Cs"})
    if isinstance(value, Mapping):
        return {name: _printable(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [_printable(each) for each in value]
    return value


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_EXCERPT_LENGTH else f"{text[: MAX_EXCERPT_LENGTH - 1]}…"


def _format_time(text: str | None, zone: str) -> str:
    """Return a time of the form of ISO 8601 in a time zone, or "" without one."""
    if not text:
        return ""
    local = datetime.fromisoformat(text).astimezone(load_zone(zone))
    return f"{local:%Y-%m-%d %H:%M} ({zone})"
