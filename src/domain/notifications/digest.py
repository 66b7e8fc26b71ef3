"""Content of the daily summary."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from attrs import frozen

MAX_ITEMS: Final = 20
"""How many items of a section an email lists; the others are only counted."""


@frozen(kw_only=True)
class DigestItem:
    """One line of a daily summary."""

    title: str
    due: date | None = None


@frozen(kw_only=True)
class Digest:
    """The sections of a user's daily summary."""

    overdue: Sequence[DigestItem] = ()
    due: Sequence[DigestItem] = ()
    assigned: Sequence[DigestItem] = ()
    mentioned: Sequence[DigestItem] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to list; no email is sent then."""
        return not (self.overdue or self.due or self.assigned or self.mentioned)

    def as_data(self) -> Mapping[str, Any]:
        """Return the sections as JSON values for the templates."""
        sections = {
            "overdue": self.overdue,
            "due": self.due,
            "assigned": self.assigned,
            "mentioned": self.mentioned,
        }
        return {name: _section(items) for name, items in sections.items() if items}


def _section(items: Sequence[DigestItem]) -> Mapping[str, Any]:
    shown = [
        {"title": item.title, "due": item.due and item.due.isoformat()}
        for item in items[:MAX_ITEMS]
    ]
    return {"items": shown, "more": len(items) - len(shown)}
