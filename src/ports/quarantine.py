"""Rows that cannot be processed, and reports of them."""

from typing import Final, Protocol


class QuarantineReporter(Protocol):
    """
    Receives each row that was set aside so that the others continue.

    `kind` names what the row is: "job", "schedule", "alert", "sla_clock",
    "audit_entry", "hook" for a reaction to the outcome of a job, or "retention" (then
    without an id).
    """

    def report(self, kind: str, row_id: int, reason: str) -> None:
        """Record one row; never raises."""


class NoReporter:
    """A reporter that ignores its calls."""

    def report(self, kind: str, row_id: int, reason: str) -> None:
        """Do nothing."""


NO_REPORTER: Final = NoReporter()
"""For callers without a log and metrics."""
