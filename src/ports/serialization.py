"""Conversion between JSON values and attrs classes."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Serializer(Protocol):
    """Strict conversion between JSON values and attrs classes."""

    def structure(self, data: object, cls: type[T]) -> T:
        """
        Convert JSON data to an instance of the class.

        Raises:
            Invalid: With the path and message of every invalid field.
        """

    def unstructure(self, value: object) -> Any:
        """
        Convert a value to JSON data: str, numbers, bool, lists, dicts, None.

        Raises:
            Invalid: The value contains a type that JSON cannot represent.
        """

    def size(self, value: object) -> int:
        """Return the length of a JSON value in bytes."""

    def digest(self, value: object) -> str:
        """Return a hash of a JSON value that is independent of key order."""

    def schema(self, cls: type) -> Mapping[str, Any]:
        """Return the JSON Schema (2020-12) of a class; unknown names are rejected."""
