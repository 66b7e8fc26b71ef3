"""The errors that the package raises on purpose: one base, eight families."""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class WorkbellError(Exception):
    """
    Base of every error that the package raises on purpose.

    Faces map the family; `code` is stable and may be matched by programs.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str = "") -> None:
        """Say what was wrong, in the user's words."""
        super().__init__(detail or type(self).__doc__ or self.code)

    @property
    def detail(self) -> str:
        """What was wrong, in the user's words."""
        return str(self) or type(self).__doc__ or self.code


class Invalid(WorkbellError):
    """What was asked cannot be understood or is not allowed to be asked."""

    code = "invalid"

    def __init__(
        self, detail: str = "", field_errors: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Say what was wrong, and under which dotted paths."""
        self.field_errors = {path: list(said) for path, said in (field_errors or {}).items()}
        if not detail and self.field_errors:
            path, said = next(iter(self.field_errors.items()))
            detail = f"{path}: {said[0]}" if path else said[0]
        super().__init__(detail)

    @classmethod
    def field(cls, path: str, *said: str) -> "Invalid":
        """Return the error of one field."""
        return cls(field_errors={path: said})


class Unauthenticated(WorkbellError):
    """Nobody known is asking."""

    code = "unauthenticated"


class NotAllowed(WorkbellError):
    """Who asks may not do this."""

    code = "not_allowed"


class NotFound(WorkbellError):
    """There is no such thing, or none that who asks may see."""

    code = "not_found"


class Conflict(WorkbellError):
    """It was right, but something else has happened first."""

    code = "conflict"


class StaleVersion(Conflict):
    """It has been changed since it was read."""

    code = "stale_version"

    def __init__(self, version: int, changed: Sequence[str] = ()) -> None:
        """Say which version stands now, and what has changed since."""
        since = f" Changed since: {', '.join(changed)}." if changed else ""
        super().__init__(f"It has been changed since; it now has version {version}.{since}")
        self.version = version
        self.changed = tuple(changed)


class LimitReached(WorkbellError):
    """There is no room for one more."""

    code = "limit_reached"

    def __init__(self, detail: str = "", *, used: int = 0, limit: int = 0) -> None:
        """Say how many there are, and how many there may be."""
        super().__init__(detail)
        self.used, self.limit = used, limit


class Throttled(WorkbellError):
    """Too often: ask again later."""

    code = "throttled"

    def __init__(self, retry_after: float) -> None:
        """Say in how many seconds to ask again."""
        super().__init__(f"Ask again in {retry_after:.0f} seconds.")
        self.retry_after = retry_after


class Unavailable(WorkbellError):
    """A part that is needed does not answer; nothing was changed."""

    code = "unavailable"

    def __init__(self, detail: str = "", *, retry_after: float = 1.0) -> None:
        """Say what is away, and in how many seconds to ask again."""
        super().__init__(detail)
        self.retry_after = retry_after


class Contended(Unavailable):
    """Another transaction was in the way; nothing was changed, and it may be done again at once."""

    def __init__(self, detail: str = "") -> None:
        """Say what was in the way."""
        super().__init__(detail, retry_after=0.1)
