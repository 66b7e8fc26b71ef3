"""Descriptions and previews of cron rules."""

from datetime import UTC, datetime, timedelta

import pytest

from workbell.domain.cron.description import describe
from workbell.domain.cron.expression import parse
from workbell.domain.cron.preview import preview
from workbell.domain.cron.rule import ClockChange, CronRule, DstGap

pytestmark = pytest.mark.unit

WORDS = {
    "* * * * *": "Every minute",
    "*/5 * * * *": "Every 5 minutes",
    "*/7 * * * *": "Every 7 minutes, counted from each full hour",
    "10-50/5 * * * *": "Every 5 minutes from minute 10 to 50 of every hour",
    "0-29 * * * *": "Every minute from minute 0 to 29 of every hour",
    "0,30 * * * *": "At minutes 0 and 30 of every hour",
    "*,5 * * * *": "Every minute and at minute 5 of every hour",
    "@hourly": "Every hour",
    "15 * * * *": "Every hour, at minute 15",
    "0 */2 * * *": "Every 2 hours",
    "30 */6 * * *": "Every 6 hours, at minute 30",
    "0 */5 * * *": "Every 5 hours from 00:00 to 20:00",
    "0 9-17 * * *": "Every hour from 09:00 to 17:00",
    "30 9-17/2 * * *": "Every 2 hours from 09:30 to 17:30",
    "0 6,9-17 * * *": "At 06:00 and every hour from 09:00 to 17:00, every day",
    "@daily": "At 00:00, every day",
    "0 9 * * 1-5": "At 09:00, Monday to Friday",
    "0,30 9,17 * * *": "At 09:00, 09:30, 17:00 and 17:30, every day",
    "0 1,2,3,4,5,6,7 * * *": "At 01:00, 02:00, 03:00, 04:00, 05:00, 06:00 and 07:00, every day",
    "*/15 9-17 * * 1-5": "Every 15 minutes, between 09:00 and 17:59, Monday to Friday",
    "* 9 * * *": "Every minute, between 09:00 and 09:59",
    "*/15 1,13 * * *": "Every 15 minutes, in the hours 01 and 13",
    "0-30,45 8 * * *": (
        "Every minute from minute 0 to 30 and at minute 45, between 08:00 and 08:59"
    ),
    "0 0 1,15 * *": "At 00:00, on days 1 and 15 of the month",
    "0 0 1-7,15 * *": "At 00:00, on days 1 to 7 and day 15 of the month",
    "0 0 2-22/10 * *": "At 00:00, on every 10th day from day 2 to 22 of the month",
    "0 0 */11 * *": "At 00:00, on every 11th day from day 1 to 23 of the month",
    "0 0 */3 * *": "At 00:00, on every 3rd day from day 1 to 31 of the month",
    "0 0 L * *": "At 00:00, on the last day of the month",
    "0 0 1,L * *": "At 00:00, on day 1 and the last day of the month",
    "0 0 15W * *": ("At 00:00, on the weekday (Monday to Friday) nearest to day 15 of the month"),
    "0 0 * * FRI#2": "At 00:00, on the second Friday of the month",
    "0 0 * * 1#1,1#3": "At 00:00, on the first Monday and the third Monday of the month",
    "0 0 * * L0": "At 00:00, on the last Sunday of the month",
    "0 0 * * SAT-SUN": "At 00:00, Saturday and Sunday",
    "0 0 13 * FRI": "At 00:00, on day 13 of the month or Friday",
    "0 0 */2 * MON": (
        "At 00:00, on every 2nd day from day 1 to 31 of the month if it is also Monday"
    ),
    "0 8 * 6-8,12 *": "At 08:00, every day, in June to August and December",
    "@yearly": "At 00:00, on day 1 of the month, in January",
    "0 0 1 */6 *": "At 00:00, on day 1 of the month, in January and July",
}


@pytest.mark.parametrize(("line", "words"), WORDS.items())
def test_an_expression_is_described_in_english(line: str, words: str) -> None:
    assert describe(parse(line)) == words


def test_a_preview_shows_runs_in_utc_and_local_time() -> None:
    now = datetime(2026, 3, 28, 12, tzinfo=UTC)
    shown = preview(CronRule("30 2 * * *", "Europe/Berlin"), now, 2)
    assert shown.words == "At 02:30, every day"
    assert [(run.at.isoformat(), run.local.isoformat(), run.note) for run in shown.runs] == [
        ("2026-03-29T01:00:00+00:00", "2026-03-29T03:00:00+02:00", "shifted"),
        ("2026-03-30T00:30:00+00:00", "2026-03-30T02:30:00+02:00", ""),
    ]
    assert shown.warnings == (
        "On 2026-03-29 the clock skips the time of a run; it runs at 03:00 instead.",
    )
    assert shown.smallest_gap == timedelta(hours=23, minutes=30)


def test_a_preview_warns_of_a_skipped_run() -> None:
    now = datetime(2026, 3, 28, 12, tzinfo=UTC)
    shown = preview(CronRule("30 2 * * *", "Europe/Berlin", DstGap.SKIP), now, 2)
    assert [run.local.day for run in shown.runs] == [30, 31]
    assert shown.warnings == ("On 2026-03-29 the clock skips the time of a run; it does not run.",)


def test_a_preview_warns_of_repeated_runs() -> None:
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    shown = preview(CronRule("*/20 * * * *", "Europe/Berlin"), now, 5)
    assert [run.note for run in shown.runs] == [
        ClockChange.NONE,
        *[ClockChange.REPEATED] * 3,
        ClockChange.NONE,
    ]
    assert shown.warnings == (
        "On 2026-10-25 the clock shows a time twice; runs in its second copy: 3.",
    )


@pytest.mark.parametrize(
    ("line", "match"),
    [("0 0 13 * FRI", "either of"), ("0 0 */2 * FRI", "match both"), ("0 0 13 * *", "")],
)
def test_a_preview_warns_of_two_day_fields(line: str, match: str) -> None:
    warnings = preview(CronRule(line), datetime(2026, 1, 1, tzinfo=UTC), 1).warnings
    assert [match in warning for warning in warnings] == ([True] if match else [])


def test_a_preview_may_be_empty() -> None:
    shown = preview(CronRule("@daily"), datetime.max.replace(tzinfo=UTC), 3)
    assert (shown.runs, shown.smallest_gap) == ((), None)
    assert shown.warnings == ("It has 0 of 3 runs: there is none in 40 years after them.",)


def test_a_preview_of_a_rare_rule_is_complete() -> None:
    shown = preview(CronRule("0 0 29 2 *"), datetime(2026, 5, 4, tzinfo=UTC), 100)
    assert (len(shown.runs), shown.warnings) == (100, ())
    assert shown.runs[-1].at == datetime(2436, 2, 29, tzinfo=UTC)


def test_a_preview_warns_of_a_rule_that_never_runs() -> None:
    rule = CronRule("30 2 * 3 L7", "Europe/Berlin", DstGap.SKIP)
    shown = preview(rule, datetime(2026, 5, 4, tzinfo=UTC), 2)
    assert shown.runs == ()
    assert "none in 40 years" in shown.warnings[-1]


def test_a_preview_warns_of_a_jitter_larger_than_the_interval() -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    assert preview(CronRule("* * * * *"), now, jitter_seconds=60).warnings == ()
    (warning,) = preview(CronRule("0,1 * * * *"), now, jitter_seconds=61).warnings
    assert warning.startswith("jitter_seconds must be at most 60")
