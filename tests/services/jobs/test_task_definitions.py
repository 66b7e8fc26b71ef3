"""Task definitions: kept in step with the code, switched, and asked about parameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from tests.services.desk import Desk, Email, a_desk
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Task, TaskId

pytestmark = pytest.mark.unit

ECHO, LETTER = TaskId(1), TaskId(2)


@frozen
class StricterLetter:
    """The letter's parameters after a change of the code."""

    to: str
    sender: str
    copies: int = 1


def declare(desk: Desk, task: Task) -> Sequence[Task]:
    """Start the service anew, with a task declared otherwise."""
    tasks = type(desk.tasks)()
    for known in desk.tasks.all():
        tasks.add(task if known.key == task.key else known)
    return evolve(desk.definitions, tasks=tasks).synchronise()


def message(parameters: type | None, **fields: Any) -> Task:
    return Task(key="letter", body=lambda *_: None, parameters=parameters, **fields)


def test_what_the_code_declares_is_listed(desk: Desk) -> None:
    assert [each.key for each in desk.definitions.all()] == ["echo", "letter"]
    assert desk.definitions.get(LETTER).flat_schema() == {"to": "string", "copies": "integer"}
    with pytest.raises(NotFound):
        desk.definitions.get(TaskId(9))


def test_a_body_names_a_task_by_id_or_key(desk: Desk) -> None:
    assert desk.definitions.by_name(2) == desk.definitions.by_name("letter")
    for unknown in (9, "fax"):
        with pytest.raises(Invalid) as refusal:
            desk.definitions.by_name(unknown)
        assert refusal.value.field_errors == {"task_definition": [f"There is no task {unknown!r}."]}


def test_a_task_is_remembered_for_a_few_seconds_unless_it_is_changed_here(
    desk: Desk, root: Actor
) -> None:
    def named_elsewhere(name: str) -> None:
        with desk.store.begin() as tx:
            tx.definitions.replace(evolve(tx.definitions.get(LETTER), name=name))

    desk.definitions.by_name("letter")
    named_elsewhere("Epistle")
    assert desk.definitions.by_name("letter").name == "letter"
    desk.wait(5)
    assert desk.definitions.by_name("letter").name == "Epistle"
    named_elsewhere("Missive")
    desk.definitions.set_active(root, LETTER, active=False)
    assert desk.definitions.by_name("letter").name == "Missive"
    assert not desk.definitions.by_name("letter").is_active


# synchronising


def test_declaring_the_same_again_changes_nothing(desk: Desk) -> None:
    before = desk.definitions.all()
    desk.wait(60)
    desk.definitions.synchronise()
    assert desk.definitions.all() == before


def test_a_new_name_keeps_id_switch_and_schema_version(desk: Desk, root: Actor) -> None:
    desk.definitions.set_active(root, LETTER, active=False)
    declare(desk, message(Email, name="Letter", description="By post."))
    kept = desk.definitions.get(LETTER)
    assert (kept.name, kept.description, kept.schema_version) == ("Letter", "By post.", 1)
    assert not kept.is_active


def test_a_changed_schema_raises_the_version(desk: Desk) -> None:
    stricter = message(StricterLetter)
    assert declare(desk, stricter) == [stricter]
    assert desk.definitions.get(LETTER).schema_version == 2
    assert declare(desk, stricter) == []


def test_a_schedule_knows_the_schema_it_was_made_for(desk: Desk, alice: Actor) -> None:
    declare(desk, message(None))
    schedule = desk.schedule(alice, task_definition="letter", parameters={"to": "bob"})
    assert schedule.schema_version == 2


# switching


def test_only_superusers_switch_tasks(desk: Desk, alice: Actor) -> None:
    with pytest.raises(NotAllowed):
        desk.definitions.set_active(alice, ECHO, active=False)
    assert desk.definitions.get(ECHO).is_active


def test_jobs_of_an_inactive_task_are_held_until_it_is_active(
    desk: Desk, alice: Actor, root: Actor
) -> None:
    ready = desk.enqueue(alice)
    desk.definitions.set_active(root, ECHO, active=False)
    later = desk.enqueue(alice)
    assert [desk.see(job).state for job in (ready, later)] == [JobState.HELD] * 2
    assert desk.claim() == []
    desk.definitions.set_active(root, ECHO, active=True)
    assert len(desk.claim()) == 2


def test_switching_is_remembered_and_not_switching_is_not(desk: Desk, root: Actor) -> None:
    desk.definitions.set_active(root, ECHO, active=True)
    assert desk.actions() == []
    assert not desk.definitions.set_active(root, ECHO, active=False).is_active
    assert desk.actions() == ["UPDATE task_definition"]
    with pytest.raises(NotFound):
        desk.definitions.set_active(root, TaskId(9), active=True)


# parameters


def test_parameters_come_back_as_they_were_given(desk: Desk, alice: Actor) -> None:
    task = desk.tasks.get("letter")
    assert desk.definitions.check(alice, task, {"to": "bob"}) == {"to": "bob"}
    assert desk.definitions.check(alice, desk.tasks.get("echo"), {"a": [1]}) == {"a": [1]}


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({}, "parameters.to"),
        ({"to": 5}, "parameters.to"),
        ({"to": "bob", "via": "air"}, "parameters.via"),
        ({"to": "b" * 70_000}, "parameters"),
        ({"to": object()}, "parameters"),
    ],
)
def test_wrong_parameters_are_refused_where_they_are_wrong(
    desk: Desk, alice: Actor, parameters: Mapping[str, Any], path: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        desk.definitions.check(alice, desk.tasks.get("letter"), parameters)
    assert list(refusal.value.field_errors) == [path]


@pytest.mark.parametrize("error", [Invalid("No."), NotFound("No."), Invalid.field("to", "No.")])
def test_a_task_may_refuse_what_fits_its_schema(tmp_path: Path, error: Invalid | NotFound) -> None:
    def refuse(actor: Actor, value: Any) -> None:
        raise error

    desk = a_desk(tmp_path, Task(key="picky", body=lambda *_: None, check=refuse))
    with pytest.raises(Invalid, match=r"parameters.*No"):
        desk.definitions.check(desk.person(), desk.tasks.get("picky"), {})


def test_a_task_may_refuse_an_actor(tmp_path: Path) -> None:
    def for_superusers(actor: Actor, value: Any) -> None:
        if not actor.is_super_user:
            raise NotAllowed("Superusers only.")

    desk = a_desk(tmp_path, Task(key="picky", body=lambda *_: None, check=for_superusers))
    picky = desk.tasks.get("picky")
    with pytest.raises(NotAllowed):
        desk.definitions.check(desk.person(), picky, {})
    assert desk.definitions.check(desk.person("root", is_super_user=True), picky, {}) == {}
