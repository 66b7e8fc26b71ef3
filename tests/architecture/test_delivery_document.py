"""The numbers and names on the page about delivery are those of the code."""

import re
from pathlib import Path

import pytest
from attrs import fields

from workbell.domain.delivery import circuit_breaker, destination, event, retry_policy
from workbell.domain.delivery.account import TOKEN_OVERLAP
from workbell.domain.delivery.delivery import SNIPPET_BYTES, DeliveryState
from workbell.domain.delivery.destination import Destination, DestinationState, HttpMethod
from workbell.entrypoints.config.settings import Settings

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs/delivery.md").read_text("utf-8")
HOURS = 3_600


def section(title: str) -> str:
    """Return the text below a heading of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, str]:
    """Return the rest of each table row by the code in its first cell."""
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE))


def duration(seconds: int) -> str:
    """Return seconds as the page writes them."""
    for unit, size in (("h", HOURS), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def test_the_retry_schedule_is_that_of_the_code() -> None:
    *first, last = map(duration, retry_policy.RETRY_DELAYS)
    text = section("Retries")
    assert f"> {', '.join(first)} and {last},\n" in text
    assert f"up to {retry_policy.JITTER:.0%}".replace("%", " %") in text
    assert retry_policy.MIN_RETRY_AFTER == 1
    assert retry_policy.MAX_RETRY_AFTER == HOURS
    assert "within 1 second and 1 hour" in text
    assert rows(text).keys() == {state.label for state in DeliveryState}


def test_the_circuit_breaker_is_that_of_the_code() -> None:
    text = section("Circuit breaker")
    pause = int(circuit_breaker.FIRST_PAUSE.total_seconds())
    longest = int(circuit_breaker.MAX_PAUSE.total_seconds()) // 60
    failures = circuit_breaker.FAILURES_TO_OPEN
    assert f"After {failures} failures in a row its breaker opens for {pause} seconds" in text
    assert f"up to {longest} minutes" in text
    assert circuit_breaker.MAX_FAILING.days == 1
    assert "for a day" in text


def test_the_fields_of_destinations_have_the_limits_of_the_code() -> None:
    text = section("Destinations")
    found = rows(text)
    for method in HttpMethod:
        assert f"`{method}`" in found["http_method"]
    for state in DestinationState:
        assert f"`{state}`" in text
    defaults = {each.name: each.default for each in fields(Destination)}
    for name in ("timeout_seconds", "concurrency"):
        assert found[name].startswith(f"{defaults[name]} |")
    assert f"at most {destination.MAX_HEADERS} " in found["headers"]
    most, days = retry_policy.MAX_DELAYS, retry_policy.MAX_DELAY // (24 * HOURS)
    assert f"at most {most} of at most {days} days" in found["retry_delays"]
    assert f"contain `{destination.HEADER_MASK}`" in text


def test_the_limits_are_those_of_the_code() -> None:
    text = section("Limits")
    assert f"| {event.MAX_DATA_BYTES // 1024} KiB |" in text
    assert f"{event.MAX_BATCH} events" in text
    assert f"{SNIPPET_BYTES // 1024} KiB for each attempt" in text
    defaults = {each.name: each.default for each in fields(Settings)}
    assert f"{defaults['retention_events_days']} days" in text
    assert f"`{event.OPERATIONAL_PREFIX}` are reserved" in text


def test_the_overlaps_of_rotations_are_those_of_the_code() -> None:
    assert TOKEN_OVERLAP.total_seconds() == destination.SECRET_OVERLAP.total_seconds() == 24 * HOURS
    assert PAGE.count("for 24 hours") == 2
