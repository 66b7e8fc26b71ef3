"""Parser of cron expressions: five fields or a macro."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NoReturn

from attrs import field, frozen

from workbell.domain.errors import Invalid

MAX_LENGTH = 256
MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
SUNDAY = 7
_FIELD_COUNT = 5
_PARTS = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\w+))?")
_RANDOM_OR_HASH = re.compile(r"([RH])(?:\(.*)?")
_UNSUPPORTED_L = re.compile(r"(?:\w+L|LW|WL|L-\d+)")


def syntax_error(reason: str) -> NoReturn:
    """Raise Invalid under `cron_expression`, with a reason."""
    raise Invalid.field("cron_expression", f"Invalid cron expression: {reason}")


@frozen
class FieldSpec:
    """Name and range of one of the five fields."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Parse a number or a name; Invalid if it is unknown or out of range."""
        if text.upper() in self.names:
            return self.names.index(text.upper()) + self.low
        if not text.isdigit():
            syntax_error(f"{text!r} is not known in the {self.name} field.")
        number = int(text)
        if not self.low <= number <= self.high:
            syntax_error(
                f"{text} is out of range in the {self.name} field ({self.low}-{self.high})."
            )
        return number


MINUTE = FieldSpec("minute", 0, 59)
HOUR = FieldSpec("hour", 0, 23)
DAY = FieldSpec("day of month", 1, 31)
MONTH = FieldSpec("month", 1, 12, MONTHS)
WEEKDAY = FieldSpec("weekday", 0, SUNDAY, WEEKDAYS)


@frozen
class Range:
    """Every `step`-th number from first to last, both inclusive."""

    first: int
    last: int
    step: int = 1
    is_starred: bool = False

    @property
    def numbers(self) -> range:
        """The numbers themselves."""
        return range(self.first, self.last + 1, self.step)


@frozen
class DayPattern:
    """
    A day that depends on the month.

    `sign` is `L` (last day, or last such weekday), `W` (nearest weekday) or
    `#` (the nth such weekday, in `occurrence`).
    """

    sign: str
    number: int | None = None
    occurrence: int | None = None


Item = Range | DayPattern


