"""Times of day that users can choose for daily emails."""

from datetime import time
from typing import Final

from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid

STEP_MINUTES: Final = 15
"""Times are quarter hours: all UTC offsets are multiples of them."""


def check_quarter_hour(name: str, at: time | None) -> None:
    """Raise Invalid, naming the field, if a time is not a quarter hour."""
    if at is not None and (at.minute % STEP_MINUTES or at.second or at.microsecond or at.tzinfo):
        raise Invalid.field(name, "must be a quarter hour, such as 07:30")


def daily_at(at: time, zone: str) -> CronRule:
    """Return the rule of every day at a local time."""
    return CronRule(f"{at.minute} {at.hour} * * *", zone)


def quarter_hours() -> CronRule:
    """Return the rule of all times that users can choose."""
    return CronRule(f"*/{STEP_MINUTES} * * * *", "UTC")
