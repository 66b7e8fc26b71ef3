"""Requests for jobs, before validation."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from attrs import Factory, frozen

from workbell.domain.constraints import Constraints, Instant
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, may
from workbell.domain.jobs.fields import Attempts, Name, Priority, QueueName, Seconds


@frozen(kw_only=True)
class NewJob:
    """Request for a one-off job; due at once if it has no time."""

    name: Name = ""
    description: Annotated[str, Constraints(max_length=10_000)] = ""
    task_definition: int | str = "echo"
    parameters: Mapping[str, Any] = Factory(dict[str, Any])
    scheduled_time: Instant | None = None
    queue: QueueName | None = None
    priority: Priority = 0
    max_attempts: Attempts | None = None
    timeout_seconds: Seconds | None = None


def check_priority(actor: Actor, priority: int) -> None:
    """Raise Invalid if an ordinary user asks for a priority above 0."""
    if priority > 0 and not may(actor, Action.RAISE_JOB_PRIORITY):
        raise Invalid.field("priority", "Only superusers may raise the priority above 0.")


def check_queue(queue: str | None, known: Sequence[str]) -> None:
    """Raise Invalid if a queue is not a known one."""
    if queue is not None and queue not in known:
        raise Invalid.field("queue", f"There is no queue {queue!r}; known: {', '.join(known)}.")


def check_idempotency_key(key: object) -> None:
    """Raise Invalid unless a key is 1 to 255 printable characters."""
    if not (isinstance(key, str) and 0 < len(key) <= 255 and key.isprintable()):
        raise Invalid.field("Idempotency-Key", "Must be 1 to 255 printable characters.")
