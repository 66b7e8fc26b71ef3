"""Markdown, as users write it in comments."""

from collections.abc import Sequence
from typing import Protocol


class Markdown(Protocol):
    """Renders Markdown and reads its text."""

    def to_html(self, text: str) -> str:
        """Return inert HTML: no scripts, no event handlers, no links but http, https and mailto."""

    def plain_texts(self, text: str) -> Sequence[str]:
        """Return the runs of text that are neither code nor part of a link."""
