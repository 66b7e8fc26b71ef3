"""Serialization: structuring, unstructuring, schemas, and JSON text."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest
from attrs import Factory, define, evolve, field, frozen, validators
from hypothesis import given, settings
from hypothesis import strategies as st

from workbell.adapters.serialization import json_codec as jsontext
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.constraints import Constraints, find_constraints
from workbell.domain.errors import Invalid
from workbell.domain.jobs.task import TaskDefinition

pytestmark = pytest.mark.unit

SERIALIZER = JsonSerializer()
Number = NewType("Number", int)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class LegacyEnum(str, Enum):  # noqa: UP042 - still common in user code
    ONE = "one"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Share(Enum):
    HALF = "half"


@frozen
class Part:
    size: int
    label: Annotated[str | None, Constraints(max_length=3)] = None


@frozen(kw_only=True)
class Whole:
    """
    A bit of
    everything.

    And more.
    """

    text: str
    number: int
    ratio: float
    flag: bool
    at: datetime
    day: date
    long: timedelta
    price: Decimal
    key: UUID
    colour: Colour
    level: Level
    kind: Literal["a", 1]
    maybe: float | None = None
    either: int | str = 0
    parts: Sequence[Part] = ()
    names: list[str] = Factory(list)
    tags: frozenset[str] = frozenset()
    pair: tuple[int, ...] = ()
    counts: Mapping[str, int] = Factory(dict)
    free: Mapping[str, Any] = Factory(dict)
    anything: Any = None
    nothing: None = None
    id: Number = Number(1)
    old: LegacyEnum = LegacyEnum.ONE


GOOD: dict[str, Any] = {
    "text": "t",
    "number": 3.0,
    "ratio": 1,
    "flag": True,
    "at": "2026-03-01T10:00:00+02:00",
    "day": "2026-03-01",
    "long": "30:00:01.5",
    "price": "12.50",
    "key": "12345678-1234-5678-1234-567812345678",
    "colour": "red",
    "level": 2,
    "kind": 1,
}


def numbered(cases: Sequence[object]) -> list[str]:
    return [str(n) for n in range(len(cases))]


def field_errors(
    data: object, cls: type = Whole, serializer: JsonSerializer = SERIALIZER
) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        serializer.structure(data, cls)
    return caught.value.field_errors


def test_every_type_of_field_is_structured() -> None:
    whole = SERIALIZER.structure(GOOD, Whole)

    assert whole.number == 3
    assert type(whole.number) is int
    assert type(whole.ratio) is float
    assert whole.at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert whole.at.tzinfo is UTC
    assert whole.long == timedelta(hours=30, seconds=1.5)
    assert (whole.price, whole.colour, whole.level) == (Decimal("12.50"), Colour.RED, Level.HIGH)


WRONG: list[tuple[str, Any, str]] = [
    ("text", 5, "text must be a string"),
    ("text", None, "text must be a string"),
    ("text", "a\0b", "text must not contain NUL"),
    ("text", "\ud800", "text must not contain lone surrogates"),
    ("text", "x" * 10_001, "text must have at most 10,000 characters"),
    ("number", "7", "number must be an integer"),
    ("number", True, "number must be an integer"),
    ("number", 3.7, "number must be an integer"),
    ("number", float("inf"), "number must be an integer"),
    ("number", float("nan"), "number must be an integer"),
    ("number", 2**63, "number must be an integer of at most 64 bits"),
    ("number", 1e300, "number must be an integer of at most 64 bits"),
    ("ratio", True, "ratio must be a number"),
    ("ratio", "1.5", "ratio must be a number"),
    ("ratio", float("nan"), "ratio must be a number"),
    ("ratio", 10**400, "ratio must be a number of 64 bits"),
    ("flag", 1, "flag must be a boolean"),
    ("at", 5, "at must be a date-time"),
    ("at", "2026", "at must be a date-time such as 2026-01-31T09:30:00Z"),
    ("at", "\ud800", "at must be a date-time such as 2026-01-31T09:30:00Z"),
    ("at", "0001-01-01T00:00:00+14:00", "at must be a date-time such as 2026-01-31T09:30:00Z"),
    (
        "at",
        "2026-01-01T00:00:00",
        "at must be a date-time with its offset from UTC, such as 2026-01-31T09:30:00Z",
    ),
    ("day", "2026-02-30", "day must be a date such as 2026-01-31"),
    ("day", 3, "day must be a date such as 2026-01-31"),
    ("long", 60, "long must be a duration in the form HH:MM:SS"),
    ("long", "1:60:00", "long must be a duration in the form HH:MM:SS"),
    ("long", "-1:00:00", "long must be a duration in the form HH:MM:SS"),
    ("price", 1.234, "price must be a decimal with at most two places"),
    ("price", "1.234", "price must be a decimal with at most two places"),
    ("price", 1e300, "price must be a decimal with at most two places"),
    ("price", float("nan"), "price must be a decimal with at most two places"),
    ("price", True, "price must be a decimal with at most two places"),
    ("key", "x", "key must be a UUID"),
    ("key", 1, "key must be a UUID"),
    ("colour", "RED", "colour must be one of: red, blue"),
    ("colour", ["red"], "colour must be one of: red, blue"),
    ("level", True, "level must be one of: 1, 2"),
    ("old", "two", "old must be one of: one"),
    ("kind", True, "kind must be one of: a, 1"),
    ("maybe", "x", "maybe must be a number"),
    ("either", [], "either must be an integer or a string"),
    ("names", "abc", "names must be a list"),
    ("tags", {"a": 1}, "tags must be a list"),
    ("counts", [], "counts must be an object"),
    ("free", 3, "free must be an object"),
    ("free.a", {1, 2}, "free.a must be a JSON value"),
    ("anything.b", float("nan"), "anything.b must be a number"),
    ("anything", {"\0": 1}, "anything must not contain NUL"),
    ("nothing", 0, "nothing must be null"),
    ("id", "1", "id must be an integer"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG, ids=numbered(WRONG))
def test_nothing_is_coerced(name: str, value: object, message: str) -> None:
    field, _, inner = name.partition(".")
    given = {inner: value} if inner else value
    assert field_errors(GOOD | {field: given}) == {name: [message]}


def test_a_duration_or_depth_out_of_bounds_is_refused() -> None:
    assert SERIALIZER.structure("999999999:00:00", timedelta) == timedelta(hours=999_999_999)
    deep: Any = []
    for _ in range(40):
        deep = [deep]
    assert field_errors(GOOD | {"anything": deep}) == {
        "anything": ["anything must be at most 32 levels deep"]
    }


def test_all_errors_are_reported_at_once_under_their_paths() -> None:
    data = GOOD | {
        "text": 1,
        "parts": [{"size": "1"}, {"size": 2, "label": "long", "more": 1}, {}, 3],
        "names": ["a", 1],
        "counts": {"a": "b", "c": 1},
        "free": {"a": 1},
        "extra\ud800\0": 1,
    }
    del data["flag"]

    assert field_errors(data) == {
        "text": ["text must be a string"],
        "flag": ["flag is required"],
        "parts.0.size": ["parts.0.size must be an integer"],
        "parts.1.label": ["parts.1.label must have at most 3 characters"],
        "parts.1.more": ["parts.1.more is not a valid parameter"],
        "parts.2.size": ["parts.2.size is required"],
        "parts.3": ["parts.3 must be an object"],
        "names.1": ["names.1 must be a string"],
        "counts.a": ["counts.a must be an integer"],
        "extra??": ["extra?? is not a valid parameter"],
    }


def test_the_error_of_the_whole_value_has_no_path() -> None:
    assert field_errors([]) == {"": ["must be an object"]}


def test_the_message_for_unknown_names_can_be_set() -> None:
    errors = field_errors({"size": 1, "b": 2}, Part, JsonSerializer("is not a known field"))
    assert errors == {"b": ["b is not a known field"]}


@frozen
class Either:
    part: Part | int | None = None


def test_the_error_of_a_union_is_that_of_the_closest_member() -> None:
    assert SERIALIZER.structure({"part": {"size": 1}}, Either) == Either(Part(1))
    assert SERIALIZER.structure({"part": None}, Either) == Either()
    assert field_errors({"part": {"size": "x"}}, Either) == {
        "part.size": ["part.size must be an integer"]
    }


# validators


def _not_tom(_: object, __: object, value: str) -> None:
    if value == "tom":
        raise Invalid("Anybody but Tom.")
    if value == "":
        raise Invalid.field("name", "One.", "Two.")


def _below_top(instance: Any, _: object, value: int) -> None:
    if value > instance.top:
        raise ValueError("low must not be above top")


def _odd(_: object, __: object, value: int) -> None:
    if value % 2 == 0:
        raise ValueError


def _louder(text: str) -> str:
    return text.upper()


@define
class Checked:
    low: int = field(validator=_below_top)
    name: str = field(default="x", validator=_not_tom)
    many: int = field(default=1, validator=[validators.ge(1), validators.le(9)])
    odd: int = field(default=1, validator=_odd)
    loud: str = field(default="x", converter=_louder, validator=_not_tom)
    top: int = 5
    _secret: int = 0
    made: int = field(init=False, default=3)

    def __attrs_post_init__(self) -> None:
        if self.top == 99:
            raise ValueError("99 is too much")


def test_validators_run_for_valid_fields_beside_other_errors() -> None:
    assert field_errors(
        {"low": 7, "name": "tom", "many": 0, "odd": 2, "top": 6, "made": 1}, Checked
    ) == {
        "made": ["made is not a valid parameter"],
        "low": ["low must not be above top"],
        "name": ["Anybody but Tom."],
        "many": ["'many' must be >= 1: 0"],
        "odd": ["ValueError"],
    }
    assert field_errors({"low": 1, "name": "", "top": "x"}, Checked) == {
        "top": ["top must be an integer"],
        "name": ["One.", "Two."],
    }


def test_an_error_of_the_class_has_no_path() -> None:
    assert field_errors({"low": 1, "top": 99}, Checked) == {"": ["99 is too much"]}


def test_a_private_field_has_its_public_name_in_json() -> None:
    checked = SERIALIZER.structure({"low": 1, "secret": 4}, Checked)
    assert SERIALIZER.unstructure(checked)["secret"] == 4
    assert "made" not in SERIALIZER.unstructure(checked)


@define
class MissingField:
    low: int = field(validator=_below_top)


def test_a_validator_that_needs_a_missing_attribute_is_skipped() -> None:
    assert field_errors({"low": 1, "x": 1}, MissingField) == {"x": ["x is not a valid parameter"]}


@frozen
class Tree:
    name: str
    leaves: "Sequence[Tree]" = ()


def test_a_class_can_contain_itself() -> None:
    tree = Tree("a", (Tree("b"),))
    assert SERIALIZER.structure(SERIALIZER.unstructure(tree), Tree) == tree
    assert SERIALIZER.schema(Tree)["$defs"]["Tree"]["properties"]["leaves"]["items"] == {
        "$ref": "#/$defs/Tree"
    }


@frozen
class Untyped:  # type: ignore[no-untyped-def]
    free = field()  # type: ignore[var-annotated]
    made = field(factory=list)  # type: ignore[var-annotated]
    bare: list = field(factory=list)  # type: ignore[type-arg]


def test_a_field_without_a_type_accepts_any_json() -> None:
    assert SERIALIZER.structure({"free": {"a": [1]}}, Untyped) == Untyped(
        free={"a": [1]}  # pyright: ignore[reportCallIssue]
    )


class StringSubclass(str):
    __slots__ = ()


@pytest.mark.parametrize("kind", [StringSubclass, bytes, Path, complex, tuple[int, str], set[int]])
def test_a_type_without_json_form_raises_type_error(kind: Any) -> None:
    with pytest.raises(TypeError, match="JSON has no form for it"):
        SERIALIZER.structure("x", kind)


def test_a_literal_can_contain_an_enumeration_member() -> None:
    red: Any = Literal[Colour.RED]
    assert SERIALIZER.structure("red", red) is Colour.RED
    with pytest.raises(Invalid, match="must be one of: red"):
        SERIALIZER.structure("blue", red)


# constraints


@frozen
class Constrained:
    name: Annotated[
        str, Constraints(min_length=1, max_length=20_000, description="A name.", example="n")
    ]
    code: Annotated[str, Constraints(pattern="[a-z]+", hint="must be lower-case letters")] = "a"
    shape: Annotated[str, Constraints(pattern="x+", min_length=2)] = "xx"
    age: Annotated[int, Constraints(ge=0, le=150)] = 1
    rate: Annotated[float | None, Constraints(le=0.5)] = None
    ids: Annotated[list[Number], Constraints(min_length=2, max_length=3)] = Factory(
        lambda: [Number(1), Number(2)]
    )
    more: Annotated[Mapping[str, int], Constraints(max_length=1)] = Factory(dict)
    id: Annotated[Number, "a note", Constraints(ge=1)] = Number(1)
    colour: Annotated[Colour, "a note"] = Colour.RED


def test_constraints_are_checked() -> None:
    assert SERIALIZER.structure({"name": "n" * 20_000}, Constrained).rate is None
    bad = {
        "name": "",
        "code": "abc\n",
        "shape": "y",
        "age": 151,
        "rate": 0.6,
        "ids": [1],
        "more": {"a": 1, "b": 2},
        "id": 0,
    }
    assert field_errors(bad, Constrained) == {
        "name": ["name must not be empty"],
        "code": ["code must be lower-case letters"],
        "shape": ["shape must have at least 2 characters", "shape must match x+"],
        "age": ["age must be at most 150"],
        "rate": ["rate must be at most 0.5"],
        "ids": ["ids must have at least 2 entries"],
        "more": ["more must have at most 1 entry"],
        "id": ["id must be at least 1"],
    }
    assert field_errors({"name": "n", "code": "a" * 10_001}, Constrained) == {
        "code": ["code must have at most 10,000 characters"]
    }


def test_constraints_ignore_values_of_other_types() -> None:
    assert list(Constraints(ge=1).problems(None)) == []
    assert find_constraints(("a",)) is None
    with pytest.raises(Exception, match="unterminated"):
        Constraints(pattern="[")


def test_the_schema_contains_the_constraints() -> None:
    schema = SERIALIZER.schema(Constrained)

    assert schema["properties"] == {
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 20_000,
            "description": "A name.",
            "examples": ["n"],
        },
        "code": {
            "type": "string",
            "maxLength": 10_000,
            "pattern": "^(?:[a-z]+)$",
            "default": "a",
        },
        "shape": {
            "type": "string",
            "minLength": 2,
            "maxLength": 10_000,
            "pattern": "^(?:x+)$",
            "default": "xx",
        },
        "age": {"type": "integer", "minimum": 0, "maximum": 150, "default": 1},
        "rate": {"anyOf": [{"type": "number", "maximum": 0.5}, {"type": "null"}], "default": None},
        "ids": {
            "type": "array",
            "items": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
            "minItems": 2,
            "maxItems": 3,
            "default": [1, 2],
        },
        "more": {
            "type": "object",
            "additionalProperties": {
                "type": "integer",
                "minimum": -(2**63),
                "maximum": 2**63 - 1,
            },
            "maxProperties": 1,
            "default": {},
        },
        "id": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1, "default": 1},
        "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
    }
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False


def test_the_schema_has_every_type_and_a_flat_form() -> None:
    schema = SERIALIZER.schema(Whole)

    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["title"] == "Whole"
    assert schema["description"] == "A bit of everything."
    assert schema["properties"]["at"] == {"type": "string", "format": "date-time"}
    assert schema["properties"]["kind"] == {"enum": ["a", 1]}
    assert schema["$defs"]["Part"]["additionalProperties"] is False
    now = datetime(2026, 1, 1, tzinfo=UTC)
    flat = TaskDefinition(key="k", name="n", schema=schema, created_at=now).flat_schema()
    assert flat["text"] == "string"
    assert (flat["number"], flat["ratio"], flat["flag"]) == ("integer", "float", "boolean")
    assert (flat["maybe"], flat["price"], flat["colour"]) == ("float", "float", "string")
    assert (flat["parts"], flat["free"], flat["anything"]) == ("object", "object", "object")


@frozen
class Wrong:
    path: Path


@frozen
class Own:
    name: str = field(default=Factory(lambda self: self.__class__.__name__, takes_self=True))


def test_there_is_no_schema_for_a_type_without_json_form() -> None:
    with pytest.raises(TypeError, match="Path"):
        SERIALIZER.schema(Wrong)
    assert "default" not in SERIALIZER.schema(Own)["properties"]["name"]
    assert "required" not in SERIALIZER.schema(Own)


# unstructuring


def test_each_type_has_one_json_form() -> None:
    berlin = timezone(timedelta(hours=2))
    assert SERIALIZER.unstructure(
        {
            "a": datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=berlin),
            "b": timedelta(hours=-30),
            "c": timedelta(seconds=3, microseconds=4),
            "d": Decimal("2.505"),
            "e": {"y", "x"},
            "f": (Share.HALF, Level.LOW, LegacyEnum.ONE, Colour.BLUE),
            "g": UUID(int=1),
            "h": date(2026, 1, 2),
            "i": [None, True, 1.5, "ü"],
        }
    ) == {
        "a": "2026-01-01T10:00:00.000005Z",
        "b": "-30:00:00",
        "c": "00:00:03.000004",
        "d": 2.5,
        "e": ["x", "y"],
        "f": ["half", 1, "one", "blue"],
        "g": "00000000-0000-0000-0000-000000000001",
        "h": "2026-01-02",
        "i": [None, True, 1.5, "ü"],
    }


def _recursive_list() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        Decimal("Infinity"),
        datetime(2026, 1, 1),  # noqa: DTZ001
        "\0",
        "\udfff",
        2**64,
        b"x",
        object(),
        Path("x"),
        {1: 2},
        _recursive_list(),
    ],
    ids=list("abcdefghijk"),
)
def test_a_value_without_json_form_is_refused(value: object) -> None:
    with pytest.raises(Invalid):
        SERIALIZER.unstructure([value])


def test_size_and_digest_do_not_depend_on_the_order_of_names() -> None:
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert SERIALIZER.size(one) == len(b'{"a":1,"b":{"c":2,"d":3}}')
    assert SERIALIZER.digest(one) == SERIALIZER.digest(other)
    assert SERIALIZER.digest(one) != SERIALIZER.digest({"a": 1})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from([*GOOD.values(), "red"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(list(GOOD)), inner),
    max_leaves=20,
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)
INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
WHOLES = st.builds(
    Whole,
    text=TEXTS,
    number=INTS,
    ratio=FLOATS,
    flag=st.booleans(),
    at=st.datetimes(timezones=st.just(UTC)),
    day=st.dates(),
    long=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000_000)),
    price=st.decimals(min_value=-(10**12), max_value=10**12, places=2),
    key=st.uuids(),
    colour=st.sampled_from(Colour),
    level=st.sampled_from(Level),
    kind=st.sampled_from(["a", 1]),
    maybe=st.none() | FLOATS,
    either=INTS | TEXTS,
    parts=st.lists(st.builds(Part, INTS, st.none() | st.text("ab", max_size=3))).map(tuple),
    names=st.lists(TEXTS),
    tags=st.frozensets(TEXTS),
    pair=st.lists(INTS).map(tuple),
    counts=st.dictionaries(TEXTS, INTS),
    free=st.dictionaries(TEXTS, st.lists(INTS | TEXTS | st.booleans() | st.none())),
    anything=st.none(),
)


@settings(deadline=None)
@given(WHOLES)
def test_unstructured_values_are_structured_again(whole: Whole) -> None:
    written = SERIALIZER.unstructure(whole)
    assert SERIALIZER.structure(written, Whole) == whole
    assert SERIALIZER.structure(jsontext.loads(jsontext.dumps(written)), Whole) == whole


@settings(deadline=None)
@given(JSON, st.dictionaries(st.sampled_from(list(GOOD)), JSON))
def test_random_json_raises_nothing_but_invalid(data: Any, changed: dict[str, Any]) -> None:
    for given_ in (data, {**GOOD, **changed}):
        for cls in (Whole, Constrained, Checked, Tree, Either):
            try:
                SERIALIZER.structure(given_, cls)
            except Invalid:
                continue


# JSON text


BAD_TEXTS = [
    (b"", "truncated"),
    (b"{", "truncated"),
    (b"[" * 5_000, "more than 32 levels deep"),
    (b"[" * 33 + b"]" * 33, "more than 32 levels deep"),
    (b'{"a":' * 5_000, "more than 32 levels deep"),
    (b"[NaN]", "invalid character"),
    (b"[Infinity]", "invalid character"),
    (b"1e400", "out of range"),
    (b'"\xff"', "not UTF-8"),
    (b'"\xed\xa0\x80"', "not UTF-8"),
    (b'"\\ud800\\u0041"', "surrogate"),
    (b'["\\u0000"]', "NUL"),
    (b'{"\\u0000":1}', "NUL"),
    (b'{"a":1,"a":2}', "same name twice"),
    (b'[{"b":{"a":":","c":[],"a":2}}]', "same name twice"),
    (b'{"a":1,"\\u0061":2}', "same name twice"),
    (b"1" * 5_000, "out of range"),
    (b"\xef\xbb\xbf{}", "invalid character"),
    (b'{"a":1}}', "trailing"),
]


@pytest.mark.parametrize(("text", "reason"), BAD_TEXTS, ids=numbered(BAD_TEXTS))
def test_invalid_json_text_is_refused_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        jsontext.loads(text)


def test_unusual_json_text_is_parsed() -> None:
    assert jsontext.loads(b'{"a:":"b:{[\\"","c":"\\\\u0000"}') == {"a:": 'b:{["', "c": "\\u0000"}
    wide = b"[" + b'["[[["],' * 40 + b"1]"
    assert len(jsontext.loads(wide)) == 41
    assert jsontext.loads(b"[" * 32 + b"]" * 32)
    assert jsontext.loads(b'{"a":[true,1.5,null,-9223372036854775808]}') == {
        "a": [True, 1.5, None, -(2**63)]
    }


def test_a_large_integer_is_left_to_the_structure_that_names_its_field() -> None:
    value = jsontext.loads(b'{"a":[18446744073709551616]}')
    with pytest.raises(Invalid) as refused:
        SERIALIZER.structure(value, dict[str, Any])
    message = "a.0 must be an integer of at most 64 bits"
    assert list(refused.value.field_errors.values()) == [[message]]


def test_a_long_text_of_quotes_is_parsed_in_linear_time() -> None:
    with pytest.raises(Invalid):
        jsontext.loads(b"[" * 33 + b'"' + b'\\"' * 500_000)


@pytest.mark.parametrize(
    "value", [object(), "\ud800", _recursive_list(), {(1, 2): 3}], ids=list("abcd")
)
def test_a_value_that_is_not_json_is_not_encoded(value: object) -> None:
    with pytest.raises(Invalid, match="cannot be written as JSON"):
        jsontext.dumps(value)


@settings(deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_random_bytes_raise_nothing_but_invalid(data: bytes) -> None:
    try:
        value = jsontext.loads(data)
    except Invalid:
        return
    assert jsontext.loads(jsontext.dumps(value)) == value


@settings(deadline=None)
@given(st.dictionaries(TEXTS, INTS | TEXTS | st.dictionaries(TEXTS, TEXTS)))
def test_encoded_json_is_parsed_again(value: dict[str, Any]) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(json.dumps(value).encode()) == value


def test_an_evolved_value_is_unstructured_like_any_other() -> None:
    optional: Optional[Part] = evolve(Part(1), label="ab")  # noqa: UP045
    assert SERIALIZER.unstructure(optional) == {"size": 1, "label": "ab"}


def test_the_error_of_a_json_text_starts_in_lower_case() -> None:
    with pytest.raises(Invalid, match=r"^This is not valid JSON: trailing comma in array"):
        jsontext.loads(b"[1,]")
