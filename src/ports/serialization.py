"""Shapes: how parameters and results cross from JSON to classes and back."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Shapes(Protocol):
    """Strict reading and writing of attrs classes as JSON values."""

    def read(self, data: object, cls: type[T]) -> T:
        """
        Return JSON data as a value of the class.

        Raises:
            Invalid: It does not fit; every field at fault is named.
        """
        ...

    def write(self, value: object) -> Any:
        """
        Return a value as JSON data: texts, numbers, lists, dicts and None.

        Raises:
            Invalid: It holds something that JSON has no form for.
        """
        ...

    def size(self, value: object) -> int:
        """Return how many bytes a JSON value takes."""
        ...

    def digest(self, value: object) -> str:
        """Return a hash of a JSON value that does not depend on key order."""
        ...

    def schema(self, cls: type) -> Mapping[str, Any]:
        """Return the JSON Schema (2020-12) of a class, unknown names refused."""
        ...
