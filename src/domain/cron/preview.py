"""Previews of cron rules: description, upcoming runs and warnings."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from attrs import frozen

from workbell.domain.cron.description import describe
from workbell.domain.cron.rule import ClockChange, CronRule, min_interval
from workbell.domain.cron.time_zones import from_minutes, load_zone, to_minutes


@frozen
class UpcomingRun:
    """A future run in UTC and local time, and how a clock change affects it."""

    at: datetime
    local: datetime
    note: ClockChange = ClockChange.NONE


@frozen
class Preview:
    """The description and the upcoming runs of a rule."""

    words: str
    runs: tuple[UpcomingRun, ...]
    warnings: tuple[str, ...]
    smallest_gap: timedelta | None


def preview(rule: CronRule, now: datetime, n: int = 5) -> Preview:
    """Return the preview of a rule, with its next n runs."""
    runs = tuple(islice(_upcoming(rule, now), n))
    return Preview(
        words=describe(rule.fields),
        runs=runs,
        warnings=(*_day_warning(rule), *_clock_warnings(rule, now, runs)),
        smallest_gap=min_interval(rule, now),
    )


def _upcoming(rule: CronRule, now: datetime) -> Iterator[UpcomingRun]:
    zone = load_zone(rule.zone)
    for minute, note in rule.annotated_ticks(now):
        at = from_minutes(minute)
        yield UpcomingRun(at, at.astimezone(zone), note)


def _day_warning(rule: CronRule) -> Iterator[str]:
    fields = rule.fields
    if fields.day.is_any or fields.weekday.is_any:
        return
    if fields.matches_either_day:
        yield (
            "Day of month and weekday are both given: it runs on days that match either of them."
        )
    else:
        yield (
            "Day of month and weekday are both given and one begins with *: "
            "it runs only on days that match both."
        )


def _clock_warnings(rule: CronRule, now: datetime, runs: tuple[UpcomingRun, ...]) -> Iterator[str]:
    for run in runs:
        if run.note is ClockChange.SHIFTED:
            yield (
                f"On {run.local:%Y-%m-%d} the clock skips the time of a run; "
                f"it runs at {run.local:%H:%M} instead."
            )
    repeated = [run for run in runs if run.note is ClockChange.REPEATED]
    for day in dict.fromkeys(run.local.date() for run in repeated):
        count = sum(run.local.date() == day for run in repeated)
        yield f"On {day} the clock shows a time twice; runs in its second copy: {count}."
    if runs:
        for change in rule.calendar.skipped(to_minutes(now) + 1, to_minutes(runs[-1].at) + 1):
            local = from_minutes(change).astimezone(load_zone(rule.zone))
            yield f"On {local:%Y-%m-%d} the clock skips the time of a run; it does not run."
