"""Schedules are paused where their task no longer accepts their parameters."""

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
class StricterLetter:
    """The letter's parameters after a change of the code."""

    to: str
    sender: str
    copies: int = 1


def declare(engine: EngineFixture, task: Task) -> None:
    """Start the service anew, with a task declared otherwise."""
    tasks = type(engine.tasks)()
    for known in engine.tasks.all():
        tasks.add(task if known.key == task.key else known)
    changed = evolve(engine.definitions, tasks=tasks).synchronise()
    engine.parameter_check.pause_incompatible(changed)


def message(parameters: type | None, **fields: Any) -> Task:
    return Task(key="email", body=lambda *_: None, parameters=parameters, **fields)


def test_a_changed_schema_pauses_schedules_that_no_longer_fit(
    engine: EngineFixture, alice: Actor
) -> None:
    """With the exact error, before a run fails of it; everything else goes on."""
    unfit = engine.schedule(alice, task_definition="email", parameters={"to": "bob"})
    other = engine.schedule(alice, parameters={"to": "bob"})
    waiting = engine.schedules.run_now(alice, unfit.id)
    declare(engine, message(StricterLetter))

    assert engine.definitions.get(LETTER).schema_version == 2
    paused = engine.reload(unfit)
    assert (paused.is_active, paused.version) == (False, unfit.version + 1)
    assert paused.paused_reason is not None
    assert paused.paused_reason.startswith("its parameters no longer fit: sender")
    assert engine.reload_job(waiting).state is JobState.CANCELLED
    assert engine.reload(other).is_active


def test_what_still_fits_goes_on(engine: EngineFixture, alice: Actor) -> None:
    fit = engine.schedule(alice, task_definition="email", parameters={"to": "bob"})
    declare(engine, message(None))
    assert engine.definitions.get(LETTER).schema_version == 2
    assert engine.reload(fit) == fit


def test_what_was_deleted_or_paused_meanwhile_is_left_alone(
    engine: EngineFixture, alice: Actor
) -> None:
    """Between looking and locking, others work on."""
    schedule = engine.schedule(alice, task_definition="email", parameters={"to": "bob"})
    stricter = message(StricterLetter)
    engine.schedules.toggle(alice, schedule.id)
    before = engine.reload(schedule)
    engine.parameter_check._pause(stricter, schedule.id)
    assert engine.reload(schedule) == before
    engine.parameter_check._pause(stricter, ScheduleId(99))
