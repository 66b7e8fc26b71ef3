"""Schedules of a list, read straight from their rows."""

from collections.abc import Callable, Sequence
from typing import Any

from workbell.adapters.sql.jobs.rows import STATES
from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.identity.user import full_name
from workbell.domain.jobs.job import status_of
from workbell.domain.jobs.task import TaskId
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy
from workbell.ports.schedules.views import ListedSchedule

LISTED = (
    *("id", "owner", "task", "name", "cron", "zone", "parameters", "misfire_policy"),
    *("overlap_policy", "dst_gap", "dst_overlap", "starts_at", "ends_at", "max_runs"),
    *("jitter_seconds", "queue", "priority", "max_attempts", "timeout_seconds"),
    *("alert_after_seconds", "overdue_since", "next_at", "paused_reason", "created_at"),
    *("updated_at", "version"),
)
"""The columns of a schedule that a list shows, in the order of `listed`."""

_MISFIRES = {str(policy): policy for policy in MisfirePolicy}
_OVERLAPS = {str(policy): policy for policy in OverlapPolicy}
_GAPS = {str(policy): policy for policy in DstGap}
_DST_OVERLAPS = {str(policy): policy for policy in DstOverlap}


def listed(
    row: Sequence[Any], moment: Callable[[Any], Any], json: Callable[[Any], Any]
) -> ListedSchedule:
    """
    Return a schedule as a list shows it.

    `moment` and `json` turn what the row holds into times and values.
    """
    # fmt: off
    (
        id_, owner, task, name, cron, zone, parameters, misfire, overlap, dst_gap, dst_overlap,
        starts_at, ends_at, max_runs, jitter, queue, priority, max_attempts, timeout,
        alert_after, overdue_since, next_at, paused_reason, created_at, updated_at, version,
        username, first, last, task_id, task_name, description, ran_at, state, attempt, _,
    ) = row
    return ListedSchedule(
        id_, owner, username or "", full_name(username or "", first or "", last or ""),
        TaskId(task_id or 0), task_name or "", description or "", name, cron, zone,
        json(parameters), next_at is not None, _MISFIRES[misfire], _OVERLAPS[overlap],
        _GAPS[dst_gap], _DST_OVERLAPS[dst_overlap], moment(starts_at), moment(ends_at), max_runs,
        jitter, queue, priority, max_attempts, timeout, alert_after, moment(overdue_since),
        moment(next_at), moment(ran_at), paused_reason, moment(created_at), moment(updated_at),
        version, None if state is None else status_of(STATES[state], attempt), task,
    )
    # fmt: on
