"""
Errors that the package raises on purpose.

One base class and eight families, each with its own HTTP status (in problem
documents, RFC 9457): Invalid 400, Unauthenticated 401, NotAllowed 403, NotFound
404, Conflict and LimitReached 409 (StaleVersion 412), Throttled 429 and
Unavailable 503.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import ClassVar


class WorkbellError(Exception):
    """
    Base class of every error that the package raises on purpose.

    `code` is stable: programs may match it. `str(error)` is a message for the
    user; without one it is the first line of the class's docstring.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self._default_detail())

    @property
    def detail(self) -> str:
        """The message for the user."""
        return str(self) or self._default_detail()

    def _default_detail(self) -> str:
        return (type(self).__doc__ or self.code).strip().partition("\n")[0]


class Invalid(WorkbellError):
    """
    The request is malformed or has values that are not allowed.

    `field_errors` maps the dotted path of each invalid field to its messages
    ("must not be empty"); the path of the whole value is "".
    """

    code = "invalid"

    def __init__(
        self, detail: str = "", field_errors: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.field_errors = {
            path: list(messages) for path, messages in (field_errors or {}).items()
        }
        if not detail and self.field_errors:
            path, (detail, *_) = next(iter(self.field_errors.items()))
            if path and not detail.startswith(f"{path} "):
                detail = f"{path}: {detail}"
        super().__init__(detail)

    @classmethod
    def field(cls, path: str, *messages: str) -> "Invalid":
        """Return the error of a single field."""
        return cls(field_errors={path: messages})


class Unauthenticated(WorkbellError):
    """The request is not authenticated."""

    code = "unauthenticated"


class NotAllowed(WorkbellError):
    """You are not allowed to do this."""

    code = "not_allowed"


class NotFound(WorkbellError):
    """The object does not exist, or you are not allowed to see it."""

    code = "not_found"


class Conflict(WorkbellError):
    """The request conflicts with the current state of the object."""

    code = "conflict"


class StaleVersion(Conflict):
    """
    The object has changed since it was read.

    `version` is its current version, `changed` names the fields that differ.
    """

    code = "stale_version"

    def __init__(self, version: int, changed: Sequence[str] = ()) -> None:
        fields = f" Changed since: {', '.join(changed)}." if changed else ""
        super().__init__(
            f"The object has changed since it was read; it now has version {version}.{fields}"
        )
        self.version = version
        self.changed = tuple(changed)


class LimitReached(WorkbellError):
    """
    The limit on the number of objects is reached.

    `used` is how many exist, `limit` how many are allowed.
    """

    code = "limit_reached"

    def __init__(self, detail: str = "", *, used: int = 0, limit: int = 0) -> None:
        super().__init__(detail)
        self.used, self.limit = used, limit


class Throttled(WorkbellError):
    """Too many requests; retry after `retry_after` seconds."""

    code = "throttled"

    def __init__(self, retry_after: float) -> None:
        seconds = max(1, ceil(retry_after))
        unit = "second" if seconds == 1 else "seconds"
        super().__init__(f"Too many requests; retry in {seconds} {unit}.")
        self.retry_after = retry_after


class Unavailable(WorkbellError):
    """
    A service that the request needs is unavailable; nothing was changed.

    The same request may succeed after `retry_after` seconds.
    """

    code = "unavailable"

    def __init__(self, detail: str = "", *, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Contended(Unavailable):
    """Lock or serialization conflict; rolled back, safe to retry."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, retry_after=0.1)
