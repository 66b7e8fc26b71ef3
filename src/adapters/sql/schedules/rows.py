"""Conversion between rows and schedules."""

from functools import lru_cache
from typing import Any

from attrs import fields

from workbell.domain.cron.rule import CronRule, DstGap, DstOverlap
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule

_CONVERTED = ("owner", "cron", "zone", "dst_gap", "dst_overlap", "misfire_policy", "overlap_policy")
_COPIED = [each.name for each in fields(Schedule) if each.name not in {"id", *_CONVERTED}]
_MISFIRES = {str(policy): policy for policy in MisfirePolicy}
_OVERLAPS = {str(policy): policy for policy in OverlapPolicy}


@lru_cache(maxsize=8192)
def rule_from_row(line: str, zone: str, dst_gap: str, dst_overlap: str) -> CronRule:
    """Return the cron rule of a row's columns, cached because many rows share one."""
    return CronRule(line, zone, DstGap(dst_gap), DstOverlap(dst_overlap))


def schedule_from_row(values: dict[str, Any]) -> Schedule:
    """Convert a row's columns to a schedule; the dictionary is modified."""
    line, zone = values["cron"], values.pop("zone")
    values["cron"] = rule_from_row(line, zone, values.pop("dst_gap"), values.pop("dst_overlap"))
    values["misfire_policy"] = _MISFIRES[values["misfire_policy"]]
    values["overlap_policy"] = _OVERLAPS[values["overlap_policy"]]
    return Schedule(**values)


def schedule_values(schedule: Schedule) -> dict[str, Any]:
    """Return the columns of a schedule, except its id."""
    return {
        "owner": schedule.owner,
        "cron": schedule.cron.line,
        "zone": schedule.cron.zone,
        "dst_gap": str(schedule.cron.dst_gap),
        "dst_overlap": str(schedule.cron.dst_overlap),
        "misfire_policy": str(schedule.misfire_policy),
        "overlap_policy": str(schedule.overlap_policy),
        **{name: getattr(schedule, name) for name in _COPIED},
    }


INSERTED_COLUMNS = (*_CONVERTED, *_COPIED)
"""The names of `schedule_values`, in their order."""
