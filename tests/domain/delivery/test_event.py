"""Events: identity, fingerprints, types and patterns."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.delivery.factories import an_event
from workbell.domain.delivery.event import (
    MAX_DATA_BYTES,
    check_data_size,
    check_type_patterns,
    event_problems,
    make_fingerprint,
    matches_type,
)
from workbell.domain.errors import Conflict, Invalid

pytestmark = pytest.mark.unit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4)
    | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)  # fmt: skip
NAME = st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True)
TYPE = st.lists(NAME, min_size=1, max_size=4).map(".".join)


def shuffled(value: Any) -> Any:
    """Return the same JSON value with the members of objects in reverse order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(list(value))}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(JSON)
def test_a_fingerprint_depends_on_the_value_and_not_on_its_notation(value: Any) -> None:
    again = json.loads(json.dumps(shuffled(value), indent=3))
    assert make_fingerprint("a", again) == make_fingerprint("a", value)


@given(JSON)
def test_a_fingerprint_depends_on_the_type(value: Any) -> None:
    assert make_fingerprint("a", value) != make_fingerprint("b", value)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": [1e3]}, {"a": [1000]}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": None}, {}, False),
        ({"a": "é"}, {"a": "\u0065\u0301"}, False),
    ],
)
def test_only_equal_json_values_are_the_same_event(one: Any, other: Any, equal: bool) -> None:
    assert (make_fingerprint("t", one) == make_fingerprint("t", other)) is equal


def test_a_repeated_event_must_have_the_same_fingerprint() -> None:
    event = an_event()
    event.check_same(event.fingerprint)
    with pytest.raises(Conflict) as caught:
        event.check_same("another")
    assert "evt_1" in caught.value.detail


def test_the_data_may_have_256_kib() -> None:
    check_data_size(b"x" * MAX_DATA_BYTES)
    with pytest.raises(Invalid) as caught:
        check_data_size(b"x" * (MAX_DATA_BYTES + 1), "0.data")
    assert list(caught.value.field_errors) == ["0.data"]


@pytest.mark.parametrize("key", ["a", "evt_2f1d", "A:b-C_9", "x" * 128])
def test_event_ids_are_letters_digits_underscores_colons_and_hyphens(key: str) -> None:
    assert event_problems(key, "order.paid", b"{}") == {}


@pytest.mark.parametrize("key", ["", "x" * 129, "a.b", "a b", "é", "a\n", "a/b"])
def test_other_event_ids_are_refused(key: str) -> None:
    assert list(event_problems(key, "order.paid", b"{}")) == ["event_id"]


@pytest.mark.parametrize(
    "event_type", ["", "x" * 129, "Order", "a b", "workbell.test", "workbell.", "a*", "*"]
)
def test_other_types_and_operational_ones_are_refused(event_type: str) -> None:
    assert list(event_problems(None, event_type, b"{}")) == ["event_type"]


def test_every_wrong_field_is_named() -> None:
    problems = event_problems("?", "?", b"x" * (MAX_DATA_BYTES + 1))
    assert list(problems) == ["event_id", "event_type", "data"]


@pytest.mark.parametrize("pattern", ["*", "order.paid", "order.*", "a.b.*", "workbell.*", "a-b_c"])
def test_patterns_are_types_prefixes_and_the_asterisk(pattern: str) -> None:
    check_type_patterns([pattern])


@pytest.mark.parametrize("pattern", ["", "Order", "order*", "*.paid", "a.*.b", "**", "a b", ".*x"])
def test_other_patterns_are_refused_with_their_index(pattern: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_type_patterns(["order.paid", pattern])
    assert list(caught.value.field_errors) == ["event_types.1"]


@pytest.mark.parametrize(
    ("patterns", "event_type", "expected"),
    [
        ([], "order.paid", True),
        (["*"], "order.paid", True),
        ([], "workbell.destination.failing", False),
        (["*"], "workbell.destination.failing", False),
        (["workbell.*"], "workbell.destination.failing", True),
        (["workbell.destination.failing"], "workbell.destination.failing", True),
        (["order.*"], "order.paid", True),
        (["order.*"], "order.item.added", True),
        (["order.*"], "order", False),
        (["order.*"], "orders.paid", False),
        (["order.paid"], "order.paid", True),
        (["order.paid"], "order.paid.late", False),
        (["invoice.*", "order.paid"], "order.paid", True),
        (["invoice.*"], "order.paid", False),
    ],
)
def test_a_destination_gets_the_types_that_it_names(
    patterns: list[str], event_type: str, expected: bool
) -> None:
    assert matches_type(patterns, event_type) is expected


@given(TYPE, NAME)
def test_a_prefix_matches_every_type_below_it(prefix: str, name: str) -> None:
    assert matches_type([f"{prefix}.*"], f"{prefix}.{name}")
    assert not matches_type([f"{prefix}.*"], prefix)
    assert not matches_type([f"{prefix}.*"], f"x{prefix}.{name}")


@given(st.lists(TYPE, max_size=4), TYPE)
def test_without_wildcards_only_equal_names_match(patterns: list[str], event_type: str) -> None:
    assert matches_type([*patterns, "never"], event_type) == (event_type in [*patterns, "never"])
