"""Rate limits: rates, policies and decisions."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import StrEnum
from hashlib import sha256
from math import ceil
from typing import Final

from attrs import field, frozen

from workbell.domain.client_address import client_key
from workbell.domain.errors import Invalid, Throttled
from workbell.domain.identity.user import Tier, User, UserId, normalise_identifier

_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_NOTATION: Final = re.compile(r"([0-9]{1,9})/(second|minute|hour|day)")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


def _check_positive(_: object, __: object, number: int) -> None:
    if number < 1:
        raise Invalid(f"The count and period of a rate must be at least 1, not {number}.")


def _check_name(_: object, __: object, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(f"Invalid policy name {name!r}: use a-z, 0-9 and hyphens.")


@frozen
class Rate:
    """At most `count` requests in any period of `seconds`."""

    count: int = field(validator=_check_positive)
    seconds: int = field(validator=_check_positive)

    @classmethod
    def parse(cls, text: str) -> "Rate | None":
        """
        Parse a rate such as `10/day`; `off` returns None.

        The unit is second, minute, hour or day.

        Raises:
            Invalid: The text is not a rate, or allows nothing.
        """
        notation = text.strip().lower()
        if notation == "off":
            return None
        if not (match := _NOTATION.fullmatch(notation)):
            raise Invalid(f"Invalid rate {text!r}: write it as 10/day, 5/second or off.")
        return cls(int(match[1]), _UNITS[match[2]])

    def __str__(self) -> str:
        """Return the notation that `parse` accepts, if the period is one unit."""
        unit = next((name for name, span in _UNITS.items() if span == self.seconds), None)
        return f"{self.count}/{unit or f'{self.seconds} seconds'}"


class Subject(StrEnum):
    """The property of a request that a policy counts by."""

    ADDRESS = "address"
    USER = "user"
    SESSION = "session"
    ACCOUNT = "account"


@frozen(kw_only=True)
class Policy:
    """
    One limit: at most `rate.count` in any period of `rate.seconds`.

    Exact policies are counted in the store, so a restart does not reset them; the
    others by the rate limiter. Policies with the same `meter` share one count, so
    uses carry over when a user changes tier.
    """

    name: str = field(validator=_check_name)
    rate: Rate
    subject: Subject
    exact: bool = False
    meter: str = ""


@frozen
class RateLimitKey:
    """A policy and the subject that it counts."""

    policy: Policy
    identifier: str

    @property
    def key(self) -> str:
        """The counter's name: at most 128 characters for identifiers up to 95."""
        return f"{self.policy.meter or self.policy.name}:{self.identifier}"


@frozen(kw_only=True)
class Decision:
    """
    The decision of one policy on a request.

    `remaining` is the quota left. `reset_after` is the time in seconds until some
    of it is restored (0 if none is used), `retry_after` until the rejected request
    can succeed (0 if it was allowed).
    """

    policy: Policy
    allowed: bool
    remaining: int
    reset_after: float = 0.0
    retry_after: float = 0.0

    @classmethod
    def from_usage(
        cls, policy: Policy, used: int, oldest: float, at: float, cost: int = 1
    ) -> "Decision":
        """
        Decide from the number of uses in the period and the oldest one's time.

        Does not consume the cost: `remaining` is the value before the request.
        """
        rate = policy.rate
        allowed = used + cost <= rate.count
        reset = max(oldest + rate.seconds - at, 0.0) if used else 0.0
        return cls(
            policy=policy,
            allowed=allowed,
            remaining=max(rate.count - used, 0),
            reset_after=reset,
            retry_after=0.0 if allowed else reset or float(rate.seconds),
        )

    def after_request(self, cost: int = 1) -> "Decision":
        """Return the decision after the cost was consumed."""
        return Decision(
            policy=self.policy,
            allowed=True,
            remaining=self.remaining - cost,
            reset_after=self.reset_after or (float(self.policy.rate.seconds) if cost else 0.0),
        )


def admit(policy: Policy, log: Sequence[float], at: float, cost: int = 1) -> Decision:
    """
    Decide by an exact log: the ascending times of uses, in seconds.

    The start of the period is exclusive: a use at 12:00 expires at 13:00 for one
    hour. Does not consume the cost.
    """
    rate = policy.rate
    first = bisect_right(log, at - rate.seconds)
    used = len(log) - first
    decision = Decision.from_usage(policy, used, log[first] if used else at, at, cost)
    if decision.allowed or cost > rate.count:
        return decision
    last_to_expire = log[len(log) + cost - rate.count - 1]
    return Decision(
        policy=policy,
        allowed=False,
        remaining=decision.remaining,
        reset_after=decision.reset_after,
        retry_after=last_to_expire + rate.seconds - at,
    )


def consume(rate: Rate, log: Sequence[float], at: float, cost: int = 1) -> list[float]:
    """
    Return the log with the request added and expired uses removed.

    It remains sorted even if the clock was set back.
    """
    first = bisect_right(log, at - rate.seconds)
    return [*log[first:], *[max(at, log[-1]) if log else at] * cost]


