"""Errors of JSON values, under dotted paths."""

from collections.abc import Sequence

from attrs import evolve, frozen


@frozen
class FieldError:
    """
    An error at a dotted path; the path "" is the value itself.

    The message of a predicate ("must be an integer") follows the path; any
    other message is a whole sentence.
    """

    path: str
    message: str
    is_predicate: bool = True

    def within(self, name: str) -> "FieldError":
        """Return the error with `name` prepended to its path."""
        return evolve(self, path=f"{name}.{self.path}" if self.path else name)

    def __str__(self) -> str:
        return f"{self.path} {self.message}" if self.is_predicate and self.path else self.message


class StructureError(Exception):
    """A value does not fit its type; `errors` are all its field errors."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors)
        self.errors = errors

    def by_path(self) -> dict[str, list[str]]:
        """Return the messages under each dotted path."""
        messages: dict[str, list[str]] = {}
        for error in self.errors:
            messages.setdefault(error.path, []).append(str(error))
        return messages


def structure_error(*messages: str) -> StructureError:
    """Return an error of the value itself."""
    return StructureError([FieldError("", message) for message in messages])
