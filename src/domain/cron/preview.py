"""Previews of cron rules: description, upcoming runs and warnings."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from attrs import frozen

from workbell.domain.cron.description import describe
from workbell.domain.cron.rule import HORIZON_YEARS, ClockChange, CronRule, min_interval
from workbell.domain.cron.time_zones import from_minutes, load_zone, to_minutes

_SECOND = timedelta(seconds=1)


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


def preview(rule: CronRule, now: datetime, n: int = 5, *, jitter_seconds: int = 0) -> Preview:
    """Return the preview of a rule, with its next n runs."""
    runs = tuple(islice(_upcoming(rule, now), n))
    smallest_gap = min_interval(rule, now)
    return Preview(
        words=describe(rule.fields),
        runs=runs,
        warnings=(
            *_day_warning(rule),
            *_clock_warnings(rule, now, runs),
            *_end_warning(runs, n),
            *_jitter_warning(jitter_seconds, smallest_gap),
        ),
        smallest_gap=smallest_gap,
    )


def jitter_problem(jitter_seconds: int, smallest_gap: timedelta | None) -> str | None:
    """Return why a jitter is too large for the shortest time between runs, or None."""
    if smallest_gap is None or timedelta(seconds=jitter_seconds) <= smallest_gap:
        return None
    return (
        f"must be at most {smallest_gap // _SECOND}, the shortest time between two runs "
        "in seconds: with a larger jitter runs would start out of order"
    )


def _upcoming(rule: CronRule, now: datetime) -> Iterator[UpcomingRun]:
    zone = load_zone(rule.zone)
    for minute, note in rule.annotated_ticks(now):
        at = from_minutes(minute)
        yield UpcomingRun(at, at.astimezone(zone), note)


def _end_warning(runs: tuple[UpcomingRun, ...], n: int) -> Iterator[str]:
    if len(runs) < n:
        yield f"It has {len(runs)} of {n} runs: there is none in {HORIZON_YEARS} years after them."


def _jitter_warning(jitter_seconds: int, smallest_gap: timedelta | None) -> Iterator[str]:
    if (problem := jitter_problem(jitter_seconds, smallest_gap)) is not None:
        yield f"jitter_seconds {problem}."


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
