"""Concurrent transactions: equal ranks, the order of locks, and archiving."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import AnyStore, after
from tests.contract.projects.rows import Team, add_item, an_item, listed, read
from workbell.adapters.sql.database.server import ServerConnections
from workbell.domain.errors import Contended
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.repository import RankTaken
from workbell.services.transaction_retry import retry_on_contention

CROWD = 8


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CROWD) as opened:
        yield opened


def locks_rows(store: AnyStore) -> bool:
    """Whether writers of a store lock rows; elsewhere there is one writer at a time."""
    return isinstance(getattr(store, "_connections", None), ServerConnections)


def at_once(pool: ThreadPoolExecutor, work: Callable[[int], Any]) -> list[Any]:
    """Return what threads that begin together get, or the classes of conflicts."""
    barrier = Barrier(CROWD)

    def one(number: int) -> Any:
        barrier.wait(10)
        try:
            return work(number)
        except Contended as error:
            return type(error)

    return list(pool.map(one, range(CROWD)))


def test_of_tasks_with_one_rank_added_at_once_one_is_stored(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    def add(_: int) -> int:
        with store.begin() as tx:
            return tx.work_items.add(an_item(ann.board, ann.user, "same")).id

    results = at_once(pool, add)
    assert results.count(RankTaken) == CROWD - 1
    assert listed(store) == ["same"]


def test_of_tasks_that_move_to_one_rank_at_once_one_moves(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    items = [add_item(store, ann, f"a{number}") for number in range(1, CROWD + 1)]

    def move(number: int) -> str:
        with store.begin() as tx:
            tx.work_items.move(items[number].id, "same")
        return "moved"

    results = at_once(pool, move)
    assert (results.count("moved"), results.count(RankTaken)) == (1, CROWD - 1)
    assert [read(store, item).rank for item in items].count("same") == 1


def test_tasks_that_are_named_in_any_order_are_locked_without_deadlocks(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    items = [add_item(store, ann, f"a{number}") for number in range(1, 31)]
    ids = [item.id for item in items]

    def change(number: int) -> None:
        mine: list[WorkItemId] = ids[:: -1 if number % 2 else 1]
        for _ in range(5):
            with store.begin() as tx:
                locked = tx.work_items.lock_many(ALL_OWNERS, mine)
                for item in locked if number % 2 else reversed(locked):
                    tx.work_items.replace(evolve(item, version=item.version + 1))

    assert at_once(pool, change) == [None] * CROWD
    assert {read(store, item).version for item in items} == {1 + CROWD * 5}


def test_comments_that_are_counted_at_once_are_all_counted(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    item = add_item(store, ann, "a")

    def count(_: int) -> None:
        for _ in range(10):
            with store.begin() as tx:
                tx.work_items.count_comment(item.id, 1)

    assert at_once(pool, count) == [None] * CROWD
    assert read(store, item).comment_count == CROWD * 10


def waiting(store: AnyStore, first: Callable[[Any], None], then: Callable[[Any], None],
            pool: ThreadPoolExecutor) -> tuple[bool, Future[None]]:  # fmt: skip
    """Run a transaction while another is open; return whether it had to wait, and its end."""
    holding, release = Event(), Event()

    def hold() -> None:
        with store.begin() as tx:
            first(tx)
            holding.set()
            assert release.wait(10)

    def follow() -> None:
        with store.begin() as tx:
            then(tx)

    held = pool.submit(hold)
    assert holding.wait(10)
    following = pool.submit(follow)
    try:
        following.result(0.3)
        had_to_wait = False
    except TimeoutError:
        had_to_wait = True
    release.set()
    held.result(10)
    following.result(10)
    return had_to_wait, following


def test_archiving_waits_for_writes_in_the_project_and_they_for_it(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    seen: list[bool] = []

    def write(tx: Any) -> None:
        seen.append(tx.projects.get_for_write(ann.scope, ann.project.id).is_archived)

    def archive(tx: Any) -> None:
        project = tx.projects.get_for_update(ann.scope, ann.project.id)
        tx.projects.replace(evolve(project, is_archived=not project.is_archived))

    assert waiting(store, write, archive, pool)[0]
    assert waiting(store, archive, write, pool)[0]
    assert seen == [False, False]
    assert waiting(store, archive, write, pool)[0]
    assert seen == [False, False, True]


def test_writes_in_a_project_do_not_wait_for_one_another(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    items = [add_item(store, ann, rank) for rank in "ab"]

    def write(number: int) -> Callable[[Any], None]:
        def change(tx: Any) -> None:
            tx.projects.get_for_write(ann.scope, ann.project.id)
            item = tx.work_items.get_for_update(ann.scope, items[number].id)
            tx.work_items.replace(item.touched(after(number)))

        return change

    assert waiting(store, write(0), write(1), pool)[0] is not locks_rows(store)
    assert [read(store, item).version for item in items] == [2, 2]


def test_a_locked_task_is_not_changed_by_another_transaction(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    item = add_item(store, ann, "a")

    def touch(tx: Any) -> None:
        tx.work_items.replace(tx.work_items.get_for_update(ann.scope, item.id).touched(after(1)))

    assert waiting(store, touch, touch, pool)[0]
    assert read(store, item).version == 3


def test_ranks_are_replaced_while_tasks_move(
    store: AnyStore, ann: Team, pool: ThreadPoolExecutor
) -> None:
    items = [add_item(store, ann, f"a{number:02}z") for number in range(1, 41)]

    @retry_on_contention
    def write(number: int, turn: int) -> None:
        with store.begin() as tx:
            if number == 0:
                tx.boards.get_for_update(ALL_OWNERS, ann.board.id)
                ids = tx.work_items.ids_by_rank(ann.board.id)
                ranks = {each: f"r{turn}{place:03}z" for place, each in enumerate(ids)}
                tx.work_items.replace_ranks(ann.board.id, ranks)
            else:
                tx.work_items.move(items[number].id, f"m{number}{turn}z")

    def work(number: int) -> None:
        for turn in range(5):
            write(number, turn)

    results = at_once(pool, work)
    assert [each for each in results if each is not None] == []
    with store.view() as tx:
        assert sorted(tx.work_items.ids_by_rank(ann.board.id)) == [item.id for item in items]
