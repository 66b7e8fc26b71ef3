"""Filters and orderings of schedule lists."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from attrs import frozen

from workbell.adapters.http.jobs.task_filter import get_task_key
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import ApiRequest
from workbell.adapters.http.web.pagination import Ordering, PageNumber, PageSize
from workbell.adapters.http.web.query_types import FilterText, TaskReference
from workbell.domain.constraints import Constraints, Instant
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.list_filters import intersect, lower_bound, upper_bound
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.jobs.task_definitions import TaskDefinitionService

_FIELDS = ("created_at", "updated_at", "name", "cron_expression", "next_run_time", "is_active")
ORDERINGS: Mapping[str, str] = {name: name for name in _FIELDS}
NEWEST_FIRST = "-created_at"


@frozen(kw_only=True)
class ScheduleFilters:
    """Filters of schedules; they are combined with AND."""

    is_active: bool | None = None
    task_definition: TaskReference | None = None
    task_definition__in: Annotated[Sequence[TaskReference], Constraints(max_length=100)] | None = (
        None
    )
    user: int | None = None
    name: FilterText | None = None
    name__contains: FilterText | None = None
    cron_expression: FilterText | None = None
    cron_expression__in: Annotated[Sequence[FilterText], Constraints(max_length=100)] | None = None
    cron_expression__contains: FilterText | None = None
    created_at: Instant | None = None
    created_at__gte: Instant | None = None
    created_at__lte: Instant | None = None
    updated_at: Instant | None = None
    updated_at__gte: Instant | None = None
    updated_at__lte: Instant | None = None
    next_run_time: Instant | None = None
    next_run_time__gte: Instant | None = None
    next_run_time__lte: Instant | None = None
    search: FilterText | None = None


@frozen(kw_only=True)
class ScheduleQuery(ScheduleFilters):
    """Filters, ordering and page of a list of schedules."""

    ordering: Ordering = NEWEST_FIRST
    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class ScheduleSearch:
    """A schedule list request as a body; `ordering` is a list of names."""

    filters: ScheduleFilters = ScheduleFilters()
    ordering: Annotated[Sequence[FilterText], Constraints(max_length=10)] = (NEWEST_FIRST,)
    page: PageNumber = 1
    page_size: PageSize = None


def schedule_filter(
    request: ApiRequest,
    filters: ScheduleFilters,
    definitions: TaskDefinitionService,
    prefix: str = "",
) -> ScheduleFilter:
    """
    Return the repository filter; error paths start with `prefix`.

    Raises:
        Invalid: A task does not exist, or the caller must not filter by user.
    """
    if filters.user is not None and not request.actor.is_super_user:
        raise Invalid.field(f"{prefix}user", "is for superusers only")
    return copy_fields(
        ScheduleFilter,
        filters,
        tasks=_tasks(filters, definitions, prefix),
        owner=None if filters.user is None else UserId(filters.user),
        name_contains=filters.name__contains,
        cron_expressions=intersect(filters.cron_expression, filters.cron_expression__in),
        cron_contains=filters.cron_expression__contains,
        created_from=lower_bound(filters.created_at, filters.created_at__gte),
        created_to=upper_bound(filters.created_at, filters.created_at__lte),
        updated_from=lower_bound(filters.updated_at, filters.updated_at__gte),
        updated_to=upper_bound(filters.updated_at, filters.updated_at__lte),
        next_from=lower_bound(filters.next_run_time, filters.next_run_time__gte),
        next_to=upper_bound(filters.next_run_time, filters.next_run_time__lte),
    )


def _tasks(
    filters: ScheduleFilters, definitions: TaskDefinitionService, prefix: str
) -> Sequence[str] | None:
    one, many = filters.task_definition, filters.task_definition__in
    path = f"{prefix}task_definition"
    key = None if one is None else get_task_key(definitions, one, path)
    keys = None if many is None else [get_task_key(definitions, n, f"{path}__in") for n in many]
    return intersect(key, keys)
