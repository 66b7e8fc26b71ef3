"""Lists of tasks: filters, orders, pages, search and streams."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests.contract.factories import NOON, AnyStore, a_user, after
from tests.contract.projects.rows import NO_ONE, Team, a_board, add_item, an_item, listed
from workbell.domain import constraints
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.user import User
from workbell.domain.projects.work_item import WorkItemId, WorkItemPriority, WorkItemStatus
from workbell.domain.search.document import SearchDocument
from workbell.domain.search.query import parse_query
from workbell.ports.projects.repository import WorkItemFilter

BACKLOG, TODO, IN_PROGRESS, REVIEW, DONE = WorkItemStatus
LOW, MEDIUM, HIGH, CRITICAL = WorkItemPriority
ORDERS = (
    *("position", "created_at", "updated_at", "due_date", "priority", "status", "title"),
    "sla_due_at",
)


@pytest.fixture
def cap() -> Iterator[None]:
    """Restore the cap of counts at the end."""
    before = constraints.COUNT_CAP
    yield
    constraints.COUNT_CAP = before


@pytest.fixture
def eve(store: AnyStore) -> User:
    with store.begin() as tx:
        return tx.users.add(a_user("eve"))


def fill(store: AnyStore, ann: Team, ben: Team, eve: User) -> None:
    """Insert tasks a to d of Ann, e on a second board of hers, f of Ben, and deleted ones."""
    fields: dict[str, dict[str, Any]] = {
        "a": {"status": DONE, "priority": LOW, "assignee_id": eve.id, "labels": ("x",)},
        "b": {"status": TODO, "priority": CRITICAL, "due_date": after(5), "labels": ("x", "y")},
        "c": {"status": TODO, "priority": LOW, "due_date": after(9), "assignee_id": ann.user.id},
        "d": {"status": REVIEW, "priority": HIGH, "is_sla_breached": True, "sla_due_at": after(1)},
    }
    with store.begin() as tx:
        for number, (rank, values) in enumerate(fields.items()):
            times = {"created_at": after(10 - number), "updated_at": after(number % 2)}
            tx.work_items.add(an_item(ann.board, ann.user, rank, **values, **times))
        board = tx.boards.add(a_board(ann.project, position=2))
        tx.work_items.add(an_item(board, eve, "e", sla_due_at=after(2), labels=("X",)))
        tx.work_items.add(an_item(ben.board, ben.user, "f", labels=("x",), status=TODO))
        tx.work_items.add(an_item(ann.board, ann.user, "g", labels=("x",), deleted_at=NOON))


def test_every_filter_and_combinations_of_them(
    store: AnyStore, ann: Team, ben: Team, eve: User
) -> None:
    fill(store, ann, ben, eve)

    def found(**filters: Any) -> str:
        return "".join(listed(store, ann.scope, **filters))

    assert found() == "abcde"
    assert found(board_id=ann.board.id) == "abcd"
    assert found(board_id=ben.board.id) == ""
    assert found(project_id=ann.project.id) == "abcde"
    assert found(project_id=ben.project.id) == ""
    assert found(project_id=ben.project.id, board_id=ann.board.id) == ""
    assert found(statuses=[TODO]) == "bc"
    assert found(statuses=[TODO, DONE, DONE]) == "abc"
    assert found(statuses=[]) == found(priorities=[]) == found(ids=[]) == ""
    assert found(priorities=[LOW]) == "ac"
    assert found(priorities=[CRITICAL, HIGH], statuses=[REVIEW]) == "d"
    assert found(assignee_id=eve.id) == "a"
    assert found(assignee_id=ben.user.id) == ""
    assert found(reporter_id=eve.id) == "e"
    assert found(reporter_id=ann.user.id, assignee_id=ann.user.id) == "c"
    assert found(label="x") == "ab"
    assert found(label="X") == "e"
    assert found(label="x", statuses=[TODO], project_id=ann.project.id) == "b"
    assert found(label="x ") == found(label="%") == ""
    assert found(is_sla_breached=True) == "d"
    assert found(is_sla_breached=False, board_id=ann.board.id) == "abc"
    assert found(due_from=after(5)) == "bc"
    assert found(due_to=after(5)) == "b"
    assert found(due_from=after(6), due_to=after(9)) == "c"
    assert found(due_from=after(5), due_to=after(9), priorities=[LOW]) == "c"


def test_a_scope_of_all_covers_every_project(
    store: AnyStore, ann: Team, ben: Team, eve: User
) -> None:
    fill(store, ann, ben, eve)
    assert "".join(listed(store, ALL_OWNERS, "title")) == "abcdef"
    assert listed(store, ALL_OWNERS, label="x") == ["a", "b", "f"]
    assert listed(store, ALL_OWNERS, "title", statuses=[TODO]) == ["b", "c", "f"]
    assert listed(store, ALL_OWNERS, priorities=[CRITICAL]) == ["b"]
    assert listed(store, ALL_OWNERS, due_to=after(9)) == ["b", "c"]
    assert listed(store, ALL_OWNERS, project_id=ben.project.id) == ["f"]
    assert listed(store, ben.scope) == ["f"]
    assert listed(store, NO_ONE) == []


WANTED = {
    "position": ("abcde", "edcba"),
    "created_at": ("edcba", "abcde"),
    "updated_at": ("acebd", "dbeca"),
    "due_date": ("bcade", "cbeda"),
    "priority": ("acedb", "bdeca"),
    "status": ("ebcda", "adcbe"),
    "title": ("abcde", "edcba"),
    "sla_due_at": ("deabc", "edcba"),
}


@pytest.mark.usefixtures("cap")
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_in_both_directions_and_in_pages(
    store: AnyStore, ann: Team, ben: Team, eve: User, order: str
) -> None:
    """Missing times come last in both directions; the id breaks ties, in that of the order."""
    fill(store, ann, ben, eve)
    for cap in (10_000, 0):  # below and above it, SQL stores read lists in different ways
        constraints.COUNT_CAP = cap
        for direction, wanted in zip(("", "-"), WANTED[order], strict=True):
            name = direction + order
            assert page(store, ann, name) == wanted
            assert page(store, ann, name, offset=1, limit=2) == wanted[1:3]
            assert page(store, ann, name, offset=4) == wanted[4:]
            assert page(store, ann, name, offset=9) == ""
            in_board = "".join(each for each in wanted if each != "e")
            assert page(store, ann, name, board_id=ann.board.id) == in_board
            labelled = "".join(each for each in wanted if each in "ab")
            assert page(store, ann, name, label="x") == labelled
            not_low = "".join(each for each in wanted if each not in "ac")
            assert page(store, ann, name, priorities=[MEDIUM, HIGH, CRITICAL]) == not_low


def page(store: AnyStore, team: Team, order: str, **fields: Any) -> str:
    window = {name: fields.pop(name) for name in ("offset", "limit") if name in fields}
    with store.view() as tx:
        filters = WorkItemFilter(**fields)
        views, _ = tx.work_items.list_page(team.scope, filters, ordering=(order,), **window)
    return "".join(view.item.rank for view in views)


def test_columns_of_an_order_count_in_turn(
    store: AnyStore, ann: Team, ben: Team, eve: User
) -> None:
    fill(store, ann, ben, eve)
    assert listed(store, ann.scope, "priority", "-due_date") == ["c", "a", "e", "d", "b"]
    assert listed(store, ann.scope, "-updated_at", "position") == ["b", "d", "a", "c", "e"]
    assert listed(store, ann.scope, "due_date", "priority") == ["b", "c", "a", "e", "d"]


@pytest.mark.usefixtures("cap")
@pytest.mark.parametrize("count_cap", [0, 2, 5, 9])
def test_the_number_of_tasks_is_counted_up_to_the_cap(
    store: AnyStore, ann: Team, ben: Team, eve: User, count_cap: int
) -> None:
    fill(store, ann, ben, eve)
    constraints.COUNT_CAP = count_cap
    with store.view() as tx:
        for filters, count in ((WorkItemFilter(), 5), (WorkItemFilter(label="x"), 2)):
            for offset, limit in product((0, 1, 9), (1, 20)):
                found, total = tx.work_items.list_page(
                    ann.scope, filters, offset=offset, limit=limit
                )
                assert total == min(count, count_cap + 1)
                assert len(found) == max(0, min(limit, count - offset))


def test_pages_by_id_hold_all_tasks_that_match(
    store: AnyStore, ann: Team, ben: Team, eve: User
) -> None:
    fill(store, ann, ben, eve)
    with store.view() as tx:

        def found(**filters: Any) -> str:
            views = tx.work_items.list_after(
                ann.scope, WorkItemFilter(**filters), WorkItemId(0), limit=1_000
            )
            return "".join(view.item.rank for view in views)

        assert found() == "abcde"
        assert found(statuses=[TODO]) == "bc"
        assert found(label="x", board_id=ann.board.id) == "ab"
        assert found(statuses=[]) == ""
        first = tx.work_items.list_after(ann.scope, WorkItemFilter(), WorkItemId(0), limit=1)[0]
        assert (first.reporter, first.assignee) == (ann.user, eve)
        rest = tx.work_items.list_after(ann.scope, WorkItemFilter(), first.item.id, limit=1_000)
        assert "".join(view.item.rank for view in rest) == "bcde"


def searched(
    store: AnyStore, team: Team, text: str, *ordering: str, **filters: Any
) -> list[tuple[str, bool]]:
    """Return the ranks of tasks that match a search, and whether each has a score."""
    query = WorkItemFilter(search=parse_query(text), **filters)
    order = ordering or ("relevance",)
    with store.view() as tx:
        views, total = tx.work_items.list_page(team.scope, query, ordering=order)
        assert total == len(views)
        assert {
            view.item.rank
            for view in tx.work_items.list_after(team.scope, query, WorkItemId(0), limit=1_000)
        } == {view.item.rank for view in views}
    return [(view.item.rank, view.score > 0) for view in views]


def test_a_search_finds_tasks_in_the_scope_that_match_the_filters(
    store: AnyStore, ann: Team, ben: Team
) -> None:
    texts = {"a": ("Login", ""), "b": ("Other", "the login fails"), "c": ("Logout", "")}
    for team, (rank, (title, body)) in product((ann, ben), texts.items()):
        item = add_item(store, team, rank, title=title, description=body, labels=(rank,))
        with store.begin() as tx:
            tx.search.put(SearchDocument(item.id, item.project_id, title, rank, body))
    assert searched(store, ann, "login") == [("a", True), ("b", True)]
    assert searched(store, ann, "login", "-position") == [("b", False), ("a", False)]
    assert searched(store, ann, "log*", "title") == [
        ("a", False), ("c", False), ("b", False),
    ]  # fmt: skip
    assert searched(store, ann, "login", label="b") == [("b", True)]
    assert searched(store, ann, "login -fails") == [("a", True)]
    assert searched(store, ann, "-login") == [("c", False)]
    assert searched(store, ann, "nothing") == []
    assert searched(store, ann, "login", board_id=ben.board.id) == []
    with store.view() as tx:
        query = WorkItemFilter(search=parse_query("login"))
        best, total = tx.work_items.list_page(
            ALL_OWNERS, query, ordering=("relevance",), offset=1, limit=2
        )
        assert ([view.item.rank for view in best], total) == (["a", "b"], 4)
        assert best[0].score > best[1].score
