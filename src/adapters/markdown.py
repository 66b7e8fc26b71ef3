"""Markdown by markdown-it-py; its HTML is cleaned by nh3."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import nh3
from attrs import field, frozen
from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_NESTING: Final = 20
MAX_BRACKETS: Final = 500
"""A text with more opening brackets gets no links."""
_TAGS: Final = frozenset(
    [
        "a",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "strong",
    ]
) | frozenset(["table", "tbody", "td", "th", "thead", "tr", "ul"])
_SCHEMES: Final = frozenset({"http", "https", "mailto"})


def _make_parser(*, links: bool) -> MarkdownIt:
    """Return a CommonMark parser with tables, without images; HTML is text."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable("image")
    return parser if links else parser.disable(["link", "reference"])


@frozen
class CommonMark:
    """Renders CommonMark with tables; safe to share between threads."""

    _parser: MarkdownIt = field(factory=partial(_make_parser, links=True))
    _parser_without_links: MarkdownIt = field(factory=partial(_make_parser, links=False))

    def to_html(self, text: str) -> str:
        """Return inert HTML: an allow-list of tags, links to http, https and mailto only."""
        return nh3.clean(
            self._choose(text).render(text),
            tags=set(_TAGS),
            attributes={"a": {"href", "title"}},
            url_schemes=set(_SCHEMES),
            link_rel="noopener noreferrer nofollow",
        )

    def plain_texts(self, text: str) -> Sequence[str]:
        """Return the runs of text that are neither code nor part of a link."""
        return [run for run in _plain_texts(self._choose(text).parse(text)) if run]

    def _choose(self, text: str) -> MarkdownIt:
        """Return the parser of a text: links take time quadratic in the brackets."""
        return self._parser if text.count("[") <= MAX_BRACKETS else self._parser_without_links


def _plain_texts(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        links, run = 0, ""
        for child in token.children or ():
            links += child.nesting if child.type in {"link_open", "link_close"} else 0
            if child.type == "text" and not links:
                run += child.content
            else:
                yield run
                run = ""
        yield run