class RateLimited(Throttled):
    """
    Too many requests; `decisions` has the policies that rejected it.

    `retry_after` is in whole seconds: when none of them would reject it.
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        seconds = (whole_seconds(each.retry_after) for each in decisions if not each.allowed)
        super().__init__(max(seconds, default=1) or 1)
        self.decisions = tuple(decisions)


class Route(StrEnum):
    """The kind of a request, as far as rate limits are concerned."""

    GENERAL = "general"
    SIGN_IN = "sign_in"
    PROGRESS = "progress"
    INGEST = "ingest"
    CONSOLE = "console"
    EXEMPT = "exempt"


@frozen(kw_only=True)
class RateLimitRequest:
    """
    The properties of a request that rate limits depend on.

    `user_id` and `session_id` come from valid credentials only; other requests are
    anonymous. `by_cookie` marks browser sessions, which have a limit of their own:
    one page sends several requests at once.
    """

    address: str
    route: Route = Route.GENERAL
    user_id: UserId | None = None
    tier: Tier = Tier.FREE
    session_id: str = ""
    by_cookie: bool = False


def _policy(
    name: str, rate: Rate | None, subject: Subject, *, exact: bool = False, meter: str = ""
) -> Policy | None:
    if rate is None:
        return None
    return Policy(name=name, rate=rate, subject=subject, exact=exact, meter=meter)


CONSOLE_RATE: Final = Rate(10, 1)
LOGIN_FAILURES: Final = Policy(
    name="login-failures", rate=Rate(20, 3_600), subject=Subject.ACCOUNT, exact=True
)
"""Wrong passwords of one account, from any address."""
SECOND_FACTOR_FAILURES: Final = Policy(
    name="second-factor-failures", rate=Rate(20, 86_400), subject=Subject.ACCOUNT, exact=True
)
"""Wrong second-factor codes of one user; recovery codes are too long to guess."""


@frozen(kw_only=True)
class Policies:
    """All policies of requests; None disables one."""

    anonymous: Policy | None
    user: Policy | None
    login: Policy | None
    ingest: Policy | None
    console: Policy | None
    free: Policy | None
    premium: Policy | None

    @classmethod
    def of(
        cls,
        *,
        anonymous: Rate | None,
        user: Rate | None,
        login: Rate | None,
        ingest: Rate | None,
        free: Rate | None,
        premium: Rate | None,
        console: Rate | None = CONSOLE_RATE,
    ) -> "Policies":
        """Build the policies; without an anonymous rate there is no login limit."""
        login = None if anonymous is None else login
        return cls(
            anonymous=_policy("anonymous", anonymous, Subject.ADDRESS),
            user=_policy("user", user, Subject.USER),
            login=_policy("login", login, Subject.ADDRESS, exact=True),
            ingest=_policy("ingest", ingest, Subject.USER, exact=True),
            console=_policy("console", console, Subject.SESSION),
            free=_policy("free", free, Subject.USER, exact=True, meter="progress"),
            premium=_policy("premium", premium, Subject.USER, exact=True, meter="progress"),
        )

    def quota(self, tier: Tier) -> Policy | None:
        """Return the quota of a tier."""
        return self.premium if tier is Tier.PREMIUM else self.free

    def policies_for(self, request: RateLimitRequest) -> tuple[RateLimitKey, ...]:
        """Return the keys that a request is counted under, narrowest first."""
        if request.route is Route.EXEMPT:
            return ()
        address = client_key(request.address)
        if request.route is Route.CONSOLE:
            return _make_keys((self.console, request.session_id or address))
        own = self._route_policy(request, address)
        if request.user_id is None:
            return _make_keys(own, (self.anonymous, address))
        if request.by_cookie:
            return _make_keys(own, (self.console, request.session_id))
        return _make_keys(own, (self.user, str(request.user_id)))

    def _route_policy(self, request: RateLimitRequest, address: str) -> tuple[Policy | None, str]:
        """Return the policy of the route itself, and its subject."""
        if request.route is Route.SIGN_IN:
            return self.login, address
        if request.user_id is None:
            return None, ""
        if request.route is Route.PROGRESS:
            return self.quota(request.tier), str(request.user_id)
        return (self.ingest if request.route is Route.INGEST else None), str(request.user_id)


def _make_keys(*policies: tuple[Policy | None, str]) -> tuple[RateLimitKey, ...]:
    return tuple(
        RateLimitKey(policy, identifier) for policy, identifier in policies if policy is not None
    )


def account_key(user: User | None, identifier: str, trusted_address: str = "") -> str:
    """
    Return the key under which failed logins of an account are counted.

    An address from which the user has logged in before is counted separately, so
    guessing strangers cannot lock out the owner. Unknown names are counted like
    others, so the limit does not reveal which names exist.
    """
    if user is not None:
        return (
            f"user-{user.id}@{client_key(trusted_address)}"
            if trusted_address
            else f"user-{user.id}"
        )
    return (
        f"name-{sha256(normalise_identifier(identifier).encode(errors='replace')).hexdigest()[:32]}"
    )


def whole_seconds(seconds: float) -> int:
    """Round seconds up for a header."""
    return max(0, ceil(seconds - 1e-6))


def rate_limit_headers(decisions: Iterable[Decision]) -> dict[str, str]:
    """
    Return the headers `RateLimit-Policy` and `RateLimit`, if any.

    Both are lists (RFC 9651), see draft-ietf-httpapi-ratelimit-headers-10.
    """
    policies, states = [], []
    for each in decisions:
        name, rate = each.policy.name, each.policy.rate
        policies.append(f'"{name}";q={rate.count};w={rate.seconds}')
        states.append(f'"{name}";r={each.remaining};t={whole_seconds(each.reset_after)}')
    if not policies:
        return {}
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
