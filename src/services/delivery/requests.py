"""Requests of webhook delivery, before validation."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from attrs import field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.delivery.account import AccountName, RoleChoice
from workbell.domain.delivery.destination import (
    HEADER_MASK,
    MAX_HEADERS,
    Concurrency,
    Destination,
    HttpMethod,
    RatePerSecond,
    TimeoutSeconds,
    Url,
)
from workbell.domain.delivery.event import INCOMING_DATA, Event
from workbell.domain.delivery.retry_policy import MAX_DELAYS

NORMAL: Literal["Normal user"] = "Normal user"
EmailText = Annotated[str, Constraints(max_length=1024, example="ada@example.org")]
TypePattern = Annotated[str, Constraints(min_length=1, max_length=128, example="order.*")]
TypePatterns = Annotated[
    Sequence[TypePattern],
    Constraints(
        max_length=100,
        description="Types, prefixes such as `order.*`, or `*`; none means every type.",
    ),
]
Headers = Annotated[
    Mapping[str, str],
    Constraints(
        max_length=MAX_HEADERS,
        description=f"Headers of each request. The value `{HEADER_MASK}` leaves the stored one.",
    ),
]
RetryDelays = Annotated[
    Sequence[int],
    Constraints(
        max_length=MAX_DELAYS,
        description="Seconds before each retry; none means the default schedule.",
    ),
]
COPIED_FIELDS = (
    "url",
    "event_types",
    "timeout_seconds",
    "retry_delays",
    "rate_per_second",
    "concurrency",
)
"""Fields that a request and its destination share under one name."""


@frozen(kw_only=True)
class NewAccount:
    """The name of an account."""

    name: AccountName


@frozen(kw_only=True)
class NewMember:
    """A user to add to an account, by id."""

    user: int
    role: RoleChoice = NORMAL


@frozen(kw_only=True)
class RoleChange:
    """Another role for a member."""

    role: RoleChoice


@frozen(kw_only=True)
class Invitation:
    """A user to add to an account, by email address."""

    email: EmailText
    role: RoleChoice = NORMAL


@frozen(kw_only=True)
class NewDestination:
    """An HTTP endpoint that receives an account's events."""

    url: Url
    http_method: HttpMethod = HttpMethod.POST
    headers: Headers = field(factory=dict[str, str], repr=False)
    event_types: TypePatterns = ()
    is_active: bool = True
    timeout_seconds: TimeoutSeconds = 15
    retry_delays: RetryDelays = ()
    rate_per_second: RatePerSecond | None = None
    concurrency: Concurrency = 4

    @classmethod
    def of(cls, destination: Destination) -> "NewDestination":
        """Return a destination's current fields, masked, to merge a change into."""
        return cls(
            http_method=destination.method,
            headers=destination.masked_headers,
            is_active=destination.is_active,
            **{name: getattr(destination, name) for name in COPIED_FIELDS},
        )


@frozen(kw_only=True)
class NewEvent:
    """
    An event to publish.

    `data` are the exact bytes as received, `value` the JSON value that they hold.
    Without an `event_id` one is generated.
    """

    data: bytes = field(repr=False)
    value: Any = field(repr=False)
    event_type: str = INCOMING_DATA
    event_id: str | None = None


@frozen(kw_only=True)
class PublishedEvent:
    """A stored event; `is_new` is false if it had been published before."""

    event: Event
    is_new: bool
    deliveries: int
