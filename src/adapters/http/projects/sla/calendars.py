"""Business calendars over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.projects.sla.views import CalendarBody, calendar_body
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.adapters.http.web.request import etag_header
from workbell.domain.projects.sla.calendar import BusinessCalendar, CalendarId
from workbell.services.projects.sla.calendars import CalendarService
from workbell.services.projects.sla.requests import NewCalendar

BASE = "/api/v1/calendars"
ONE = f"{BASE}/{{calendar_id}}"


@frozen(kw_only=True)
class CalendarQuery(PageQuery):
    """Filter and page of a list of calendars."""

    project: int | None = None


@frozen(kw_only=True)
class CalendarRoutes:
    """Calendars of projects."""

    calendars: CalendarService

    def list(self, request: ApiRequest[object, CalendarQuery]) -> ApiResponse:
        """Return a page of the calendars that the caller may see."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        found, total = self.calendars.list(
            request.actor, project_id=query.project, offset=part.offset, limit=part.size
        )
        return numbered_page(request, part, [*map(calendar_body, found)], total)

    def create(self, request: ApiRequest[NewCalendar]) -> ApiResponse:
        """Create a calendar."""
        calendar = self.calendars.create(request.actor, request.body)
        return _response(calendar, 201, Location=f"{BASE}/{calendar.id}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one calendar."""
        return _response(self._get(request))

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a calendar."""
        version = request.expected_version(self._get(request).version)
        changed = self.calendars.change(
            request.actor, calendar_id(request), request.body, version=version
        )
        return _response(changed)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a calendar."""
        version = request.expected_version(self._get(request).version)
        self.calendars.delete(request.actor, calendar_id(request), version=version)
        return ApiResponse(status=204)

    def check_change(self, request: ApiRequest) -> None:
        """Raise unless the caller may change the calendar in the path."""
        self.calendars.check_change(request.actor, calendar_id(request))

    def _get(self, request: ApiRequest) -> BusinessCalendar:
        return self.calendars.get(request.actor, calendar_id(request))


def calendar_id(request: ApiRequest) -> CalendarId:
    """Return the id of the calendar in a path."""
    return CalendarId(request.ids["calendar_id"])


def _response(calendar: BusinessCalendar, status: int = 200, **headers: str) -> ApiResponse:
    headers = {**etag_header(calendar.version), **headers}
    return ApiResponse(status=status, body=calendar_body(calendar), headers=headers)


def operations(routes: CalendarRoutes) -> Sequence[AnyOperation]:
    """Return the operations on calendars."""
    style: dict[str, Any] = {"tag": "projects"}
    managed: dict[str, Any] = {
        "exists": routes.check_change, "errors": (409,), "etag": True, **style,
    }  # fmt: skip
    return (
        Operation(
            method="GET", path=BASE, name="list_calendars",
            summary="List business calendars.", handler=routes.list,
            query=CalendarQuery, responses={200: ListOf(CalendarBody)}, errors=(404,), **style,
        ),
        Operation(
            method="POST", path=BASE, name="create_calendar",
            summary="Create a business calendar of a project.", handler=routes.create,
            request=NewCalendar, responses={201: CalendarBody}, errors=(409,), **style,
        ),
        Operation(
            method="GET", path=ONE, name="get_calendar", summary="Get a business calendar.",
            handler=routes.get, responses={200: CalendarBody}, etag=True, **style,
        ),
        PartialOperation(
            method="PATCH", path=ONE, name="change_calendar",
            summary="Change a calendar; running clocks keep the version that they started with.",
            handler=routes.change, request=NewCalendar, responses={200: CalendarBody}, **managed,
        ),
        Operation(
            method="DELETE", path=ONE, name="delete_calendar",
            summary="Delete a calendar that no policy uses.",
            handler=routes.delete, responses={204: None}, **managed,
        ),
    )  # fmt: skip
