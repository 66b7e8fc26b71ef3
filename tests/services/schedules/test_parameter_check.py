"""Schedules are paused where their task no longer accepts their parameters."""

from typing import Any

import pytest
from attrs import evolve, frozen

from tests.services.desk import Desk
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


def declare(desk: Desk, task: Task) -> None:
    """Start the service anew, with a task declared otherwise."""
    tasks = type(desk.tasks)()
    for known in desk.tasks.all():
        tasks.add(task if known.key == task.key else known)
    changed = evolve(desk.definitions, tasks=tasks).synchronise()
    desk.parameter_check.pause_incompatible(changed)


def message(parameters: type | None, **fields: Any) -> Task:
    return Task(key="letter", body=lambda *_: None, parameters=parameters, **fields)


def test_a_changed_schema_pauses_schedules_that_no_longer_fit(desk: Desk, alice: Actor) -> None:
    """With the exact error, before a run fails of it; everything else goes on."""
    unfit = desk.schedule(alice, task_definition="letter", parameters={"to": "bob"})
    other = desk.schedule(alice, parameters={"to": "bob"})
    waiting = desk.scheduling.run_now(alice, unfit.id)
    declare(desk, message(StricterLetter))

    assert desk.definitions.get(LETTER).schema_version == 2
    paused = desk.now_stands(unfit)
    assert (paused.is_active, paused.version) == (False, unfit.version + 1)
    assert paused.paused_reason is not None
    assert paused.paused_reason.startswith("its parameters no longer fit: sender")
    assert desk.see(waiting).state is JobState.CANCELLED
    assert desk.now_stands(other).is_active


def test_what_still_fits_goes_on(desk: Desk, alice: Actor) -> None:
    fit = desk.schedule(alice, task_definition="letter", parameters={"to": "bob"})
    declare(desk, message(None))
    assert desk.definitions.get(LETTER).schema_version == 2
    assert desk.now_stands(fit) == fit


def test_what_was_deleted_or_paused_meanwhile_is_left_alone(desk: Desk, alice: Actor) -> None:
    """Between looking and locking, others work on."""
    schedule = desk.schedule(alice, task_definition="letter", parameters={"to": "bob"})
    stricter = message(StricterLetter)
    desk.scheduling.toggle(alice, schedule.id)
    before = desk.now_stands(schedule)
    desk.parameter_check._pause(stricter, schedule.id)
    assert desk.now_stands(schedule) == before
    desk.parameter_check._pause(stricter, ScheduleId(99))
