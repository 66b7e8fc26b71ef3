"""Response bodies of accounts, members and destinations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import asdict, frozen

from workbell.adapters.http.web.mapping import copy_fields
from workbell.domain.constraints import Constraints
from workbell.domain.delivery.destination import Destination, DestinationState, HttpMethod
from workbell.ports.delivery.repository import DestinationStatistics, Member
from workbell.services.delivery.accounts import AccountView
from workbell.services.delivery.destinations import DestinationView

AdminText = Annotated[str, Constraints(description="Absent unless the caller is an Admin.")]


@frozen(kw_only=True, slots=False)
class AccountBody:
    """A tenant that receives events and forwards them to its destinations."""

    id: int
    name: str
    app_secret_token: AdminText | None = None
    created_at: datetime
    updated_at: datetime


@frozen(kw_only=True, slots=False)
class MemberBody:
    """A member of an account; `role` is 1 for an Admin and 2 for a Normal user."""

    id: int
    account: int
    user: int
    user_email: str
    role: int
    role_name: str
    created_at: datetime
    updated_at: datetime


@frozen(kw_only=True, slots=False)
class DestinationBody:
    """
    An HTTP endpoint that receives an account's events.

    The values of `headers` are masked. `disabled_reason` is null if the destination
    is active or paused.
    """

    id: int
    account: int
    url: str
    http_method: HttpMethod
    headers: Mapping[str, str]
    event_types: Sequence[str]
    is_active: bool
    state: DestinationState
    disabled_reason: str | None
    timeout_seconds: int
    retry_delays: Sequence[int]
    rate_per_second: int | None
    concurrency: int
    secret: AdminText | None = None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int


@frozen(kw_only=True, slots=False)
class DestinationStatisticsBody:
    """
    Figures of a destination over the last 24 hours.

    `pending` counts the unfinished deliveries; `success_rate` is from 0 to 1.
    """

    succeeded: int
    failed: int
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None
    pending: int
    oldest_pending_at: datetime | None
    state: DestinationState


def account_body(view: AccountView) -> dict[str, Any]:
    """Return the `AccountBody` of an account."""
    return _without_absent(
        copy_fields(AccountBody, view.account, app_secret_token=view.token), "app_secret_token"
    )


def member_body(member: Member) -> MemberBody:
    """Return the body of a member."""
    membership, user = member.membership, member.user
    return copy_fields(
        MemberBody,
        membership,
        account=membership.account_id,
        user=user.id,
        user_email=user.email,
        role=membership.role.value,
        role_name=membership.role.label,
    )


def destination_body(view: DestinationView) -> dict[str, Any]:
    """Return the `DestinationBody` of a destination."""
    destination = view.destination
    body = copy_fields(
        DestinationBody,
        destination,
        account=destination.account_id,
        http_method=destination.method,
        headers=destination.masked_headers,
        secret=view.secret,
    )
    return _without_absent(body, "secret")


def statistics_body(
    destination: Destination, figures: DestinationStatistics
) -> DestinationStatisticsBody:
    """Return the body of a destination's statistics."""
    return copy_fields(DestinationStatisticsBody, figures, state=destination.state)


def _without_absent(body: Any, name: str) -> dict[str, Any]:
    """Return the members of a body, without one that is None."""
    members = asdict(body)
    if members[name] is None:
        del members[name]
    return members
