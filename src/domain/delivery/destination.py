"""Destinations: where and how an account's events are delivered."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, NewType, Self

from attrs import Factory, evolve, field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.circuit_breaker import CircuitBreaker
from workbell.domain.errors import Invalid, LimitReached

DestinationId = NewType("DestinationId", int)

SECRET_OVERLAP: Final = timedelta(hours=24)
"""How long deliveries are also signed with the previous secret."""
SECRET_PURPOSE: Final = "destination secret"  # noqa: S105 - not a secret
HEADER_PURPOSE: Final = "destination header"
HEADER_MASK: Final = "***"
"""The text that the API shows in place of a header's value."""
CONCURRENCY_PREFIX: Final = "destination:"
"""The beginning of the concurrency keys of deliveries."""
MAX_HEADERS: Final = 50
MAX_DESTINATIONS: Final = 100
"""Destinations of one account: every event is copied to each that matches."""
RESERVED_HEADERS: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "date", "expect",
        "host", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
    }
)  # fmt: skip
"""Header names that describe the connection or the sender, and `webhook-...`."""
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_MAX_HEADER_VALUE: Final = 4_096

Url = Annotated[
    str, Constraints(min_length=1, max_length=2_048, example="https://example.com/webhooks")
]
TimeoutSeconds = Annotated[
    int, Constraints(ge=1, le=30, description="Seconds for the whole request and response.")
]
RatePerSecond = Annotated[int, Constraints(ge=1, le=1_000)]
Concurrency = Annotated[
    int, Constraints(ge=1, le=100, description="Deliveries that are sent at the same time.")
]


class HttpMethod(StrEnum):
    """The method of the requests to a destination."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class DestinationState(StrEnum):
    """The state of a destination: that of its breaker, or disabled."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    DISABLED = "disabled"


@frozen(kw_only=True)
class Destination:
    """
    An HTTP endpoint that gets an account's events.

    `headers` are encrypted values by name. `event_types` are types, prefixes such
    as `order.*`, or `*`; none means every type. `retry_delays` are seconds; none
    means the default schedule. `secret` and `previous_secret` are encrypted.
    `disabled_reason` is None if the destination is active, or paused by a member.
    `next_send_at` is when `rate_per_second` allows the next delivery.
    """

    id: DestinationId = DestinationId(0)
    account_id: AccountId
    url: str
    method: HttpMethod = HttpMethod.POST
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    event_types: Sequence[str] = ()
    is_active: bool = True
    disabled_reason: str | None = None
    timeout_seconds: int = 15
    retry_delays: Sequence[int] = ()
    rate_per_second: int | None = None
    concurrency: int = 4
    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    previous_secret_until: datetime | None = None
    breaker: CircuitBreaker = Factory(CircuitBreaker)
    next_send_at: datetime | None = None
    exhausted_at: datetime | None = None
    version: int = 1
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def state(self) -> DestinationState:
        """The state as the API presents it."""
        if not self.is_active:
            return DestinationState.DISABLED
        return DestinationState(self.breaker.state)

    @property
    def masked_headers(self) -> Mapping[str, str]:
        """The names of the headers, with the mask in place of each value."""
        return dict.fromkeys(self.headers, HEADER_MASK)

    @property
    def concurrency_key(self) -> str:
        """The concurrency key of the jobs that deliver to this destination."""
        return f"{CONCURRENCY_PREFIX}{self.id}"

    def admits(self, delivery_id: int, now: datetime) -> bool:
        """Whether a delivery may be sent now; otherwise it is parked."""
        return self.is_active and self.breaker.admits(delivery_id, now)

    def active_secrets(self, now: datetime) -> Sequence[str]:
        """Return the encrypted secrets to sign with, the current one first."""
        until = self.previous_secret_until
        if self.previous_secret is None or until is None or now >= until:
            return (self.secret,)
        return (self.secret, self.previous_secret)

    def rotate_secret(self, secret: str, now: datetime) -> Self:
        """Return the destination with a new secret; both sign for a day."""
        return evolve(
            self,
            secret=secret,
            previous_secret=self.secret,
            previous_secret_until=now + SECRET_OVERLAP,
        ).touch(now)

    def pause(self) -> Self:
        """Return the destination as inactive by a member's choice."""
        return evolve(self, is_active=False, disabled_reason=None)

    def resume(self) -> Self:
        """
        Return the destination as active again.

        The breaker of a paused one is unchanged, that of a disabled one is closed.
        """
        breaker = self.breaker if self.disabled_reason is None else CircuitBreaker()
        return evolve(self, is_active=True, disabled_reason=None, breaker=breaker)

    def touch(self, now: datetime) -> Self:
        """Return the destination with the next version."""
        return evolve(self, version=self.version + 1, updated_at=now)

    def disable(self, reason: str, now: datetime) -> Self:
        """Return the destination as disabled; its deliveries will be parked."""
        return evolve(self, is_active=False, disabled_reason=reason, updated_at=now)

    def enable(self, now: datetime) -> Self:
        """Return the destination as active, with a closed breaker."""
        return evolve(
            self,
            is_active=True,
            disabled_reason=None,
            breaker=CircuitBreaker(),
            exhausted_at=None,
        ).touch(now)

    def delete(self, now: datetime) -> Self:
        """Return the destination as deleted."""
        return evolve(self, is_active=False, deleted_at=now, updated_at=now)

    def reserve_slot(self, now: datetime) -> tuple[Self, datetime]:
        """
        Return the destination after reserving the next sending time, and that time.

        Times are `1 / rate_per_second` apart; without a rate it is now.
        """
        if self.rate_per_second is None:
            return self, now
        slot = max(now, self.next_send_at or now)
        gap = timedelta(seconds=1 / self.rate_per_second)
        return evolve(self, next_send_at=slot + gap), slot


def check_destination_limit(count: int) -> None:
    """Raise LimitReached if an account has as many destinations as are allowed."""
    if count >= MAX_DESTINATIONS:
        raise LimitReached(
            f"The account has {count} of {MAX_DESTINATIONS} destinations.",
            used=count,
            limit=MAX_DESTINATIONS,
        )


def check_headers(headers: Mapping[str, str]) -> None:
    """
    Check the headers of a destination.

    Raises:
        Invalid: A name is reserved, malformed or repeated, or a value is too long
            or contains characters other than printable ASCII, or outer spaces.
    """
    if len(headers) > MAX_HEADERS:
        raise Invalid.field("headers", f"must have at most {MAX_HEADERS} entries")
    seen = set[str]()
    for name, value in headers.items():
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise Invalid.field("headers", f"{name[:40]!r} is not a header name")
        if lower in RESERVED_HEADERS or lower.startswith("webhook-"):
            raise Invalid.field(f"headers.{name}", "is set by Workbell")
        if lower in seen:
            raise Invalid.field(f"headers.{name}", "must be given once")
        if (problem := _value_problem(value)) is not None:
            raise Invalid.field(f"headers.{name}", problem)
        seen.add(lower)


def _value_problem(value: str) -> str | None:
    """Return what is wrong with the value of a header, or None."""
    if "\r" in value or "\n" in value:
        return "must not contain line breaks"
    if not _HEADER_VALUE.fullmatch(value):
        return "must consist of printable ASCII characters"
    if value != value.strip(" "):
        return "must not begin or end with a space"
    if len(value) > _MAX_HEADER_VALUE:
        return f"must have at most {_MAX_HEADER_VALUE:,} characters"
    return None
