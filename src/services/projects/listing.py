"""Conditions of task lists: parameters, and filters in the search text."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from attrs import evolve, fields, frozen

from workbell.domain.constraints import Constraints, Instant
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItemPriority, WorkItemStatus
from workbell.domain.search.query import parse_query
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import WorkItemFilter
from workbell.ports.serialization import Serializer
from workbell.services.projects.requests import optional_id

SearchText = Annotated[
    str,
    Constraints(
        max_length=10_000,
        description=(
            'Words, "phrases", -excluded words, prefixes* and filters such as `status:TODO`.'
        ),
        example="login -draft priority:HIGH",
    ),
]
_LISTS = frozenset({"status", "priority"})
_NUMBERS = frozenset({"board", "project", "assignee", "reporter"})
_FLAGS: Mapping[str, bool] = {"true": True, "false": False}


@frozen(kw_only=True)
class WorkItemConditions:
    """Filters of tasks; they are combined with AND, times are inclusive."""

    board: int | None = None
    project: int | None = None
    status: Sequence[WorkItemStatus] | None = None
    priority: Sequence[WorkItemPriority] | None = None
    assignee: int | None = None
    reporter: int | None = None
    label: Annotated[str, Constraints(max_length=50)] | None = None
    sla_breached: bool | None = None
    due_date_from: Instant | None = None
    due_date_to: Instant | None = None
    search: SearchText | None = None


FILTER_NAMES = tuple(each.name for each in fields(WorkItemConditions) if each.name != "search")


def make_filter(conditions: WorkItemConditions, serializer: Serializer) -> WorkItemFilter:
    """
    Return the repository filter of conditions; those within the search text are added.

    Raises:
        Invalid: A condition within the search text is wrong, or given besides.
    """
    check_request(conditions)
    query = None
    if conditions.search is not None:
        query = parse_query(conditions.search, FILTER_NAMES)
        given = {filter_.name: _parse(filter_.name, filter_.value) for filter_ in query.filters}
        conditions = _add(conditions, given, serializer)
    return WorkItemFilter(
        board_id=optional_id(BoardId, conditions.board),
        project_id=optional_id(ProjectId, conditions.project),
        statuses=conditions.status,
        priorities=conditions.priority,
        assignee_id=optional_id(UserId, conditions.assignee),
        reporter_id=optional_id(UserId, conditions.reporter),
        label=conditions.label,
        is_sla_breached=conditions.sla_breached,
        due_from=conditions.due_date_from,
        due_to=conditions.due_date_to,
        search=query if query is not None and query.terms else None,
    )


def _add(
    conditions: WorkItemConditions, given: Mapping[str, Any], serializer: Serializer
) -> WorkItemConditions:
    twice = [name for name in given if getattr(conditions, name) is not None]
    if twice:
        raise Invalid.field(twice[0], "is given as a parameter and in the search text")
    added = serializer.structure(dict(given), WorkItemConditions)
    return evolve(conditions, **{name: getattr(added, name) for name in given})


def _parse(name: str, text: str) -> Any:
    """Return the JSON value of a filter within the search text."""
    if name in _LISTS:
        return text.split(",")
    if name in _NUMBERS and text.isdecimal() and text.isascii() and len(text) < 19:
        return int(text)
    return _FLAGS.get(text, text) if name == "sla_breached" else text
