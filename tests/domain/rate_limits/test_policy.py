"""Rate limits: policies of a request, decisions and headers."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.factories import NOON, a_user
from workbell.domain.errors import Invalid, Throttled
from workbell.domain.identity.user import Tier, UserId
from workbell.domain.rate_limits.policy import (
    Decision,
    Policies,
    Policy,
    Rate,
    RateLimited,
    RateLimitRequest,
    Route,
    Subject,
    account_key,
    admit,
    consume,
    rate_limit_headers,
    whole_seconds,
)

pytestmark = pytest.mark.unit

START = NOON.timestamp()
FREE = Policy(name="free", rate=Rate(10, 86_400), subject=Subject.USER, exact=True)
SMALL = Policy(name="small", rate=Rate(3, 10), subject=Subject.USER)
RATES = {
    "anonymous": Rate(100, 3_600),
    "user": Rate(1_000, 3_600),
    "login": Rate(10, 60),
    "ingest": Rate(5, 1),
    "free": Rate(10, 86_400),
    "premium": Rate(1_000, 86_400),
}


def matching_keys(route: Route, *, off: str = "", **who: Any) -> list[str]:
    """Return the keys under which a request from 192.0.2.7 is counted."""
    policies = Policies.of(**{name: rate for name, rate in RATES.items() if name not in off.split()}
                           | dict.fromkeys(off.split()))  # fmt: skip
    asked = RateLimitRequest(address="192.0.2.7", route=route, **who)
    return [f"{each.policy.name}={each.key}" for each in policies.policies_for(asked)]


def test_the_narrowest_policy_comes_first() -> None:
    """Requests without valid credentials are anonymous."""
    ann: dict[str, Any] = {"user_id": UserId(7)}
    assert matching_keys(Route.GENERAL) == ["anonymous=anonymous:192.0.2.7"]
    assert matching_keys(Route.GENERAL, **ann) == ["user=user:7"]
    assert matching_keys(Route.INGEST, **ann) == ["ingest=ingest:7", "user=user:7"]
    assert matching_keys(Route.INGEST) == ["anonymous=anonymous:192.0.2.7"]
    assert matching_keys(Route.PROGRESS, **ann) == ["free=progress:7", "user=user:7"]
    assert matching_keys(Route.PROGRESS) == ["anonymous=anonymous:192.0.2.7"]
    assert matching_keys(Route.SIGN_IN) == [
        "login=login:192.0.2.7",
        "anonymous=anonymous:192.0.2.7",
    ]
    assert matching_keys(Route.EXEMPT, **ann) == []


def test_both_tiers_share_one_count() -> None:
    """Uses carry over when a user changes tier."""
    premium = matching_keys(Route.PROGRESS, user_id=UserId(7), tier=Tier.PREMIUM)
    assert premium == ["premium=progress:7", "user=user:7"]


def test_the_console_has_only_its_own_limit() -> None:
    """Per session, or per address before there is one."""
    assert matching_keys(Route.CONSOLE, session_id="abc", user_id=UserId(7)) == [
        "console=console:abc"
    ]
    assert matching_keys(Route.CONSOLE) == ["console=console:192.0.2.7"]


def test_browser_sessions_use_the_console_limit() -> None:
    ann: dict[str, Any] = {"user_id": UserId(7), "session_id": "abc", "by_cookie": True}
    assert matching_keys(Route.GENERAL, **ann) == ["console=console:abc"]
    assert matching_keys(Route.INGEST, **ann) == ["ingest=ingest:7", "console=console:abc"]


def test_off_disables_a_limit() -> None:
    """Without an anonymous limit there is no login limit either."""
    assert matching_keys(Route.SIGN_IN, off="anonymous") == []
    assert matching_keys(Route.SIGN_IN, off="login") == ["anonymous=anonymous:192.0.2.7"]
    assert matching_keys(Route.PROGRESS, off="free user", user_id=UserId(7)) == []


def test_unknown_names_are_counted_like_known_ones() -> None:
    """All spellings of a name have one key, which differs from those of users."""
    assert account_key(None, "Nobody") == account_key(None, " nobody ")
    assert account_key(None, "user-1") != account_key(a_user(id=UserId(1)), "user-1")
    assert account_key(a_user(id=UserId(1)), "alice") == "user-1"
    assert account_key(a_user(id=UserId(1)), "alice", "192.0.2.1") == "user-1@192.0.2.1"
    network = account_key(a_user(id=UserId(1)), "alice", "2001:db8::1")
    assert network == account_key(a_user(id=UserId(1)), "alice", "2001:db8::2")
    assert account_key(None, "nobody", "192.0.2.1") == account_key(None, "nobody")
    assert len(account_key(None, "x\ud800\0" * 100_000)) == 37


@pytest.mark.parametrize("name", ["", "Free", 'a"b', "a b", "ä", "a" * 33])
def test_policy_names_are_valid_in_headers(name: str) -> None:
    """They need no escaping."""
    with pytest.raises(Invalid):
        Policy(name=name, rate=Rate(1, 1), subject=Subject.USER)


def test_uses_expire_after_the_period() -> None:
    """Each use separately, at the exact time."""
    log = [START, START + 1, START + 2]
    full = admit(SMALL, log, START + 5)
    assert (full.allowed, full.remaining, full.reset_after, full.retry_after) == (False, 0, 5, 5)
    assert not admit(SMALL, log, START + 9.999).allowed
    free = admit(SMALL, log, START + 10)
    assert (free.allowed, free.remaining, free.reset_after, free.retry_after) == (True, 1, 1, 0)
    assert consume(SMALL.rate, log, START + 10) == [START + 1, START + 2, START + 10]


def test_a_larger_cost_waits_for_more_uses_to_expire() -> None:
    """A cost of two waits for two uses; a cost above the limit never succeeds."""
    log = [START, START + 1, START + 2]
    assert admit(SMALL, log, START + 5, cost=2).retry_after == 6
    assert not admit(SMALL, [], START, cost=4).allowed
    assert admit(SMALL, [], START, cost=4).retry_after == 10


def test_a_clock_set_back_does_not_admit_more() -> None:
    """The log remains sorted."""
    log = consume(SMALL.rate, [START, START], START - 5)
    assert log == [START, START, START]
    assert not admit(SMALL, log, START + 9).allowed
    assert admit(SMALL, log, START + 10).allowed


def test_a_smaller_limit_counts_earlier_uses() -> None:
    """This happens when a user changes from premium to free."""
    now = admit(SMALL, [START + n for n in range(8)], START + 8)
    assert (now.allowed, now.remaining, now.retry_after) == (False, 0, 7)


moments = st.lists(st.integers(0, 200), min_size=1, max_size=120).map(sorted)


@given(moments, st.integers(1, 6), st.integers(1, 40))
def test_no_period_exceeds_the_limit(moments: list[int], count: int, seconds: int) -> None:
    """Requests within the limit are admitted, and `retry_after` is exact."""
    policy = Policy(name="p", rate=Rate(count, seconds), subject=Subject.USER)
    log: list[float] = []
    admitted: list[int] = []
    for moment in moments:
        decision = admit(policy, log, float(moment))
        within = [each for each in admitted if each > moment - seconds]
        assert decision.allowed is (len(within) < count)
        assert decision.remaining == count - len(within)
        if decision.allowed:
            admitted.append(moment)
            log = consume(policy.rate, log, float(moment))
        else:
            again = moment + decision.retry_after
            assert admit(policy, log, again).allowed
            assert not admit(policy, log, again - 0.5).allowed
    for first in admitted:
        assert sum(first <= each < first + seconds for each in admitted) <= count


def test_headers_name_every_policy() -> None:
    """Whole seconds, rounded up."""
    decisions = [
        Decision(policy=FREE, allowed=True, remaining=3, reset_after=5_399.2),
        Decision(policy=SMALL, allowed=True, remaining=0, reset_after=0.1),
    ]
    assert rate_limit_headers(decisions) == {
        "RateLimit-Policy": '"free";q=10;w=86400, "small";q=3;w=10',
        "RateLimit": '"free";r=3;t=5400, "small";r=0;t=1',
    }
    assert rate_limit_headers([]) == {}


@given(st.integers(0, 10**6), st.floats(0, 10**6))
def test_headers_are_structured_lists(remaining: int, reset: float) -> None:
    """The subset of RFC 9651 that they use."""
    decision = Decision(policy=FREE, allowed=True, remaining=remaining, reset_after=reset)
    for text in rate_limit_headers([decision, decision]).values():
        assert re.fullmatch(r'("[a-z-]+"(;[a-z]=\d{1,15}){2}(, |$)){2}', text)


def test_the_error_has_the_longest_retry_after() -> None:
    """In whole seconds, at least one; the message has the same number."""
    wait = [
        Decision(policy=SMALL, allowed=False, remaining=0, reset_after=0.2, retry_after=0.2),
        Decision(policy=FREE, allowed=False, remaining=0, reset_after=60.5, retry_after=60.5),
        Decision(policy=SMALL, allowed=True, remaining=0, reset_after=999),
    ]
    error = RateLimited(wait)
    assert isinstance(error, Throttled)
    assert (error.retry_after, error.code, len(error.decisions)) == (61, "throttled", 3)
    assert str(error) == "Too many requests; retry in 61 seconds."
    assert RateLimited(wait[:1]).retry_after == 1


def test_seconds_are_rounded_up() -> None:
    """Except for floating-point noise."""
    assert [whole_seconds(each) for each in (0, 0.001, 1, 1.000_000_1, 1.1, -3)] == [
        0,
        1,
        1,
        1,
        2,
        0,
    ]
