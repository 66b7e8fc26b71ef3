"""Tasks: rows, scope, labels, SLA columns, search documents and purging."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, a_user, after
from tests.contract.projects.rows import (
    NO_ONE,
    Team,
    a_board,
    a_comment,
    a_member,
    add_item,
    an_item,
    listed,
    read,
)
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.projects.work_item import WorkItemId, WorkItemPriority, WorkItemStatus
from workbell.domain.search.document import SearchDocument
from workbell.domain.search.query import parse_query


def test_a_task_is_returned_as_it_was_inserted(store: AnyStore, ann: Team) -> None:
    wanted = an_item(
        ann.board,
        ann.user,
        "z1",
        title="Müller & Söhne 日本 🚀",
        description="x" * 50_000,
        status=WorkItemStatus.REVIEW,
        priority=WorkItemPriority.CRITICAL,
        assignee_id=ann.user.id,
        labels=("b", "a", "Ünïcode 🏷"),
        due_date=after(60),
        estimated_hours=Decimal("7.25"),
        sla_due_at=after(30),
        is_sla_breached=True,
        completed_at=after(1),
        version=3,
    )
    with store.begin() as tx:
        stored = tx.work_items.add(wanted)
        plain = tx.work_items.add(an_item(ann.board, ann.user, "z2"))
    assert stored == evolve(wanted, id=stored.id)
    assert read(store, stored) == stored
    assert read(store, plain) == plain


def test_hours_are_stored_in_hundredths(store: AnyStore, ann: Team) -> None:
    item = add_item(store, ann, "a", estimated_hours=Decimal("0.125"))
    assert read(store, item).estimated_hours == Decimal("0.13")


def test_only_members_and_everyone_get_a_task(store: AnyStore, ann: Team, ben: Team) -> None:
    item = add_item(store, ann, "a")
    with store.begin() as tx:
        for get in (tx.work_items.get, tx.work_items.get_for_update):
            assert get(ann.scope, item.id) == item
            assert get(ALL_OWNERS, item.id) == item
            for scope, item_id in (
                (ben.scope, item.id),
                (NO_ONE, item.id),
                (ALL_OWNERS, WorkItemId(99)),
            ):
                with pytest.raises(NotFound, match=f"There is no task {item_id}"):
                    get(scope, item_id)
        with pytest.raises(NotFound):
            tx.work_items.view(ben.scope, item.id)
        tx.project_members.add(a_member(ann.project, ben.user))
        assert tx.work_items.get(ben.scope, item.id) == item


@pytest.mark.parametrize("deleted", ["item", "board", "project"])
def test_a_task_is_gone_with_its_board_and_project(
    store: AnyStore, ann: Team, ben: Team, deleted: str
) -> None:
    item = add_item(store, ann, "a", labels=("x",))
    with store.begin() as tx:
        comment = tx.comments.add(a_comment(item, ann.user))
        if deleted == "item":
            tx.work_items.replace(item.delete(after(1)))
        elif deleted == "board":
            tx.boards.replace(evolve(ann.board, deleted_at=after(1)))
        else:
            tx.projects.replace(ann.project.delete(after(1)))
    other = add_item(store, ben, "b")
    with store.begin() as tx:
        for scope in (ann.scope, ALL_OWNERS):
            for get in (tx.work_items.get, tx.work_items.get_for_update, tx.work_items.view):
                with pytest.raises(NotFound):
                    get(scope, item.id)
            assert item not in tx.work_items.lock_many(scope, [item.id, other.id])
            with pytest.raises(NotFound):
                tx.comments.get(scope, comment.id)
        documents = tx.work_items.list_search_documents(after=0, limit=9)
        assert [document.id for document in documents] == [other.id]
    every: tuple[dict[str, Any], ...] = (
        {}, {"label": "x"}, {"board_id": ann.board.id}, {"ids": [item.id]},
    )  # fmt: skip
    for filters in every:
        for order in ("position", "-created_at"):
            assert listed(store, ann.scope, order, **filters) == []
            assert listed(store, ALL_OWNERS, order, **filters) == (["b"] if not filters else [])


def test_replacing_keeps_comment_count_and_sla(store: AnyStore, ann: Team) -> None:
    item = add_item(store, ann, "a", labels=("one", "two"))
    with store.begin() as tx:
        tx.work_items.count_comment(item.id, 2)
        tx.work_items.count_comment(item.id, -1)
        tx.work_items.set_sla(item.id, after(9), is_breached=True)
        changed = evolve(item, title="Other", labels=("two", "three"), due_date=after(5))
        tx.work_items.replace(changed)
    wanted = evolve(changed, comment_count=1, sla_due_at=after(9), is_sla_breached=True)
    assert read(store, item) == wanted
    assert listed(store, label="one") == []
    assert listed(store, label="two") == listed(store, label="three") == ["Other"]
    with store.begin() as tx:
        tx.work_items.set_sla(item.id, None, is_breached=False)
    assert read(store, item) == evolve(wanted, sla_due_at=None, is_sla_breached=False)


def test_a_task_that_does_not_exist_is_not_changed(store: AnyStore, ann: Team) -> None:
    unknown = WorkItemId(99)
    with store.begin() as tx:
        changes: tuple[Callable[[], object], ...] = (
            lambda: tx.work_items.replace(an_item(ann.board, ann.user, "a", id=unknown)),
            lambda: tx.work_items.move(unknown, "b"),
            lambda: tx.work_items.set_sla(unknown, None, is_breached=False),
            lambda: tx.work_items.count_comment(unknown, 1),
        )
        for change in changes:
            with pytest.raises(NotFound):
                change()


def test_tasks_are_locked_by_id_within_the_scope(store: AnyStore, ann: Team, ben: Team) -> None:
    items = [add_item(store, ann, rank) for rank in "abc"]
    other = add_item(store, ben, "a")
    wanted = [items[2].id, other.id, items[0].id, WorkItemId(99), items[2].id]
    with store.begin() as tx:
        assert tx.work_items.lock_many(ann.scope, wanted) == [items[0], items[2]]
        assert tx.work_items.lock_many(ALL_OWNERS, wanted) == [items[0], items[2], other]
        assert tx.work_items.lock_many(ALL_OWNERS, []) == []


def test_a_view_has_the_people_of_a_task(store: AnyStore, ann: Team, ben: Team) -> None:
    item = add_item(store, ann, "a", assignee_id=ben.user.id)
    with store.begin() as tx:
        eve = tx.users.add(a_user("eve"))
        for user in (eve, ann.user):
            tx.watchers.add(item, user.id)
        view = tx.work_items.view(ann.scope, item.id)
    assert (view.item, view.reporter, view.assignee) == (item, ann.user, ben.user)
    assert (view.watchers, view.score) == ((ann.user.id, eve.id), 0.0)


def test_users_watch_a_task_once(store: AnyStore, ann: Team, ben: Team) -> None:
    item = add_item(store, ann, "a")
    with store.begin() as tx:
        assert tx.watchers.add(item, ben.user.id)
        assert tx.watchers.add(item, ann.user.id)
        assert not tx.watchers.add(item, ben.user.id)
        assert tx.watchers.list_of(item.id) == [ann.user.id, ben.user.id]
        assert tx.watchers.remove(item.id, ben.user.id)
        assert not tx.watchers.remove(item.id, ben.user.id)
        assert tx.watchers.list_of(item.id) == [ann.user.id]


def test_search_documents_are_read_in_pages(store: AnyStore, ann: Team, ben: Team) -> None:
    item = add_item(store, ann, "a", title="One", labels=("x", "y"), description="Body")
    other = add_item(store, ben, "a", title="Two")
    with store.begin() as tx:
        tx.comments.add(a_comment(item, ann.user, "first"))
        tx.comments.add(a_comment(item, ann.user, "gone", deleted_at=NOON))
        tx.comments.add(a_comment(item, ann.user, "second"))
        documents = tx.work_items.list_search_documents
        one = SearchDocument(item.id, ann.project.id, "One", "x\ny", "Body", "first\nsecond")
        two = SearchDocument(other.id, ben.project.id, "Two")
        assert documents(after=0, limit=9) == [one, two]
        assert documents(after=0, limit=1) == [one]
        assert documents(after=item.id, limit=9) == [two]
        assert documents(after=other.id, limit=9) == []


def test_old_deleted_tasks_are_purged_with_what_belongs_to_them(store: AnyStore, ann: Team) -> None:
    kept = add_item(store, ann, "k")
    late = add_item(store, ann, "l", deleted_at=after(100))
    old = [add_item(store, ann, rank, deleted_at=after(9), labels=("x",)) for rank in "abc"]
    with store.begin() as tx:
        for item in (kept, *old):
            tx.comments.add(a_comment(item, ann.user))
            tx.watchers.add(item, ann.user.id)
            tx.search.put(SearchDocument(item.id, item.project_id, "word"))
    with store.begin() as tx:
        assert tx.work_items.purge(after(9), limit=9) == 0
        assert [tx.work_items.purge(after(10), limit=2) for _ in range(3)] == [2, 1, 0]
    with store.view() as tx:
        assert tx.work_items.ids_by_rank(ann.board.id) == [kept.id, late.id]
        for item in old:
            assert tx.comments.list_page(item.id) == ([], 0)
            assert tx.watchers.list_of(item.id) == []
    with store.view() as tx:
        found = tx.search.find(parse_query("word"), project_ids=None, limit=9)
        assert [match.id for match in found] == [kept.id]
        assert tx.comments.list_page(kept.id)[1] == 1


def test_a_task_moves_to_another_board(store: AnyStore, ann: Team) -> None:
    item = add_item(store, ann, "a")
    with store.begin() as tx:
        board = tx.boards.add(a_board(ann.project, position=2))
        tx.work_items.replace(evolve(item, board_id=board.id))
        assert tx.work_items.find_on_board(ann.board.id, item.id) is None
        assert tx.work_items.find_on_board(board.id, item.id) == evolve(item, board_id=board.id)
    assert listed(store, board_id=board.id) == ["a"]
