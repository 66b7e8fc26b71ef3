"""What a list of schedules may be narrowed down and ordered by."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

from attrs import frozen

from workbell.adapters.http.jobs.task_filter import key_of
from workbell.adapters.http.web.operations import ApiRequest
from workbell.adapters.http.web.pagination import Ordering, PageNumber, PageSize
from workbell.adapters.http.web.query_types import TaskName, Text
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.jobs.task_definitions import TaskDefinitionService

T = TypeVar("T")


ORDERINGS: Mapping[str, str] = {
    name: name
    for name in (
        "created_at",
        "updated_at",
        "name",
        "cron_expression",
        "next_run_time",
        "is_active",
    )
}
NEWEST_FIRST = "-created_at"


@frozen(kw_only=True)
class ScheduleFilters:
    """Which schedules to list; what is left out narrows nothing down."""

    is_active: bool | None = None
    task_definition: TaskName | None = None
    task_definition__in: Annotated[Sequence[TaskName], Constraints(max_length=100)] | None = None
    user: int | None = None
    name: Text | None = None
    name__contains: Text | None = None
    cron_expression: Text | None = None
    cron_expression__in: Annotated[Sequence[Text], Constraints(max_length=100)] | None = None
    cron_expression__contains: Text | None = None
    created_at: datetime | None = None
    created_at__gte: datetime | None = None
    created_at__lte: datetime | None = None
    updated_at: datetime | None = None
    updated_at__gte: datetime | None = None
    updated_at__lte: datetime | None = None
    next_run_time: datetime | None = None
    next_run_time__gte: datetime | None = None
    next_run_time__lte: datetime | None = None
    search: Text | None = None


@frozen(kw_only=True)
class ScheduleQuery(ScheduleFilters):
    """Which schedules to list, in which order, and which page of them."""

    ordering: Ordering = NEWEST_FIRST
    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class ScheduleSearch:
    """The same in a body: filters, an ordering as a list, and a page."""

    filters: ScheduleFilters = ScheduleFilters()
    ordering: Annotated[Sequence[Text], Constraints(max_length=10)] = (NEWEST_FIRST,)
    page: PageNumber = 1
    page_size: PageSize = None


def schedule_filter(
    call: ApiRequest, asked: ScheduleFilters, definitions: TaskDefinitionService, prefix: str = ""
) -> ScheduleFilter:
    """
    Return the store's form of filters; `prefix` is where they stand in the body.

    Raises:
        Invalid: There is no such task, or an ordinary user filters by user.
    """
    if asked.user is not None and not call.actor.is_super_user:
        raise Invalid.field(f"{prefix}user", "is for superusers only")
    tasks = _tasks(asked, definitions, prefix)
    return ScheduleFilter(
        is_active=asked.is_active,
        tasks=tasks,
        owner=None if asked.user is None else UserId(asked.user),
        name=asked.name,
        name_contains=asked.name__contains,
        cron_expressions=_crons(asked),
        cron_contains=asked.cron_expression__contains,
        created_from=_later(asked.created_at, asked.created_at__gte),
        created_to=_earlier(asked.created_at, asked.created_at__lte),
        updated_from=_later(asked.updated_at, asked.updated_at__gte),
        updated_to=_earlier(asked.updated_at, asked.updated_at__lte),
        next_from=_later(asked.next_run_time, asked.next_run_time__gte),
        next_to=_earlier(asked.next_run_time, asked.next_run_time__lte),
        search=asked.search,
    )


def _tasks(
    asked: ScheduleFilters, definitions: TaskDefinitionService, prefix: str
) -> Sequence[str] | None:
    one, many = asked.task_definition, asked.task_definition__in
    path = f"{prefix}task_definition"
    key = None if one is None else key_of(definitions, one, path)
    keys = None if many is None else [key_of(definitions, n, f"{path}__in") for n in many]
    return None if key is None and keys is None else _both(key, keys)


def _crons(asked: ScheduleFilters) -> Sequence[str] | None:
    one, many = asked.cron_expression, asked.cron_expression__in
    return None if one is None and many is None else _both(one, many)


def _both(one: T | None, many: Sequence[T] | None) -> list[T]:
    """Return what is one of the many and equal to the one, where they are given."""
    if one is None:
        return list(many or ())
    return [one] if many is None or one in many else []


def _later(first: datetime | None, second: datetime | None) -> datetime | None:
    return max((m for m in (first, second) if m is not None), default=None)


def _earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    return min((m for m in (first, second) if m is not None), default=None)
