"""Highlights of a search: excerpts of tasks in which its words are marked."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from attrs import frozen

from workbell.domain.search.highlight import highlight
from workbell.domain.search.query import SearchQuery
from workbell.ports.projects.repository import ProjectsTx, WorkItemView

MARK: Final = "<mark>"
EXCERPT_LENGTH: Final = 200
MAX_COMMENTS: Final = 3
MAX_COMPARED: Final = 100
"""How many comments of a task are compared with the query, the oldest."""


@frozen(kw_only=True)
class Highlights:
    """Excerpts of a task as inert HTML; only comments that match are named, at most 3."""

    title: str
    description: str
    comments: Sequence[str]


@frozen(kw_only=True)
class ListedWorkItem:
    """A task in a list; with highlights if the list is that of a search."""

    view: WorkItemView
    highlights: Highlights | None = None


def list_with_highlights(
    tx: ProjectsTx, views: Sequence[WorkItemView], query: SearchQuery | None
) -> Sequence[ListedWorkItem]:
    """Return tasks with the highlights of a query, if there is one."""
    if query is None:
        return [ListedWorkItem(view=view) for view in views]
    comments = tx.comments.contents([view.item.id for view in views if view.item.comment_count])
    return [
        ListedWorkItem(
            view=view, highlights=make_highlights(view, comments.get(view.item.id, ()), query)
        )
        for view in views
    ]


def make_highlights(view: WorkItemView, comments: Sequence[str], query: SearchQuery) -> Highlights:
    """Return the highlights of one task."""
    item = view.item
    excerpts = (
        highlight(text, query, max_length=EXCERPT_LENGTH) for text in comments[:MAX_COMPARED]
    )
    return Highlights(
        title=highlight(item.title, query),
        description=highlight(item.description, query, max_length=EXCERPT_LENGTH),
        comments=[*islice((each for each in excerpts if MARK in each), MAX_COMMENTS)],
    )
