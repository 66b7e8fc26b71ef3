"""Conversion between JSON values and attrs classes."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Serializer(Protocol):
    """Strict conversion between JSON values and attrs classes."""

    def structure(self, data: object, cls: type[T]) -> T:
        """
        Convert JSON data to an instance of the class, or raise Invalid.

        The error has the path and message of every invalid field.
        """

    def unstructure(self, value: object) -> Any:
        """Convert a value to JSON data, or raise Invalid if it has no JSON form."""

    def size(self, value: object) -> int:
        """Return the length of a JSON value in bytes."""

    def digest(self, value: object) -> str:
        """Return a hash of a JSON value that is independent of key order."""

    def schema(self, cls: type) -> Mapping[str, Any]:
        """Return the JSON Schema (2020-12) of a class; unknown names are rejected."""
