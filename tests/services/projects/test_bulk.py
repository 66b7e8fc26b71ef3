"""Bulk edits: atomic, each for itself, dry run."""

from typing import Any

import pytest

from tests.services.projects.environment import ProjectFixture
from workbell.domain.errors import Contended, Invalid
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project
from workbell.domain.projects.work_item import WorkItem, WorkItemPriority, WorkItemStatus
from workbell.services.projects.bulk import BulkRefused
from workbell.services.projects.requests import BulkEdit
from workbell.services.projects.work_items import edit_item


@pytest.fixture
def tasks(env: ProjectFixture, board: Board) -> list[WorkItem]:
    """Return three tasks with the label old."""
    return [env.task(board, title=title, labels=["old"]) for title in "abc"]


def edit(env: ProjectFixture, ids: list[int], name: str = "mia", **fields: Any) -> Any:
    request = {"set": {"priority": "HIGH"}, **fields}
    return env.bulk.edit(env.actor(name), BulkEdit(ids=ids, **request))


def outcomes(result: Any) -> list[str]:
    return [each.outcome for each in result.results]


def test_every_task_gets_its_own_entry(env: ProjectFixture, tasks: list[WorkItem]) -> None:
    result = edit(env, [task.id for task in tasks])
    assert (result.changed, result.refused) == (3, 0)
    updates = [entry for entry in env.audit("task") if entry.action == "UPDATE"]
    assert [entry.object_id for entry in updates] == [str(task.id) for task in tasks]
    assert updates[0].changes == {"priority": ["MEDIUM", "HIGH"], "version": [1, 2]}
    assert len({entry.request_id for entry in updates}) == 1


def test_all_fields_can_be_set(
    env: ProjectFixture, project: Project, tasks: list[WorkItem]
) -> None:
    other = env.board(project)
    fields = {
        "status": "DONE",
        "priority": "LOW",
        "assignee": env.actor("max").user_id,
        "due_date": "2030-05-01T00:00:00Z",
        "board": other.id,
        "estimated_hours": 2.5,
        "labels_add": ["new"],
        "labels_remove": ["old"],
    }
    edit(env, [tasks[0].id], set=fields)
    task = env.stored(tasks[0].id)
    assert (task.status, task.priority) == (WorkItemStatus.DONE, WorkItemPriority.LOW)
    assert (task.board_id, task.labels) == (other.id, ("new",))
    assert (task.assignee_id, task.version) == (env.actor("max").user_id, 2)


def test_an_unchanged_task_is_left_alone(env: ProjectFixture, tasks: list[WorkItem]) -> None:
    result = edit(env, [tasks[0].id], set={"labels_add": ["old"]})
    assert outcomes(result) == ["unchanged"]
    assert env.stored(tasks[0].id).version == 1


def test_an_atomic_edit_changes_nothing_if_one_task_is_refused(
    env: ProjectFixture, tasks: list[WorkItem]
) -> None:
    with pytest.raises(BulkRefused) as caught:
        edit(env, [tasks[0].id, 999, tasks[1].id])
    assert outcomes(caught.value.result) == ["changed", "refused", "changed"]
    assert caught.value.result.results[1].code == "not_found"
    assert {env.stored(task.id).priority for task in tasks} == {WorkItemPriority.MEDIUM}
    assert all(entry.action == "CREATE" for entry in env.audit("task"))


def test_each_changes_what_it_can_and_names_the_others(
    env: ProjectFixture, tasks: list[WorkItem]
) -> None:
    elsewhere = env.task(env.board(env.project()))
    result = edit(env, [elsewhere.id, tasks[0].id], mode="each")
    assert outcomes(result) == ["refused", "changed"]
    assert (result.changed, result.refused) == (1, 1)
    assert result.results[0].detail == "There is no such task."
    assert env.stored(elsewhere.id).priority is WorkItemPriority.MEDIUM


def test_a_refused_transition_is_named(
    env: ProjectFixture, board: Board, tasks: list[WorkItem]
) -> None:
    env.boards.change(env.actor("ann"), board.id, {"transitions": {}})
    result = edit(env, [tasks[0].id], mode="each", set={"status": "DONE"})
    assert result.results[0].code == "transition_refused"


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_a_dry_run_changes_neither_rows_nor_history(
    env: ProjectFixture, tasks: list[WorkItem], mode: str
) -> None:
    entries = len(env.audit("task"))
    result = edit(env, [tasks[0].id], mode=mode, dry_run=True)
    assert outcomes(result) == ["changed"]
    assert env.stored(tasks[0].id) == tasks[0]
    assert len(env.audit("task")) == entries


def test_a_repeated_id_counts_once(env: ProjectFixture, tasks: list[WorkItem]) -> None:
    assert outcomes(edit(env, [tasks[0].id, tasks[0].id])) == ["changed"]


def test_platform_managers_are_refused_task_by_task(
    env: ProjectFixture, tasks: list[WorkItem]
) -> None:
    from workbell.domain.identity.user import Role

    env.actor("aud", role=Role.MANAGER)
    result = edit(env, [tasks[0].id], "aud", mode="each")
    assert result.results[0].code == "not_allowed"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"title": "x"}, "set.title"),
        ({"priority": "HUGE"}, "set.priority"),
        ({"labels_add": [""]}, "set.labels_add.0"),
        ({"due_date": "tomorrow"}, "set.due_date"),
        ({"estimated_hours": -1}, "set.estimated_hours"),
        ({"status": None}, "set.status"),
    ],
)
def test_a_wrong_field_is_named_before_any_task_is_read(
    env: ProjectFixture, tasks: list[WorkItem], fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(Invalid) as caught:
        edit(env, [tasks[0].id], mode="each", set=fields)
    assert list(caught.value.field_errors) == [path]


def test_too_many_labels_are_refused_for_that_task(
    env: ProjectFixture, board: Board, tasks: list[WorkItem]
) -> None:
    full = env.task(board, labels=[f"l{number}" for number in range(20)])
    result = edit(env, [full.id, tasks[0].id], mode="each", set={"labels_add": ["new"]})
    assert outcomes(result) == ["refused", "changed"]


def test_a_lock_conflict_is_no_refusal(
    env: ProjectFixture, tasks: list[WorkItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the transaction, which runs again."""
    tries: list[int] = []

    def contend(*arguments: Any) -> WorkItem:
        tries.append(len(arguments))
        if len(tries) == 1:
            raise Contended("Deadlock.")
        return edit_item(*arguments)

    monkeypatch.setattr("workbell.services.projects.bulk.edit_item", contend)
    assert outcomes(edit(env, [tasks[0].id], mode="each")) == ["changed"]
    assert len(tries) == 2
