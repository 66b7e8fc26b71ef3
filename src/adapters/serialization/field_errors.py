"""Errors of values that do not fit a class, under dotted paths."""

from collections.abc import Sequence

from attrs import evolve, frozen


@frozen
class FieldError:
    """
    An error at a dotted path within a value, "" for the value itself.

    The message of a predicate ("must be an integer") is completed by the
    path; any other message is a sentence that names its field itself.
    """

    path: str
    message: str
    is_predicate: bool = True

    def within(self, name: str) -> "FieldError":
        """Return the error as seen from the value that holds this one under a name."""
        return evolve(self, path=f"{name}.{self.path}" if self.path else name)

    def __str__(self) -> str:
        return f"{self.path} {self.message}" if self.is_predicate and self.path else self.message


class StructureError(Exception):
    """A value does not fit its type; it has every field error of the value."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """Create the error from at least one field error."""
        super().__init__(errors)
        self.errors = errors

    def by_path(self) -> dict[str, list[str]]:
        """Return the messages under each dotted path."""
        found: dict[str, list[str]] = {}
        for error in self.errors:
            found.setdefault(error.path, []).append(str(error))
        return found


def structure_error(*messages: str) -> StructureError:
    """Return an error of the value itself, not of a part of it."""
    return StructureError([FieldError("", message) for message in messages])
