"""Conversion of values as a database round trip would do it."""

import json
from datetime import UTC, datetime
from typing import Any, TypeVar

from attrs import asdict, evolve

from workbell.domain.delivery.account import Account, Membership
from workbell.domain.delivery.circuit_breaker import CircuitBreaker
from workbell.domain.delivery.delivery import Delivery, DeliveryAttempt
from workbell.domain.delivery.destination import Destination
from workbell.domain.delivery.event import Event
from workbell.domain.goals.goal import Goal
from workbell.domain.goals.progress_entry import ProgressEntry, Timer
from workbell.domain.jobs.job import Job
from workbell.domain.notifications.notice import Notification
from workbell.domain.projects.board import Board
from workbell.domain.projects.comment import Comment
from workbell.domain.projects.project import Project, ProjectMember
from workbell.domain.projects.work_item import WorkItem
from workbell.domain.schedules.schedule import Schedule

Row = TypeVar(
    "Row", Job, Schedule, Goal, ProgressEntry, Timer, Account, Membership, Destination,
    CircuitBreaker, Event, Delivery, DeliveryAttempt, Notification, Project, ProjectMember, Board,
    WorkItem, Comment,
)  # fmt: skip


def isolated_copy(value: Any) -> Any:
    """Copy a JSON value deeply; raise ValueError or TypeError for what JSON cannot hold."""
    if value is None or isinstance(value, bool | int):
        return value
    return json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())


def in_utc(row: Row) -> Row:
    """Return a row with its datetimes in UTC; raise ValueError for a naive one."""
    times = {
        name: value
        for name, value in asdict(row, recurse=False).items()
        if isinstance(value, datetime) and value.tzinfo is not UTC
    }
    if any(time.tzinfo is None for time in times.values()):
        raise ValueError("A datetime has no time zone: only aware ones are stored.")
    changes: dict[str, Any] = {name: at.astimezone(UTC) for name, at in times.items()}
    return evolve(row, **changes) if changes else row
