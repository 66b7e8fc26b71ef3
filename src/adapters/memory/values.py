"""Values as a database would give them back."""

import json
from datetime import UTC, datetime
from typing import Any, TypeVar

from attrs import asdict, evolve

from workbell.domain.goals.goal import Goal
from workbell.domain.goals.progress_entry import ProgressEntry, Timer
from workbell.domain.jobs.job import Job
from workbell.domain.schedules.schedule import Schedule

Row = TypeVar("Row", Job, Schedule, Goal, ProgressEntry, Timer)


def isolated_copy(value: Any) -> Any:
    """
    Return a copy of a JSON value, which nobody else can change.

    Raises:
        ValueError: It holds NaN, an infinity or half a surrogate pair.
        TypeError: It holds something else that JSON has no form for.
    """
    if value is None or isinstance(value, bool | int):
        return value
    return json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())


def in_utc(row: Row) -> Row:
    """
    Return a row with its moments in UTC.

    Raises:
        ValueError: A moment is naive: only aware ones are kept.
    """
    moments = {
        name: value
        for name, value in asdict(row, recurse=False).items()
        if isinstance(value, datetime) and value.tzinfo is not UTC
    }
    if any(moment.tzinfo is None for moment in moments.values()):
        raise ValueError("Only aware moments are kept.")
    changes: dict[str, Any] = {name: at.astimezone(UTC) for name, at in moments.items()}
    return evolve(row, **changes) if changes else row
