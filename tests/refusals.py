"""Values that every interface refuses, with the same words: HTTP, library and services."""

from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import frozen

NAIVE = "must be a date-time with its offset from UTC, such as 2026-01-31T09:30:00Z"
NAIVE_INSTANT = datetime(2027, 1, 1)  # noqa: DTZ001 - what is refused
QUEUE = "must match [a-z0-9][a-z0-9_.-]*"


@frozen
class Refusal:
    """A field, a value that is refused, and why; `text` is the value in JSON."""

    field: str
    value: Any
    message: str
    text: Any = None

    @property
    def json(self) -> Any:
        """The value in a JSON body."""
        return self.value if self.text is None else self.text

    @property
    def messages(self) -> dict[str, list[str]]:
        """The field errors that each interface answers."""
        return {self.field: [f"{self.field} {self.message}"]}

    def __str__(self) -> str:
        return f"{self.field}={self.value!r:.30}"


SHARED = (
    Refusal("name", 5, "must be a string"),
    Refusal("name", "x" * 256, "must have at most 255 characters"),
    Refusal("queue", "-mail", QUEUE),
    Refusal("queue", "Mail", QUEUE),
    Refusal("queue", "mail queue", QUEUE),
    Refusal("queue", "q" * 65, "must have at most 64 characters"),
    Refusal("queue", 7, "must be a string"),
    Refusal("priority", 101, "must be at most 100"),
    Refusal("priority", -101, "must be at least -100"),
    Refusal("priority", 1.5, "must be an integer"),
    Refusal("priority", True, "must be an integer"),
    Refusal("priority", "5", "must be an integer"),
    Refusal("priority", None, "must be an integer"),
    Refusal("max_attempts", 0, "must be at least 1"),
    Refusal("max_attempts", -1, "must be at least 1"),
    Refusal("max_attempts", 101, "must be at most 100"),
    Refusal("max_attempts", 2**40, "must be at most 100"),
    Refusal("max_attempts", True, "must be an integer"),
    Refusal("timeout_seconds", 0, "must be at least 1"),
    Refusal("timeout_seconds", -5, "must be at least 1"),
    Refusal("timeout_seconds", 86_401, "must be at most 86,400"),
    Refusal("timeout_seconds", 2**31, "must be at most 86,400"),
    Refusal("timeout_seconds", 10**12, "must be at most 86,400"),
    Refusal("timeout_seconds", 1.5, "must be an integer"),
    Refusal("timeout_seconds", True, "must be an integer"),
)
JOB_REFUSALS = (
    *SHARED,
    Refusal("scheduled_time", NAIVE_INSTANT, NAIVE, "2027-01-01T00:00:00"),
    Refusal("scheduled_time", 1_800_000_000, "must be a date-time"),
    Refusal(
        "scheduled_time",
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
        "must be a date-time such as 2026-01-31T09:30:00Z",
        "9999-12-31T23:00:00-12:00",
    ),
    Refusal("task_definition", None, "must be an integer or a string"),
    Refusal("task_definition", True, "must be an integer or a string"),
    Refusal("parameters", 5, "must be an object"),
    Refusal("parameters", [1], "must be an object"),
)
SCHEDULE_REFUSALS = (
    *SHARED,
    Refusal("cron_expression", "", "must not be empty"),
    Refusal("cron_expression", "* " * 129, "must have at most 256 characters"),
    Refusal("cron_expression", 5, "must be a string"),
    Refusal("time_zone", "", "must not be empty"),
    Refusal("is_active", 1, "must be a boolean"),
    Refusal("misfire_policy", "lattest", "must be one of: latest, all, skip"),
    Refusal("misfire_policy", 5, "must be one of: latest, all, skip"),
    Refusal("overlap_policy", "sikp", "must be one of: skip, buffer_one, cancel_other, allow_all"),
    Refusal("dst_gap", "", "must be one of: run_after, skip"),
    Refusal("dst_overlap", None, "must be one of: first, both"),
    Refusal("starts_at", NAIVE_INSTANT, NAIVE, "2027-01-01T00:00:00"),
    Refusal("ends_at", 5, "must be a date-time"),
    Refusal("max_runs", 0, "must be at least 1"),
    Refusal("max_runs", 1.5, "must be an integer"),
    Refusal("jitter_seconds", -1, "must be at least 0"),
    Refusal("jitter_seconds", 3601, "must be at most 3,600"),
    Refusal("jitter_seconds", False, "must be an integer"),
    Refusal("alert_after_seconds", 59, "must be at least 60"),
)
