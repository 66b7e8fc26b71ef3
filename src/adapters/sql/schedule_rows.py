"""Rows of schedules, and the entities that they are."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ...domain.cron import CronRule, DstGap, DstOverlap
from ...domain.identity import UserId
from ...domain.scheduling import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId

_NAMES_AS_THEY_ARE = [
    "task",
    "name",
    "parameters",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter_seconds",
    "queue",
    "priority",
    "weight",
    "max_attempts",
    "timeout_seconds",
    "schema_version",
    "next_at",
    "cursor",
    "runs",
    "version",
    "fail_streak",
    "alert_after_seconds",
    "alert_at",
    "overdue_since",
    "paused_reason",
    "created_at",
    "updated_at",
    "deleted_at",
]


@lru_cache(maxsize=8192)
def rule_of(line: str, zone: str, dst_gap: str, dst_overlap: str) -> CronRule:
    """Return the rule of a row's columns; many rows have the same."""
    return CronRule(line, zone, DstGap(dst_gap), DstOverlap(dst_overlap))


def schedule_of(values: Mapping[str, Any]) -> Schedule:
    """Return the schedule of a row's columns."""
    return Schedule(
        id=ScheduleId(values["id"]),
        owner=UserId(values["owner"]),
        cron=rule_of(values["cron"], values["zone"], values["dst_gap"], values["dst_overlap"]),
        misfire_policy=MisfirePolicy(values["misfire_policy"]),
        overlap_policy=OverlapPolicy(values["overlap_policy"]),
        **{name: values[name] for name in _NAMES_AS_THEY_ARE},
    )


def schedule_values(schedule: Schedule) -> dict[str, Any]:
    """Return the columns of a schedule, but its id."""
    return {
        "owner": schedule.owner,
        "cron": schedule.cron.line,
        "zone": schedule.cron.zone,
        "dst_gap": str(schedule.cron.dst_gap),
        "dst_overlap": str(schedule.cron.dst_overlap),
        "misfire_policy": str(schedule.misfire_policy),
        "overlap_policy": str(schedule.overlap_policy),
        **{name: getattr(schedule, name) for name in _NAMES_AS_THEY_ARE},
    }
