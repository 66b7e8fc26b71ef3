"""Destinations: headers, secrets, state and rate."""

import itertools
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.delivery.factories import NOON, a_destination, after, an_open_breaker
from workbell.domain.delivery.circuit_breaker import CircuitBreaker
from workbell.domain.delivery.destination import (
    MAX_HEADERS,
    RESERVED_HEADERS,
    DestinationState,
    check_headers,
)
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit

TOKEN = "!#$%&'*+.^_`|~-09azAZ"


@pytest.mark.parametrize("name", ["X-A", "Content-Type", "Authorization", "CL-X-TOKEN", TOKEN])
@pytest.mark.parametrize("value", ["", "b", "two words", "~!@#$%^&*()[]{};:'\"<>,./?", "x" * 4096])
def test_tokens_with_printable_ascii_values_are_headers(name: str, value: str) -> None:
    check_headers({name: value})


@pytest.mark.parametrize(
    "name", ["", "X A", "X:A", "X-A:", "X-Ä", "X\r\nY", "X\tA", " X", "x" * 129, "X(A)"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_headers({name: "b"})
    assert list(caught.value.field_errors) == ["headers"]


LINES = "must not contain line breaks"
CHARACTERS = "must consist of printable ASCII characters"
SPACES = "must not begin or end with a space"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        *[(value, LINES) for value in ("b\r\nX-B: c", "b\n", "\r", "é\n")],
        *[(value, CHARACTERS) for value in ("\x00", "\x7f", "é", "\u2028", "a\tb")],
        *[(value, SPACES) for value in (" b", "b ", " ")],
        ("x" * 4097, "must have at most 4,096 characters"),
    ],
)
def test_other_values_are_refused(value: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_headers({"X-A": value})
    assert caught.value.field_errors == {"headers.X-A": [problem]}


@pytest.mark.parametrize("name", [*sorted(RESERVED_HEADERS), "webhook-id", "webhook-x"])
def test_headers_of_the_sender_and_the_connection_are_reserved(name: str) -> None:
    for spelling in (name, name.title(), name.upper()):
        with pytest.raises(Invalid):
            check_headers({spelling: "b"})


def test_a_name_must_be_given_once() -> None:
    with pytest.raises(Invalid):
        check_headers({"X-A": "b", "x-a": "c"})


def test_there_are_at_most_50_headers() -> None:
    check_headers({f"X-{n}": "b" for n in range(MAX_HEADERS)})
    with pytest.raises(Invalid):
        check_headers({f"X-{n}": "b" for n in range(MAX_HEADERS + 1)})


@given(st.text(max_size=8), st.text(max_size=8))
def test_no_accepted_header_has_more_than_one_line_of_ascii(name: str, value: str) -> None:
    try:
        check_headers({name: value})
    except Invalid:
        return
    line = f"{name}: {value}"
    assert line.isascii()
    assert line.isprintable()
    assert ":" not in name
    assert name


def test_secret_values_are_not_part_of_the_representation() -> None:
    shown = repr(a_destination(headers={"X-A": "encrypted value"}, previous_secret="old secret"))
    assert "encrypted" not in shown
    assert "old secret" not in shown


def test_the_state_is_that_of_the_breaker_or_disabled() -> None:
    assert a_destination().state is DestinationState.CLOSED
    failing = a_destination(breaker=an_open_breaker())
    assert failing.state is DestinationState.OPEN
    probing = evolve(failing, breaker=failing.breaker.start(1, after(60), timedelta(seconds=1)))
    assert probing.state is DestinationState.HALF_OPEN
    assert failing.disable("gone", NOON).state is DestinationState.DISABLED


def test_a_destination_admits_what_its_breaker_admits_while_it_is_active() -> None:
    assert a_destination().admits(1, NOON)
    assert not a_destination(breaker=an_open_breaker()).admits(1, NOON)
    assert not a_destination(is_active=False).admits(1, NOON)


def test_deliveries_share_the_concurrency_key_of_their_destination() -> None:
    assert a_destination().concurrency_key == "destination:5"


def test_both_secrets_sign_for_24_hours_after_a_rotation() -> None:
    destination = a_destination()
    assert destination.active_secrets(NOON) == ("encrypted secret",)
    rotated = destination.rotate_secret("new secret", NOON)
    assert rotated.active_secrets(after(hours=24, seconds=-1)) == ("new secret", "encrypted secret")
    assert rotated.active_secrets(after(hours=24)) == ("new secret",)
    assert rotated.version == destination.version + 1


def test_disabling_names_the_reason_and_enabling_closes_the_breaker() -> None:
    broken = a_destination(breaker=an_open_breaker(), exhausted_at=NOON)
    disabled = broken.disable("gone", after(1))
    assert (disabled.is_active, disabled.disabled_reason) == (False, "gone")
    enabled = disabled.enable(after(2))
    assert (enabled.is_active, enabled.disabled_reason, enabled.exhausted_at) == (True, None, None)
    assert enabled.breaker == CircuitBreaker()


def test_a_deleted_destination_is_inactive() -> None:
    deleted = a_destination().delete(after(1))
    assert (deleted.is_active, deleted.deleted_at) == (False, after(1))


def test_without_a_rate_the_next_sending_time_is_now() -> None:
    destination = a_destination()
    assert destination.reserve_slot(NOON) == (destination, NOON)


@given(st.integers(1, 1_000), st.lists(st.floats(0, 2), min_size=1, max_size=50))
def test_reserved_sending_times_are_apart_by_the_rate(rate: int, waits: list[float]) -> None:
    destination, now = a_destination(rate_per_second=rate), NOON
    slots = []
    for wait in waits:
        now += timedelta(seconds=wait)
        destination, slot = destination.reserve_slot(now)
        assert slot >= now
        slots.append(slot)
    gap = timedelta(seconds=1 / rate)
    assert all(b - a >= gap for a, b in itertools.pairwise(slots))
