"""Markdown by markdown-it-py; its HTML is cleaned by nh3."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:  # imported with the first comment: they take 4 MiB of an idle service
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_NESTING: Final = 20
MAX_BRACKETS: Final = 500
"""A text with more opening brackets gets no links."""
_TAGS: Final = frozenset(
    ("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
     "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul")
)  # fmt: skip
_SCHEMES: Final = frozenset({"http", "https", "mailto"})


@cache
def _make_parser(*, links: bool) -> "MarkdownIt":
    """Return a CommonMark parser with tables, without images; HTML is text."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable("image")
    return parser if links else parser.disable(["link", "reference"])


@frozen
class CommonMark:
    """Renders CommonMark with tables; safe to share between threads."""

    def to_html(self, text: str) -> str:
        """Return inert HTML: an allow-list of tags, links to http, https and mailto only."""
        import nh3

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

    def _choose(self, text: str) -> "MarkdownIt":
        """Return the parser of a text: links take time quadratic in the brackets."""
        return _make_parser(links=text.count("[") <= MAX_BRACKETS)


def _plain_texts(tokens: "Sequence[Token]") -> Iterator[str]:
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
