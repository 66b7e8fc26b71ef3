"""The words that settings choose from."""

from enum import StrEnum


class VerifiedEmail(StrEnum):
    """What is refused until an address is verified."""

    JOBS = "jobs"
    ALL = "all"
    NONE = "none"


class PasswordHashing(StrEnum):
    """How much a password's hash costs."""

    OWASP = "owasp"
    RFC9106 = "rfc9106"
    STRONG = "strong"


class LogFormat(StrEnum):
    """How a log line looks."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"
