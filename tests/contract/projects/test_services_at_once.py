"""
Services of projects under concurrent requests: nothing is lost.

The usual form is short. With WORKBELL_TEST_FULL=1 there are 1,600 moves and 1,000
changes, as the specification has it.
"""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import pytest
from attrs import frozen

from tests.contract.factories import AnyStore, ManualClock, a_user
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.audit.query import AuditFilter
from workbell.domain.errors import Conflict, Invalid, NotFound, StaleVersion
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.project import ProjectArchived, ProjectId
from workbell.domain.projects.work_item import WorkItemId, WorkItemStatus
from workbell.entrypoints.bootstrap.projects import ProjectServices, make_projects
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.requests import (
    BulkEdit,
    FormerProjectMember,
    Move,
    NewBoard,
    NewComment,
    NewProject,
    NewProjectMember,
    NewWorkItem,
)

FULL = os.environ.get("WORKBELL_TEST_FULL") == "1"
WRITERS = 8
MOVES = 1_600 if FULL else 160
CHANGES = 1_000 if FULL else 100
MAX_RANK = 80
MANY = 1_000
"""More writes than happen until a waiting lock is granted."""


@frozen
class Shop:
    """A project of ann with one board, and the services over a store of each kind."""

    store: AnyStore
    services: ProjectServices
    ann: Actor
    project_id: ProjectId
    board_id: BoardId

    def task(self, title: str = "Task") -> WorkItemId:
        """Create a task."""
        new = NewWorkItem(title=title, board=self.board_id)
        return self.services.work_items.create(self.ann, new).item.id

    def user(self, name: str) -> Actor:
        """Insert a user."""
        with self.store.begin() as tx:
            return Actor.of(tx.users.add(a_user(name)))

    def rows(self) -> dict[WorkItemId, str]:
        """Return the ranks of the tasks of the board, in order."""
        with self.store.view() as tx:
            ids = tx.work_items.ids_by_rank(self.board_id)
            return {item_id: tx.work_items.get(ALL_OWNERS, item_id).rank for item_id in ids}


@pytest.fixture
def shop(store: AnyStore, clock: ManualClock) -> Shop:
    """Return the project."""
    services = make_projects(store, clock, Notifier(clock=clock), JsonSerializer("is unknown"))
    with store.begin() as tx:
        ann = Actor.of(tx.users.add(a_user("ann")))
    project = services.projects.create(ann, NewProject(name="Shop")).view.project
    board = services.boards.create(ann, NewBoard(name="Board", project=project.id)).board
    return Shop(store, services, ann, project.id, board.id)


def at_once(work: Callable[[int], Any], writers: int = WRITERS) -> list[Any]:
    """Return what threads that begin together get; an error is raised."""
    barrier = Barrier(writers)

    def one(number: int) -> Any:
        barrier.wait(30)
        return work(number)

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(one, range(writers)))


