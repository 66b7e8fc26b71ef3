"""Limits: what a field admits beyond its type, checked and described."""

import re
from collections.abc import Iterator, Sized
from functools import lru_cache
from typing import Any

from attrs import field, frozen

MAX_TEXT = 10_000
"""How many characters a text may have where its field does not say otherwise."""

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
"""The integers that every store can keep."""

COUNT_CAP = 10_000
"""Lists stop counting here: a larger number is reported as this one, capped."""


def _is_a_pattern(_: object, __: object, pattern: str | None) -> None:
    if pattern is not None:
        re.compile(pattern)


@frozen(kw_only=True)
class Constraints:
    """
    What a field admits beyond its type.

    Written as `Annotated[str, Limits(max_length=200)]`. Lengths count the
    characters of a text, the items of a list or the names of an object. A
    pattern must match the whole text; `hint` says in words what it demands
    ("must be an e-mail address"). `description` and `example` only describe.
    """

    min_length: int | None = None
    max_length: int | None = None
    ge: float | None = None
    le: float | None = None
    pattern: str | None = field(default=None, validator=_is_a_pattern)
    hint: str = ""
    description: str = ""
    example: Any = None

    def problems(self, value: object) -> Iterator[str]:
        """Yield what is wrong with a value of the right type: "must be ..."."""
        if isinstance(value, Sized):
            yield from self._length_problems(value)
        elif isinstance(value, int | float):
            if self.ge is not None and value < self.ge:
                yield f"must be at least {_number(self.ge)}"
            if self.le is not None and value > self.le:
                yield f"must be at most {_number(self.le)}"

    def _length_problems(self, value: Sized) -> Iterator[str]:
        counted = "characters" if isinstance(value, str) else "entries"
        length = len(value)
        if self.min_length is not None and length < self.min_length:
            needed = (
                "not be empty"
                if self.min_length == 1
                else f"have at least {self.min_length:,} {counted}"
            )
            yield f"must {needed}"
        if self.max_length is not None and length > self.max_length:
            yield f"must have at most {self.max_length:,} {counted}"
        elif self.pattern is not None and isinstance(value, str) and not _fits(self.pattern, value):
            yield self.hint or f"must match {self.pattern}"

    def keywords(self, kind: str) -> dict[str, Any]:
        """Return the JSON Schema keywords for a type: string, integer, number, array, object."""
        noun = {"string": "Length", "array": "Items", "object": "Properties"}.get(kind)
        found: dict[str, Any] = {}
        if noun:
            found |= {f"min{noun}": self.min_length, f"max{noun}": self.max_length}
        if kind in {"integer", "number"}:
            found |= {"minimum": self.ge, "maximum": self.le}
        if kind == "string" and self.pattern is not None:
            found["pattern"] = f"^(?:{self.pattern})$"
        return {name: value for name, value in found.items() if value is not None}

    def notes(self) -> dict[str, Any]:
        """Return the JSON Schema annotations: description and examples."""
        found: dict[str, Any] = {}
        if self.description:
            found["description"] = self.description
        if self.example is not None:
            found["examples"] = [self.example]
        return found


def constraints_of(metadata: tuple[Any, ...]) -> Constraints | None:
    """Return the limits among the metadata of an `Annotated`, if there are any."""
    return next((found for found in metadata if isinstance(found, Constraints)), None)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _fits(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


def _number(value: float) -> str:
    return f"{value:,}"