@frozen
class Field:
    """One of the five fields, parsed."""

    spec: FieldSpec
    items: tuple[Item, ...]

    @property
    def is_wildcard_like(self) -> bool:
        """Whether the field begins with an asterisk (the rule of Debian's cron)."""
        first = self.items[0]
        return isinstance(first, Range) and first.is_starred

    @property
    def is_any(self) -> bool:
        """Whether the field is a bare asterisk."""
        return self.is_wildcard_like and len(self.items) == 1 and self.ranges[0].step == 1

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The numbers and ranges."""
        return tuple(item for item in self.items if isinstance(item, Range))

    @property
    def day_patterns(self) -> tuple[DayPattern, ...]:
        """The days that depend on the month."""
        return tuple(item for item in self.items if isinstance(item, DayPattern))

    @property
    def numbers(self) -> tuple[int, ...]:
        """All plain numbers that match, ascending; Sunday is 0."""
        numbers = {number for each in self.ranges for number in each.numbers}
        if self.spec is WEEKDAY:
            numbers = {number % SUNDAY for number in numbers}
        return tuple(sorted(numbers))


@frozen
class CronExpression:
    """A parsed cron expression."""

    text: str = field(eq=False)
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def is_fixed_time(self) -> bool:
        """Whether it runs at fixed times: neither minute nor hour begins with *."""
        return not (self.minute.is_wildcard_like or self.hour.is_wildcard_like)

    @property
    def matches_either_day(self) -> bool:
        """Whether day of month or weekday suffices; otherwise both must match."""
        return not (self.day.is_wildcard_like or self.weekday.is_wildcard_like)


@lru_cache(maxsize=8192)
def parse(line: str) -> CronExpression:
    """Parse an expression, or raise Invalid; `text` is its normalised form."""
    text = _normalise(line)
    if text.startswith("@"):
        text = text.lower()
        parts = _expand_macro(text).split()
    else:
        parts = text.split()
    if len(parts) != _FIELD_COUNT:
        syntax_error(
            f"it has {len(parts)} field{'s' * (len(parts) > 1)}; exactly 5 are needed "
            "(minute, hour, day of month, month, weekday)."
        )
    minute, hour, day, month, weekday = parts
    return CronExpression(
        text,
        _parse_field(MINUTE, minute),
        _parse_field(HOUR, hour),
        _parse_field(DAY, day),
        _parse_field(MONTH, month),
        _parse_field(WEEKDAY, weekday),
    )


def _normalise(line: str) -> str:
    if len(line) > MAX_LENGTH:
        syntax_error(f"it has {len(line)} characters; at most {MAX_LENGTH} are allowed.")
    if not line.isascii():
        syntax_error("only ASCII characters are allowed.")
    text = line.strip(" \t\r\n").replace("\t", " ")
    if not text.isprintable():
        syntax_error("control characters are not allowed.")
    if not text:
        syntax_error("it is empty.")
    return " ".join(text.split())


def _expand_macro(text: str) -> str:
    if text == "@reboot":
        syntax_error("@reboot is not supported; give the times to run at.")
    if text.startswith("@every"):
        syntax_error("@every is not supported; write a step such as */5 * * * *.")
    if text not in MACROS:
        syntax_error(
            f"{text.split(maxsplit=1)[0]} is not known; the macros are {', '.join(MACROS)}."
        )
    return MACROS[text]


def _parse_field(spec: FieldSpec, text: str) -> Field:
    if text == "?" and spec in (DAY, WEEKDAY):
        text = "*"
    items = tuple(_parse_item(spec, part) for part in text.split(","))
    signs = {item.sign for item in items if isinstance(item, DayPattern)}
    if "W" in signs and len(items) > 1:
        syntax_error("W cannot be part of a list.")
    if spec is WEEKDAY and signs and any(isinstance(item, Range) for item in items):
        syntax_error("weekdays with # or L cannot be listed together with plain weekdays.")
    return Field(spec, items)


def _parse_item(spec: FieldSpec, text: str) -> Item:
    _reject_unsupported(spec, text)
    pattern = _parse_day_pattern(spec, text.upper())
    if pattern is not None:
        return pattern
    match = _PARTS.fullmatch(text)
    if match is None:
        syntax_error(f"{text!r} is not valid in the {spec.name} field.")
    low, high, step = match.groups()
    return _parse_range(spec, text, low, high, step)


def _reject_unsupported(spec: FieldSpec, text: str) -> None:
    if not text:
        syntax_error(f"the {spec.name} field has an empty item in its list.")
    foreign = _RANDOM_OR_HASH.fullmatch(text.upper().partition("/")[0])
    if foreign is not None:
        meaning = {"R": "random", "H": "hashed"}[foreign[1]]
        syntax_error(f"{foreign[1]} ({meaning} times) is not supported; give the time.")
    if "?" in text:
        syntax_error("? is allowed only as the whole day of month or weekday field.")
    if spec in (DAY, WEEKDAY) and _UNSUPPORTED_L.fullmatch(text.upper()):
        syntax_error(
            f"{text!r} is not supported: L is the last day of the month, "
            "L5 in the weekday field its last Friday."
        )


def _parse_day_pattern(spec: FieldSpec, text: str) -> DayPattern | None:
    if spec is DAY and text == "L":
        return DayPattern("L")
    if spec is DAY and (match := re.fullmatch(r"(\d+)W|W(\d+)", text)):
        return DayPattern("W", spec.number(match[1] or match[2]))
    if spec is WEEKDAY and (match := re.fullmatch(r"L(\d+)", text)):
        return DayPattern("L", spec.number(match[1]) % SUNDAY)
    if spec is WEEKDAY and (match := re.fullmatch(r"(\w+)#(\w+)", text)):
        if match[2] not in set("12345"):
            syntax_error(f"# must be followed by a number from 1 to 5, not {match[2]!r}.")
        return DayPattern("#", spec.number(match[1]) % SUNDAY, int(match[2]))
    return None


def _parse_range(spec: FieldSpec, text: str, low: str, high: str | None, step: str | None) -> Range:
    every = _parse_step(spec, step)
    end = 6 if spec is WEEKDAY else spec.high
    if low == "*":
        if high is not None:
            syntax_error(f"{text!r} is not valid in the {spec.name} field.")
        return Range(spec.low, end, every, is_starred=True)
    first = spec.number(low)
    if high is None:
        return Range(first, first if step is None else max(first, end), every)
    last = spec.number(high)
    if spec is WEEKDAY and high.upper() == "SUN" and first > 0:
        last = SUNDAY
    if first > last:
        syntax_error(
            f"the range {low}-{high} in the {spec.name} field runs backwards; "
            f"write two ranges: {low}-{end},{spec.low}-{high}."
        )
    return Range(first, last, every)


def _parse_step(spec: FieldSpec, step: str | None) -> int:
    if step is None:
        return 1
    if not step.isdigit() or not 0 < int(step) <= spec.high:
        syntax_error(f"the step {step} in the {spec.name} field must be from 1 to {spec.high}.")
    return int(step)
