"""Validation of requests by their types and constraints."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import attrs
import pytest
from attrs import frozen

from workbell.domain.constraints import NOT_BLANK, Constraints
from workbell.domain.errors import Invalid
from workbell.domain.validation import check_changes, check_request, to_choice

pytestmark = pytest.mark.unit

UserNumber = NewType("UserNumber", int)


class Colour(StrEnum):
    """Two colours."""

    RED = "red"
    BLUE = "blue"


@frozen(kw_only=True)
class Part:
    """A part of a whole, which may have parts itself."""

    size: Annotated[int, Constraints(ge=1, le=9)] = 1
    parts: "Sequence[Part]" = ()


@frozen(kw_only=True)
class Whole:
    """A field of each type."""

    text: Annotated[str, Constraints(min_length=2, max_length=4)] = "text"
    free: str = ""
    visible: Annotated[str, Constraints(pattern=NOT_BLANK, hint="must not be blank")] = "x"
    number: int = 0
    bounded: Annotated[int, Constraints(ge=0)] | None = None
    ratio: Annotated[float, Constraints(le=2)] = 1.0
    flag: bool = False
    at: datetime | None = None
    day: date | None = None
    long: timedelta | None = None
    price: Decimal | None = None
    key: UUID | None = None
    data: bytes = b""
    colour: Colour = Colour.RED
    kind: Literal["a", 1] = "a"
    either: int | str = 0
    user: UserNumber = UserNumber(1)
    part: Part | None = None
    parts: Annotated[Sequence[Part], Constraints(max_length=2)] = ()
    counts: Mapping[str, int] = attrs.Factory(dict[str, int])
    names: frozenset[str] = frozenset()
    objects: Mapping[str, Any] = attrs.Factory(dict[str, Any])
    anything: Any = None
    call: Callable[[], None] | None = None
    cls: type | None = None


GOOD = [
    {"text": "ab"}, {"text": "äöüß"}, {"free": "x" * 10_000}, {"number": 2**63 - 1},
    {"bounded": 0}, {"ratio": 2}, {"flag": True}, {"at": datetime.now(UTC)},
    {"day": date(2026, 1, 1)}, {"long": timedelta(0)}, {"price": Decimal("1.25")},
    {"key": UUID(int=1)}, {"data": b"x"}, {"colour": Colour.BLUE}, {"kind": 1},
    {"either": "x"}, {"part": Part(size=9)}, {"parts": [Part(parts=[Part()])]},
    {"counts": {"a": 1}}, {"names": {"a"}}, {"objects": {"a": float("nan")}},
    {"anything": object()}, {"call": len}, {"cls": int},
]  # fmt: skip


@pytest.mark.parametrize("fields", GOOD, ids=range(len(GOOD)))
def test_allowed_values_pass(fields: dict[str, Any]) -> None:
    check_request(Whole(**fields))


LONG = "must have at most 4 characters"
BAD: list[tuple[str, Any, str]] = [
    ("text", "a", "must have at least 2 characters"),
    ("text", "abcde", LONG),
    ("text", "äöüßä", LONG),
    ("text", None, "must be a string"),
    ("text", b"ab", "must be a string"),
    ("free", "a\0", "must not contain NUL"),
    ("free", "\ud800", "must not contain lone surrogates"),
    ("free", "x" * 10_001, "must have at most 10,000 characters"),
    ("visible", " \u200b\u3164", "must not be blank"),
    ("number", True, "must be an integer"),
    ("number", 1.0, "must be an integer"),
    ("number", 2**63, "must be an integer of at most 64 bits"),
    ("bounded", -1, "must be at least 0"),
    ("bounded", 2**63, "must be an integer of at most 64 bits"),
    ("ratio", float("nan"), "must be a number"),
    ("ratio", float("inf"), "must be a number"),
    ("ratio", 10**400, "must be a number of 64 bits"),
    ("ratio", True, "must be a number"),
    ("ratio", 2.1, "must be at most 2"),
    ("flag", 1, "must be a boolean"),
    ("at", datetime(2026, 1, 1), "must be a date-time with its offset from UTC, such as 2026-01-31T09:30:00Z"),  # noqa: DTZ001
    ("at", "now", "must be a date-time"),
    ("day", datetime.now(UTC), "must be a date such as 2026-01-31"),
    ("long", timedelta(-1), "must be a duration in the form HH:MM:SS"),
    ("price", Decimal("0.001"), "must be a decimal with at most two places"),
    ("price", Decimal("NaN"), "must be a decimal with at most two places"),
    ("price", 1.5, "must be a decimal with at most two places"),
    ("key", "x", "must be a UUID"),
    ("data", "x", "must be bytes"),
    ("colour", "red", "must be one of: red, blue"),
    ("colour", [], "must be one of: red, blue"),
    ("kind", True, "must be one of: a, 1"),
    ("either", 1.5, "must be an integer or a string"),
    ("either", "x" * 10_001, "must have at most 10,000 characters"),
    ("user", "1", "must be an integer"),
    ("part", 5, "must be an object"),
    ("part.size", Part(size=0), "must be at least 1"),
    ("parts", "ab", "must be a list"),
    ("parts", [Part()] * 3, "must have at most 2 entries"),
    ("parts.1.parts.0.size", [Part(), Part(parts=[Part(size=10)])], "must be at most 9"),
    ("counts", [], "must be an object"),
    ("counts", {1: 1}, "must be a string"),
    ("counts.a", {"a": "1"}, "must be an integer"),
    ("names", ["a"], "must be a list"),
    ("objects", None, "must be an object"),
    ("call", 5, "must be a function"),
    ("cls", "int", "must be a class"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=range(len(BAD)))
def test_refused_values_are_named_with_the_reason(path: str, value: Any, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_request(Whole(**{path.partition(".")[0]: value}))
    assert refused.value.field_errors == {path: [f"{path} {message}"]}


def test_all_fields_are_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        check_request(Whole(text=1, number="2", part=Part(size=0)))  # type: ignore[arg-type]
    assert list(refused.value.field_errors) == ["text", "number", "part.size"]


def test_changes_are_checked_by_their_names() -> None:
    check_changes(Whole, {"text": "abc", "number": 3}, "is unknown")
    with pytest.raises(Invalid) as refused:
        check_changes(Whole, {"number": True, "txt": "abc"}, "is unknown")
    assert refused.value.field_errors == {
        "number": ["number must be an integer"],
        "txt": ["txt is unknown"],
    }


def test_a_choice_is_found_by_its_value() -> None:
    assert to_choice(Colour, "blue") is Colour.BLUE
    assert to_choice(Colour, Colour.BLUE) is Colour.BLUE
    assert [to_choice(Colour, each) for each in ("bleu", 5, None)] == ["bleu", 5, None]


def test_a_type_that_cannot_be_checked_is_an_error_of_the_program() -> None:
    @frozen
    class Odd:
        value: complex = 1j

    with pytest.raises(TypeError, match="cannot be checked"):
        check_request(Odd())
