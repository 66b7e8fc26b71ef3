"""Progress of the cancellations of many jobs over HTTP."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, single_page
from workbell.services.schedules.cancellations import CancellationProgress, CancellationService


@frozen(kw_only=True)
class CancellationBody:
    """
    The cancellation of all waiting runs of a schedule, or jobs of an owner.

    `cancelled` counts the jobs so far, `left` the remaining ones, up to 10,000.
    """

    id: int
    owner: int
    schedule: int | None
    reason: str
    started_at: datetime
    cancelled: int
    left: int


@frozen(kw_only=True)
class CancellationRoutes:
    """Unfinished cancellations of many jobs."""

    cancellations: CancellationService

    def list_cancellations(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the unfinished cancellations."""
        found = self.cancellations.progress(request.actor)
        return single_page(request, [_body(each) for each in found])


def _body(progress: CancellationProgress) -> CancellationBody:
    cancellation = progress.cancellation
    return CancellationBody(
        id=cancellation.id,
        owner=cancellation.owner,
        schedule=cancellation.schedule_id,
        reason=cancellation.reason,
        started_at=cancellation.started_at,
        cancelled=cancellation.cancelled,
        left=progress.left,
    )


def operations(routes: CancellationRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on cancellations of many jobs."""
    return (
        Operation(
            method="GET", path="/api/v1/cancellations", name="list_cancellations",
            summary="List cancellations of many jobs that are in progress.",
            handler=routes.list_cancellations, query=PageQuery,
            responses={200: ListOf(CancellationBody)}, errors=(404,), tag="jobs",
        ),
    )  # fmt: skip
