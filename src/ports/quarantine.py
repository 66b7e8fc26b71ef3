"""Rows that cannot be processed, and reports of them."""

from typing import Protocol


class QuarantineReporter(Protocol):
    """
    Receives each row that was set aside so that the others continue.

    `kind` names what the row is: "job", "schedule", "alert", "sla_clock",
    "audit_entry", or "hook" for a reaction to a job's outcome.
    """

    def report(self, kind: str, row_id: int, reason: str) -> None:
        """Record one row; never raises."""


class NoReporter:
    """A reporter that ignores its calls."""

    def report(self, kind: str, row_id: int, reason: str) -> None:
        """Do nothing."""
