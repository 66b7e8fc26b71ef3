"""Times of day for daily emails."""

from datetime import UTC, time

import pytest

from workbell.domain.errors import Invalid
from workbell.domain.notifications.daily_time import check_quarter_hour, daily_at, quarter_hours

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "at", [time(7, 10), time(7, 15, 1), time(7, 15, 0, 1), time(7, 0, tzinfo=UTC)]
)
def test_other_times_than_quarter_hours_are_rejected(at: time) -> None:
    with pytest.raises(Invalid) as caught:
        check_quarter_hour("reminder_time", at)
    assert list(caught.value.field_errors) == ["reminder_time"]


def test_quarter_hours_and_no_time_are_accepted() -> None:
    check_quarter_hour("reminder_time", time(23, 45))
    check_quarter_hour("reminder_time", None)


def test_the_rules_fire_at_local_times_and_at_every_quarter_hour() -> None:
    daily = daily_at(time(0, 0), "Asia/Kolkata")
    assert (daily.line, daily.zone) == ("0 0 * * *", "Asia/Kolkata")
    assert (quarter_hours().line, quarter_hours().zone) == ("*/15 * * * *", "UTC")
