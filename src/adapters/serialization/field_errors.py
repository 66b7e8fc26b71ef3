"""Errors of JSON values, under dotted paths."""

from collections.abc import Iterator
from typing import Any

import attrs
from cattrs import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from workbell.domain.errors import Invalid

MAX_NAME = 100
"""Characters of an unknown name that an error repeats."""


class StructureError(Exception):
    """
    A value does not fit its type; the arguments say why ("must be a string").

    `path` is that of the part of the value, "" the whole.
    """

    path: str = ""

    def below(self, name: str) -> "StructureError":
        """Return the error of an object or list whose part `name` has this error."""
        self.path = _join(name, self.path) if self.path else name
        return self


class TooDeep(StructureError):
    """A value has too many levels; no single part is at fault."""

    def below(self, name: str) -> StructureError:  # noqa: ARG002
        """Return the same error: the path would have as many names."""
        return self


def messages_by_path(error: Exception, unknown: str) -> dict[str, list[str]]:
    """
    Return the messages under each dotted path; the path "" is the whole value.

    `unknown` is the message for a name that a class does not have.
    """
    messages: dict[str, list[str]] = {}
    for path, message in _walk(error, "", unknown):
        messages.setdefault(path, []).append(message)
    return messages


def _walk(error: Exception, path: str, unknown: str) -> Iterator[tuple[str, str]]:
    """Yield path and message of an error, or of all that cattrs collected in it."""
    if isinstance(error, (ClassValidationError, IterableValidationError)):
        with_notes, others = error.group_exceptions()
        for inner, note in with_notes:
            name = _join(path, _name(error, note))
            if isinstance(inner, KeyError):
                yield name, f"{name} is required"
            else:
                yield from _walk(inner, name, unknown)
        for inner in others:
            yield from _walk(inner, path, unknown)
    elif isinstance(error, StructureError):
        path = _join(path, error.path) if error.path else path
        for message in error.args:
            yield path, f"{path} {message}".lstrip()
    elif isinstance(error, ForbiddenExtraKeysError):
        for given in sorted(map(str, error.extra_fields)):
            printable = given.encode(errors="replace").decode()[:MAX_NAME].replace("\0", "?")
            name = _join(path, printable)
            yield name, f"{name} {unknown}"
    elif isinstance(error, Invalid) and error.field_errors:
        yield from ((path, text) for texts in error.field_errors.values() for text in texts)
    elif isinstance(error, (ValueError, TypeError, Invalid)):
        yield path, str(error.args[0]) if error.args else type(error).__name__
    else:
        raise error


def _name(error: Exception, note: Any) -> str:
    """Return the name in JSON of the field or item that a note names."""
    if isinstance(error, ClassValidationError):
        return attrs.fields_dict(error.cl)[note.name].alias or note.name
    return str(note.index)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
