"""Task definitions: synchronisation, activation and parameter validation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from tests.services.engine import Email, EngineFixture, make_engine
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Task, TaskId

pytestmark = pytest.mark.unit

ECHO, EMAIL_TASK = TaskId(1), TaskId(2)


@frozen
class StricterEmail:
    """Parameters of the task 'email' after a change of the code."""

    to: str
    sender: str
    copies: int = 1


def declare(engine: EngineFixture, task: Task) -> Sequence[Task]:
    """Restart the service with another declaration of the task."""
    tasks = type(engine.tasks)()
    for known in engine.tasks.all():
        tasks.add(task if known.key == task.key else known)
    return evolve(engine.definitions, tasks=tasks).synchronise()


def message(parameters: type | None, **fields: Any) -> Task:
    return Task(key="email", body=lambda *_: None, parameters=parameters, **fields)


def test_the_tasks_of_the_code_are_listed(engine: EngineFixture) -> None:
    assert [each.key for each in engine.definitions.all()] == ["echo", "email"]
    assert engine.definitions.get(EMAIL_TASK).flat_schema() == {"to": "string", "copies": "integer"}
    with pytest.raises(NotFound):
        engine.definitions.get(TaskId(9))


def test_a_task_is_named_by_id_or_key(engine: EngineFixture) -> None:
    assert engine.definitions.by_name(2) == engine.definitions.by_name("email")
    for unknown in (9, "fax"):
        with pytest.raises(Invalid) as refusal:
            engine.definitions.by_name(unknown)
        assert refusal.value.field_errors == {"task_definition": [f"There is no task {unknown!r}."]}


def test_a_task_is_cached_for_five_seconds_unless_it_is_changed(
    engine: EngineFixture, root: Actor
) -> None:
    def named_elsewhere(name: str) -> None:
        with engine.store.begin() as tx:
            tx.definitions.replace(evolve(tx.definitions.get(EMAIL_TASK), name=name))

    engine.definitions.by_name("email")
    named_elsewhere("Epistle")
    assert engine.definitions.by_name("email").name == "email"
    engine.advance(5)
    assert engine.definitions.by_name("email").name == "Epistle"
    named_elsewhere("Missive")
    engine.definitions.set_active(root, EMAIL_TASK, active=False)
    assert engine.definitions.by_name("email").name == "Missive"
    assert not engine.definitions.by_name("email").is_active


# synchronising


def test_declaring_the_same_again_changes_nothing(engine: EngineFixture) -> None:
    before = engine.definitions.all()
    engine.advance(60)
    engine.definitions.synchronise()
    assert engine.definitions.all() == before


def test_a_new_name_keeps_id_switch_and_schema_version(engine: EngineFixture, root: Actor) -> None:
    engine.definitions.set_active(root, EMAIL_TASK, active=False)
    declare(engine, message(Email, name="Letter", description="By post."))
    stored = engine.definitions.get(EMAIL_TASK)
    assert (stored.name, stored.description, stored.schema_version) == ("Letter", "By post.", 1)
    assert not stored.is_active


def test_a_changed_schema_raises_the_version(engine: EngineFixture) -> None:
    stricter = message(StricterEmail)
    assert declare(engine, stricter) == [stricter]
    assert engine.definitions.get(EMAIL_TASK).schema_version == 2
    assert declare(engine, stricter) == []


def test_a_schedule_has_the_schema_version_of_its_parameters(
    engine: EngineFixture, alice: Actor
) -> None:
    declare(engine, message(None))
    schedule = engine.schedule(alice, task_definition="email", parameters={"to": "bob"})
    assert schedule.schema_version == 2


# switching


def test_only_superusers_switch_tasks(engine: EngineFixture, alice: Actor) -> None:
    with pytest.raises(NotAllowed):
        engine.definitions.set_active(alice, ECHO, active=False)
    assert engine.definitions.get(ECHO).is_active


def test_jobs_of_an_inactive_task_are_held_until_it_is_active(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    ready = engine.enqueue(alice)
    engine.definitions.set_active(root, ECHO, active=False)
    later = engine.enqueue(alice)
    assert [engine.reload_job(job).state for job in (ready, later)] == [JobState.HELD] * 2
    assert engine.claim() == []
    engine.definitions.set_active(root, ECHO, active=True)
    assert len(engine.claim()) == 2


def test_a_switch_is_audited_and_a_repeated_one_is_not(engine: EngineFixture, root: Actor) -> None:
    engine.definitions.set_active(root, ECHO, active=True)
    assert engine.actions() == []
    assert not engine.definitions.set_active(root, ECHO, active=False).is_active
    assert engine.actions() == ["UPDATE task_definition"]
    with pytest.raises(NotFound):
        engine.definitions.set_active(root, TaskId(9), active=True)


# parameters


def test_parameters_are_returned_as_given(engine: EngineFixture, alice: Actor) -> None:
    task = engine.tasks.get("email")
    assert engine.definitions.check(alice, task, {"to": "bob"}) == {"to": "bob"}
    assert engine.definitions.check(alice, engine.tasks.get("echo"), {"a": [1]}) == {"a": [1]}


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({}, "parameters.to"),
        ({"to": 5}, "parameters.to"),
        ({"to": "bob", "via": "air"}, "parameters.via"),
        ({"to": "b" * 70_000}, "parameters"),
        ({"to": object()}, "parameters.to"),
    ],
)
def test_wrong_parameters_are_reported_by_field(
    engine: EngineFixture, alice: Actor, parameters: Mapping[str, Any], path: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        engine.definitions.check(alice, engine.tasks.get("email"), parameters)
    assert list(refusal.value.field_errors) == [path]


@pytest.mark.parametrize("error", [Invalid("No."), NotFound("No."), Invalid.field("to", "No.")])
def test_a_task_may_refuse_parameters_that_match_its_schema(
    tmp_path: Path, error: Invalid | NotFound
) -> None:
    def refuse(actor: Actor, value: Any) -> None:
        raise error

    engine = make_engine(tmp_path, Task(key="picky", body=lambda *_: None, check=refuse))
    with pytest.raises(Invalid, match=r"parameters.*No"):
        engine.definitions.check(engine.add_user(), engine.tasks.get("picky"), {})


def test_a_task_may_refuse_an_actor(tmp_path: Path) -> None:
    def for_superusers(actor: Actor, value: Any) -> None:
        if not actor.is_super_user:
            raise NotAllowed("Superusers only.")

    engine = make_engine(tmp_path, Task(key="picky", body=lambda *_: None, check=for_superusers))
    picky = engine.tasks.get("picky")
    with pytest.raises(NotAllowed):
        engine.definitions.check(engine.add_user(), picky, {})
    assert engine.definitions.check(engine.add_user("root", is_super_user=True), picky, {}) == {}
