"""Constraints on a field beyond its type, for validation and schemas."""

import re
from collections.abc import Iterator, Sized
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from attrs import field, frozen

MAX_TEXT = 10_000
"""Maximum length of a text in characters, unless its field sets another."""

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
"""The range of integers that every store supports (64 bits)."""

_INVISIBLE = (
    r"\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
)
"""Characters without a glyph: spaces, controls, joiners, fillers, variation selectors."""
NOT_BLANK = rf"[\s\S]*[^{_INVISIBLE}][\s\S]*"
"""The pattern of a text with at least one visible character."""

COUNT_CAP = 10_000
"""Lists count at most this many rows; larger totals are reported as capped."""
SEARCH_WINDOW = 10_000
"""Filters and orderings without an index apply to this many of the newest rows."""


def _check_pattern(_: object, __: object, pattern: str | None) -> None:
    if pattern is not None:
        re.compile(pattern)


@frozen(kw_only=True)
class Constraints:
    """
    The values that a field allows beyond its type.

    Used as `Annotated[str, Constraints(max_length=200)]`. Lengths count the
    characters of a text, the items of a list or the names of an object. A
    pattern must match the whole text; `hint` replaces the generic message
    ("must be an email address"). `first_day` and `last_day` bound a date, or the
    date of a datetime. `description`, `example` and `partial_of` only document;
    the latter is a class of which an object has some of the fields.
    """

    min_length: int | None = None
    max_length: int | None = None
    ge: float | None = None
    le: float | None = None
    first_day: date | None = None
    last_day: date | None = None
    pattern: str | None = field(default=None, validator=_check_pattern)
    hint: str = ""
    description: str = ""
    example: Any = field(default=None, hash=False)  # may be a list or an object
    partial_of: type | None = None

    def problems(self, value: object) -> Iterator[str]:
        """Yield what is wrong with a value of the right type: "must be ..."."""
        if isinstance(value, Sized):
            yield from self._length_problems(value)
        elif isinstance(value, int | float | Decimal):
            if self.ge is not None and value < self.ge:
                yield f"must be at least {_format_number(self.ge)}"
            if self.le is not None and value > self.le:
                yield f"must be at most {_format_number(self.le)}"
        elif isinstance(value, date):
            day = value.date() if isinstance(value, datetime) else value
            if self.first_day is not None and day < self.first_day:
                yield f"must not be before {self.first_day}"
            if self.last_day is not None and day > self.last_day:
                yield f"must not be after {self.last_day}"

    def _length_problems(self, value: Sized) -> Iterator[str]:
        one, many = ("character", "characters") if isinstance(value, str) else ("entry", "entries")
        length = len(value)
        if self.min_length is not None and length < self.min_length:
            if self.min_length == 1:
                yield "must not be empty"
            else:
                yield f"must have at least {self.min_length:,} {many}"
        if self.max_length is not None and length > self.max_length:
            yield f"must have at most {self.max_length:,} {one if self.max_length == 1 else many}"
        elif isinstance(value, str) and not self._matches(value):
            yield self.hint or f"must match {self.pattern}"

    def _matches(self, text: str) -> bool:
        return self.pattern is None or _compile(self.pattern).fullmatch(text) is not None

    def keywords(self, kind: str) -> dict[str, Any]:
        """Return the JSON Schema keywords for a type such as "string"."""
        noun = {"string": "Length", "array": "Items", "object": "Properties"}.get(kind)
        keywords: dict[str, Any] = {}
        if noun:
            keywords |= {f"min{noun}": self.min_length, f"max{noun}": self.max_length}
        if kind in {"integer", "number"}:
            keywords |= {"minimum": self.ge, "maximum": self.le}
        if kind == "string" and self.pattern is not None:
            keywords["pattern"] = f"^(?:{self.pattern})$"
        return {name: value for name, value in keywords.items() if value is not None}

    def annotations(self) -> dict[str, Any]:
        """Return the JSON Schema annotations: description and examples."""
        examples = None if self.example is None else [self.example]
        annotations = {"description": self.description or None, "examples": examples}
        return {name: value for name, value in annotations.items() if value is not None}


FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)
"""The days that requests may name: a year of arithmetic past them is safe."""
_DAYS = Constraints(first_day=FIRST_DAY, last_day=LAST_DAY)
Instant = Annotated[datetime, _DAYS]
"""A datetime of a request; every one is bounded."""
Day = Annotated[date, _DAYS]
"""A date of a request; every one is bounded."""


def find_constraints(metadata: tuple[Any, ...]) -> Constraints | None:
    """Return the constraints in the metadata of an `Annotated`, or None."""
    return next((each for each in metadata if isinstance(each, Constraints)), None)


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _format_number(value: float) -> str:
    return f"{value:,}"
