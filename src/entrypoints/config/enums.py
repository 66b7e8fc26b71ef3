"""Enumerations of settings."""

from enum import StrEnum


class VerifiedEmail(StrEnum):
    """Actions that require a verified email address."""

    JOBS = "jobs"
    ALL = "all"
    NONE = "none"


class PasswordHashing(StrEnum):
    """Cost of a password hash."""

    OWASP = "owasp"
    RFC9106 = "rfc9106"
    STRONG = "strong"


class LogFormat(StrEnum):
    """Format of log lines."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """Minimum level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"
