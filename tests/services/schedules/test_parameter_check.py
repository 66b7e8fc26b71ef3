"""Schedules are paused if their task no longer accepts their parameters."""

from typing import Any

import pytest
from attrs import evolve, frozen

from tests.services.engine import EngineFixture
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Task, TaskId
from workbell.domain.schedules.schedule import ScheduleId

pytestmark = pytest.mark.unit

ECHO, LETTER = TaskId(1), TaskId(2)


@frozen
class StricterEmail:
    """Parameters of the task 'email' after a change of the code."""

    to: str
    sender: str
    copies: int = 1


def declare(engine: EngineFixture, task: Task) -> None:
    """Restart the service with another declaration of the task."""
    tasks = type(engine.tasks)()
    for known in engine.tasks.all():
        tasks.add(task if known.key == task.key else known)
    changed = evolve(engine.definitions, tasks=tasks).synchronise()
    engine.parameter_check.pause_incompatible(changed)


def message(parameters: type | None, **fields: Any) -> Task:
    return Task(key="email", body=lambda *_: None, parameters=parameters, **fields)


def test_a_changed_schema_pauses_schedules_with_invalid_parameters(
    engine: EngineFixture, alice: Actor
) -> None:
    """With the exact error, before a run fails; other schedules continue."""
    unfit = engine.schedule(alice, task_definition="email", parameters={"to": "bob"})
    other = engine.schedule(alice, parameters={"to": "bob"})
    waiting = engine.schedules.run_now(alice, unfit.id)
    declare(engine, message(StricterEmail))

    assert engine.definitions.get(LETTER).schema_version == 2
    paused = engine.reload(unfit)
    assert (paused.is_active, paused.version) == (False, unfit.version + 1)
    assert paused.paused_reason is not None
    assert paused.paused_reason.startswith("its parameters no longer fit: sender")
    assert engine.reload_job(waiting).state is JobState.CANCELLED
    assert engine.reload(other).is_active


def test_schedules_with_valid_parameters_continue(engine: EngineFixture, alice: Actor) -> None:
    fit = engine.schedule(alice, task_definition="email", parameters={"to": "bob"})
    declare(engine, message(None))
    assert engine.definitions.get(LETTER).schema_version == 2
    assert engine.reload(fit) == fit


def test_a_schedule_deleted_or_paused_since_is_left_unchanged(
    engine: EngineFixture, alice: Actor
) -> None:
    """Another transaction may commit between the read and the lock."""
    schedule = engine.schedule(alice, task_definition="email", parameters={"to": "bob"})
    stricter = message(StricterEmail)
    engine.schedules.toggle(alice, schedule.id)
    before = engine.reload(schedule)
    engine.parameter_check._pause(stricter, schedule.id)
    assert engine.reload(schedule) == before
    engine.parameter_check._pause(stricter, ScheduleId(99))
