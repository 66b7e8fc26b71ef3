"""How often somebody may do something: rates, policies and decisions."""

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


def _is_positive(_: object, __: object, number: int) -> None:
    if number < 1:
        raise Invalid(f"A rate allows at least one, not {number}.")


def _is_a_name(_: object, __: object, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(f"Not a policy's name: {name!r}")


@frozen
class Rate:
    """So many in so many seconds."""

    count: int = field(validator=_is_positive)
    seconds: int = field(validator=_is_positive)

    @classmethod
    def parse(cls, text: str) -> "Rate | None":
        """
        Read a rate as people write it: `10/day`, or `off` for none.

        The unit is second, minute, hour or day.

        Raises:
            Invalid: The text is neither, or allows nothing at all.
        """
        plain = text.strip().lower()
        if plain == "off":
            return None
        if not (found := _NOTATION.fullmatch(plain)):
            raise Invalid(f"Not a rate such as 10/day, 5/second or off: {text!r}")
        return cls(int(found[1]), _UNITS[found[2]])

    def __str__(self) -> str:
        """Return the notation that `parse` reads, where the span is one unit."""
        unit = next((name for name, span in _UNITS.items() if span == self.seconds), None)
        return f"{self.count}/{unit or f'{self.seconds} seconds'}"


class Subject(StrEnum):
    """What a policy counts by."""

    ADDRESS = "address"
    USER = "user"
    SESSION = "session"
    ACCOUNT = "account"


@frozen(kw_only=True)
class Policy:
    """
    One limit: at most `rate.count` in any span of `rate.seconds`.

    An exact policy is counted by the store, so that a restart refills
    nothing; the others by the limiter. Policies with the same `meter` share
    one count: whoever changes tier takes along what they have spent.
    """

    name: str = field(validator=_is_a_name)
    rate: Rate
    subject: Subject
    exact: bool = False
    meter: str = ""


@frozen
class RateLimitKey:
    """One policy, and whom it counts."""

    policy: Policy
    identifier: str

    @property
    def key(self) -> str:
        """The name of the count: at most 128 characters where the identifier has 95."""
        return f"{self.policy.meter or self.policy.name}:{self.identifier}"


@frozen(kw_only=True)
class Decision:
    """
    What one policy says to a request.

    `remaining` is what is left after it. Seconds: `reset_after` until some of
    what was spent comes back (0 where nothing was), `retry_after` until the
    refused request may succeed (0 where it was not refused).
    """

    policy: Policy
    allowed: bool
    remaining: int
    reset_after: float = 0.0
    retry_after: float = 0.0

    @classmethod
    def of(cls, policy: Policy, spent: int, oldest: float, at: float, cost: int = 1) -> "Decision":
        """
        Decide from how much was spent within the span, and when the first of it was.

        Nothing is spent by deciding: `remaining` still is what it was.
        """
        rate = policy.rate
        allowed = spent + cost <= rate.count
        reset = max(oldest + rate.seconds - at, 0.0) if spent else 0.0
        return cls(
            policy=policy,
            allowed=allowed,
            remaining=max(rate.count - spent, 0),
            reset_after=reset,
            retry_after=0.0 if allowed else reset or float(rate.seconds),
        )

    def exhausted(self, cost: int = 1) -> "Decision":
        """Return the decision as it stands once the request was counted."""
        return Decision(
            policy=self.policy,
            allowed=True,
            remaining=self.remaining - cost,
            reset_after=self.reset_after or (float(self.policy.rate.seconds) if cost else 0.0),
        )


def admit(policy: Policy, log: Sequence[float], at: float, cost: int = 1) -> Decision:
    """
    Decide by an exact log: the moments of what was spent, in order, as seconds.

    Of the span the beginning is left out: what was spent at noon is back at
    noon, an hour later. Nothing is spent by deciding.
    """
    rate = policy.rate
    first = bisect_right(log, at - rate.seconds)
    spent = len(log) - first
    decided = Decision.of(policy, spent, log[first] if spent else at, at, cost)
    if decided.allowed or cost > rate.count:
        return decided
    last_to_go = log[len(log) + cost - rate.count - 1]
    return Decision(
        policy=policy,
        allowed=False,
        remaining=decided.remaining,
        reset_after=decided.reset_after,
        retry_after=last_to_go + rate.seconds - at,
    )


def consume(rate: Rate, log: Sequence[float], at: float, cost: int = 1) -> list[float]:
    """
    Return the log with one more request, and without what has come back.

    It stays in order even if the clock was set back.
    """
    first = bisect_right(log, at - rate.seconds)
    return [*log[first:], *[max(at, log[-1]) if log else at] * cost]


class RateLimited(Throttled):
    """Too often, by the policies that say so in `decisions`."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        """Say in how many whole seconds to ask again: when all that refuse would not."""
        seconds = (whole_seconds(each.retry_after) for each in decisions if not each.allowed)
        super().__init__(max(seconds, default=1) or 1)
        self.decisions = tuple(decisions)


class Route(StrEnum):
    """What kind of request it is, as far as limits care."""

    GENERAL = "general"
    SIGN_IN = "sign_in"
    PROGRESS = "progress"
    INGEST = "ingest"
    CONSOLE = "console"
    EXEMPT = "exempt"


@frozen(kw_only=True)
class RateLimitRequest:
    """
    What limits want to know of a request.

    `user_id` and `session_id` are those of valid credentials only: whoever
    shows others is anonymous. `by_cookie` is for who asks from a browser's
    session: a page asks more often in a moment than a program does.
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
"""Wrong passwords of one account, from wherever they come."""
SECOND_FACTOR_FAILURES: Final = Policy(
    name="second-factor-failures", rate=Rate(20, 86_400), subject=Subject.ACCOUNT, exact=True
)
"""Wrong codes of one person's second factor; recovery codes are too long to be guessed."""


@frozen(kw_only=True)
class Policies:
    """Every limit that requests meet; None is none."""

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
        """Return the policies at these rates; without anonymous ones no login limit either."""
        person = Subject.USER
        at_login = None if anonymous is None else login
        return cls(
            anonymous=_policy("anonymous", anonymous, Subject.ADDRESS),
            user=_policy("user", user, person),
            login=_policy("login", at_login, Subject.ADDRESS, exact=True),
            ingest=_policy("ingest", ingest, person),
            console=_policy("console", console, Subject.SESSION),
            free=_policy("free", free, person, exact=True, meter="progress"),
            premium=_policy("premium", premium, person, exact=True, meter="progress"),
        )

    def quota(self, tier: Tier) -> Policy | None:
        """Return the quota of a tier."""
        return self.premium if tier is Tier.PREMIUM else self.free

    def policies_for(self, asked: RateLimitRequest) -> tuple[RateLimitKey, ...]:
        """Return what a request is charged for, the narrowest first."""
        if asked.route is Route.EXEMPT:
            return ()
        address = client_key(asked.address)
        if asked.route is Route.CONSOLE:
            return _charges((self.console, asked.session_id or address))
        own = self._own(asked, address)
        if asked.user_id is None:
            return _charges(own, (self.anonymous, address))
        if asked.by_cookie:
            return _charges(own, (self.console, asked.session_id))
        return _charges(own, (self.user, str(asked.user_id)))

    def _own(self, asked: RateLimitRequest, address: str) -> tuple[Policy | None, str]:
        """Return the policy of the route itself."""
        if asked.route is Route.SIGN_IN:
            return self.login, address
        if asked.user_id is None:
            return None, ""
        if asked.route is Route.PROGRESS:
            return self.quota(asked.tier), str(asked.user_id)
        return (self.ingest if asked.route is Route.INGEST else None), str(asked.user_id)


def _charges(*met: tuple[Policy | None, str]) -> tuple[RateLimitKey, ...]:
    return tuple(RateLimitKey(policy, whom) for policy, whom in met if policy is not None)


def account_key(user: User | None, identifier: str, trusted_address: str = "") -> str:
    """
    Return by what an account's failures are counted.

    An address that the person has signed in from before is counted by itself,
    so that strangers who guess do not shut out its owner. A name that nobody
    has is counted like any other, so that the limit does not tell which names
    exist.
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
    """Return seconds as headers carry them: whole, rounded up."""
    return max(0, ceil(seconds - 1e-6))


def rate_limit_headers(decisions: Iterable[Decision]) -> dict[str, str]:
    """
    Return the `RateLimit-Policy` and `RateLimit` headers of a request.

    Both are lists (RFC 9651) as draft-ietf-httpapi-ratelimit-headers-10 has
    them; without a decision there are none.
    """
    policies, states = [], []
    for each in decisions:
        name, rate = each.policy.name, each.policy.rate
        policies.append(f'"{name}";q={rate.count};w={rate.seconds}')
        states.append(f'"{name}";r={each.remaining};t={whole_seconds(each.reset_after)}')
    if not policies:
        return {}
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
