"""Rows of schedules, and the entities that they are."""

from functools import lru_cache
from typing import Any

from workbell.domain.cron.rule import CronRule, DstGap, DstOverlap
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule

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
_MISFIRES = {str(policy): policy for policy in MisfirePolicy}
_OVERLAPS = {str(policy): policy for policy in OverlapPolicy}


@lru_cache(maxsize=8192)
def rule_from_row(line: str, zone: str, dst_gap: str, dst_overlap: str) -> CronRule:
    """Return the rule of a row's columns; many rows have the same."""
    return CronRule(line, zone, DstGap(dst_gap), DstOverlap(dst_overlap))


def schedule_from_row(values: dict[str, Any]) -> Schedule:
    """Return the schedule of a row's columns, which are used up."""
    line, zone = values["cron"], values.pop("zone")
    values["cron"] = rule_from_row(line, zone, values.pop("dst_gap"), values.pop("dst_overlap"))
    values["misfire_policy"] = _MISFIRES[values["misfire_policy"]]
    values["overlap_policy"] = _OVERLAPS[values["overlap_policy"]]
    return Schedule(**values)


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


WRITTEN = (
    *("owner", "cron", "zone", "dst_gap", "dst_overlap", "misfire_policy", "overlap_policy"),
    *_NAMES_AS_THEY_ARE,
)
"""The names of `schedule_values`, in their order."""
