"""Serialization of parameters, bodies and results as JSON values."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Serializer(Protocol):
    """Strict conversion between JSON values and attrs classes."""

    def structure(self, data: object, cls: type[T]) -> T:
        """
        Return JSON data as a value of the class.

        Raises:
            Invalid: The data do not fit; every wrong field is named.
        """
        ...

    def unstructure(self, value: object) -> Any:
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