def test_moves_into_one_gap_lose_no_task_and_give_no_equal_ranks(shop: Shop) -> None:
    left, right = shop.task("left"), shop.task("right")
    moved = [[shop.task() for _ in range(5)] for _ in range(WRITERS)]

    def move(writer: int) -> int:
        for turn in range(MOVES // WRITERS):
            task = moved[writer][turn % 5]
            beside = Move(after=left) if turn % 2 else Move(before=right)
            answer = shop.services.work_items.move(shop.ann, task, beside).item
            assert len(answer.rank) <= MAX_RANK
        return MOVES // WRITERS

    assert sum(at_once(move)) == MOVES
    rows = shop.rows()
    order = list(rows)
    assert set(order) == {left, right, *(task for tasks in moved for task in tasks)}
    assert (order[0], order[-1]) == (left, right)
    assert max(Counter(rows.values()).values()) == 1
    assert list(rows.values()) == sorted(rows.values())
    assert max(map(len, rows.values())) <= MAX_RANK


def test_the_last_answer_to_a_move_is_what_is_stored(shop: Shop) -> None:
    first = shop.task()
    tasks = [shop.task() for _ in range(WRITERS)]

    def move(writer: int) -> tuple[str, WorkItemStatus]:
        answer = None
        for status in (WorkItemStatus.TODO, WorkItemStatus.REVIEW, WorkItemStatus.DONE):
            wanted = Move(status=status, after=first)
            answer = shop.services.work_items.move(shop.ann, tasks[writer], wanted).item
        assert answer is not None
        return answer.rank, answer.status

    answers = at_once(move)
    rows = shop.rows()
    assert [rows[task] for task in tasks] == [rank for rank, _ in answers]
    with shop.store.view() as tx:
        stored = [tx.work_items.get(ALL_OWNERS, task) for task in tasks]
    assert {item.status for item in stored} == {WorkItemStatus.DONE}
    assert {item.version for item in stored} == {4}


def test_two_editors_with_versions_lose_no_update(shop: Shop) -> None:
    task = shop.task("0")
    services = shop.services.work_items

    def edit(_: int) -> int:
        refused = 0
        for _ in range(CHANGES // 2):
            while True:
                item = services.get(shop.ann, task).view.item
                change = {"title": str(int(item.title) + 1)}
                try:
                    services.change(shop.ann, task, change, version=item.version)
                    break
                except StaleVersion:
                    refused += 1
        return refused

    at_once(edit, 2)
    item = services.get(shop.ann, task).view.item
    assert (item.title, item.version) == (str(CHANGES), CHANGES + 1)


def test_writers_of_different_fields_without_versions_keep_all_values(shop: Shop) -> None:
    task = shop.task()
    fields: list[dict[str, Any]] = [
        {"title": "New"},
        {"description": "Text"},
        {"priority": "HIGH"},
        {"labels": ["a"]},
        {"status": "REVIEW"},
    ]
    at_once(lambda n: shop.services.work_items.change(shop.ann, task, fields[n]), 5)
    item = shop.services.work_items.get(shop.ann, task).view.item
    assert (item.title, item.description, item.labels) == ("New", "Text", ("a",))
    assert (item.priority, item.status, item.version) == ("HIGH", "REVIEW", 6)


def test_nothing_is_written_after_a_project_was_archived(shop: Shop) -> None:
    tasks = [shop.task() for _ in range(WRITERS)]
    services = shop.services

    def count() -> int:
        with shop.store.view() as tx:
            found = tx.audit.list_page(AuditFilter(project_id=shop.project_id), limit=10_000)
            return len(found)

    def work(number: int) -> int:
        if number == 0:
            services.projects.change(shop.ann, shop.project_id, {"is_archived": True})
            return count()
        with pytest.raises(ProjectArchived):
            for turn in range(10_000):
                writes: list[Callable[[], object]] = [
                    lambda: services.work_items.change(
                        shop.ann, tasks[number], {"title": f"{turn}"}
                    ),
                    lambda: services.work_items.move(shop.ann, tasks[number], Move(after=tasks[0])),
                    lambda: services.comments.add(shop.ann, tasks[number], NewComment(content="C")),
                    lambda: shop.task(),
                ]
                writes[(number + turn) % 4]()
        return 0

    after_archive = at_once(work)[0]
    assert count() == after_archive
    refused = services.bulk.edit(
        shop.ann, BulkEdit(ids=tasks, set={"priority": "LOW"}, mode="each")
    )
    assert {each.code for each in refused.results} == {"project_archived"}


def test_members_added_and_removed_at_once_are_members_or_not(shop: Shop) -> None:
    users = [shop.user(f"user{number}") for number in range(WRITERS // 2)]
    members = shop.services.members

    def work(number: int) -> None:
        user_id = users[number // 2].user_id
        for _ in range(5):
            with suppress(Invalid, Conflict):  # not a member, or one already
                if number % 2:
                    members.remove(shop.ann, shop.project_id, FormerProjectMember(user_id=user_id))
                else:
                    members.add(shop.ann, shop.project_id, NewProjectMember(user_id=user_id))

    at_once(work)
    with shop.store.view() as tx:
        listed = [view.member.user_id for view in tx.project_members.list_of([shop.project_id])]
        entries = tx.audit.list_page(AuditFilter(model_name="project_member"), limit=1000)
    assert len(listed) == len(set(listed))
    for user in users:
        mine = [entry.action for entry in entries if entry.object_id == str(user.user_id)]
        assert (mine[:1] == ["ADD_MEMBER"]) is (user.user_id in listed)


def test_no_task_is_added_to_a_board_that_is_deleted(shop: Shop) -> None:
    boards, work_items = shop.services.boards, shop.services.work_items
    made: list[WorkItemId] = []

    def work(number: int) -> None:
        if number == 0:
            boards.delete(shop.ann, shop.board_id)
            return
        with suppress(Invalid):  # there is no such board
            for _ in range(MANY):
                new = NewWorkItem(title="T", board=shop.board_id)
                made.append(work_items.create(shop.ann, new).item.id)
            pytest.fail("The board was not deleted.")

    at_once(work)
    with shop.store.view() as tx:
        entries = tx.audit.list_page(AuditFilter(model_name="task"), limit=10_000)
    deleted = {int(entry.object_id) for entry in entries if entry.action == "DELETE"}
    assert deleted == set(made)
    for task in made:
        with pytest.raises(NotFound):
            work_items.get(shop.ann, task)


def test_no_task_is_in_a_column_that_was_removed(shop: Shop) -> None:
    columns = {"columns": [{"name": "Backlog", "status": "BACKLOG"}]}
    tasks = [shop.task() for _ in range(WRITERS)]

    def work(number: int) -> bool:
        try:
            if number == 0:
                shop.services.boards.change(shop.ann, shop.board_id, columns)
            else:
                shop.services.work_items.change(shop.ann, tasks[number], {"status": "DONE"})
        except Invalid:
            return False
        return True

    is_narrow, *done = at_once(work)
    view = shop.services.boards.get(shop.ann, shop.board_id)
    held = {column.status for column in view.board.columns}
    assert set(view.counts) <= held
    assert is_narrow is not any(done)
