"""How often somebody may do something: rates, and their notation."""

import re
from typing import Final

from attrs import field, frozen

from .errors import Invalid

_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_NOTATION: Final = re.compile(r"([0-9]{1,9})/(second|minute|hour|day)")


def _is_positive(_: object, __: object, number: int) -> None:
    if number < 1:
        raise Invalid(f"A rate allows at least one, not {number}.")


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
