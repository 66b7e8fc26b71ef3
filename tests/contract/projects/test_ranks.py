"""The order of tasks on a board."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, Tx
from tests.contract.projects.rows import Team, add_item, an_item, listed, read
from workbell.domain.errors import Contended
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.repository import RankTaken

BYTE_ORDER = ("0", "00z", "01", "0a", "1", "9", "9z", "a", "a0", "a00", "aa", "b", "z", "zz")


def test_ranks_are_ordered_by_their_bytes(store: AnyStore, ann: Team) -> None:
    for rank in BYTE_ORDER[::2] + BYTE_ORDER[1::2]:
        add_item(store, ann, rank)
    assert listed(store, ann.scope, "position") == list(BYTE_ORDER)
    assert listed(store, ann.scope, "-position") == list(BYTE_ORDER[::-1])
    with store.view() as tx:
        neighbours = tx.work_items.neighbour_ranks
        for lower, upper in pairwise(BYTE_ORDER):
            assert neighbours(ann.board.id, lower)[1] == upper
            assert neighbours(ann.board.id, upper)[0] == lower
        assert neighbours(ann.board.id, "0")[0] is None
        assert neighbours(ann.board.id, "zz")[1] is None
        assert neighbours(ann.board.id, "5") == ("1", "9")
        assert tx.work_items.end_rank(ann.board.id, last=False) == "0"
        assert tx.work_items.end_rank(ann.board.id, last=True) == "zz"


def test_deleted_tasks_keep_their_places(store: AnyStore, ann: Team, ben: Team) -> None:
    middle = add_item(store, ann, "b", deleted_at=NOON)
    first, last = add_item(store, ann, "a"), add_item(store, ann, "c")
    add_item(store, ben, "bb")
    with store.view() as tx:
        assert tx.work_items.neighbour_ranks(ann.board.id, "a") == (None, "b")
        assert tx.work_items.ids_by_rank(ann.board.id) == [first.id, middle.id, last.id]
        assert tx.work_items.find_on_board(ann.board.id, middle.id) == middle
        assert tx.work_items.find_on_board(ben.board.id, middle.id) is None
        assert tx.work_items.find_on_board(ann.board.id, WorkItemId(99)) is None
    assert listed(store, ann.scope) == ["a", "c"]


def test_an_empty_board_has_no_ranks(store: AnyStore, ann: Team) -> None:
    with store.view() as tx:
        assert tx.work_items.end_rank(ann.board.id, last=True) is None
        assert tx.work_items.neighbour_ranks(ann.board.id, "a") == (None, None)
        assert tx.work_items.ids_by_rank(ann.board.id) == []


def test_a_move_changes_the_rank_only(store: AnyStore, ann: Team) -> None:
    item = add_item(store, ann, "a", labels=("x",))
    with store.begin() as tx:
        tx.work_items.move(item.id, "b")
    assert read(store, item) == evolve(item, rank="b")


@pytest.mark.parametrize("how", ["add", "replace", "move"])
def test_a_rank_is_unique_on_a_board_also_against_deleted_tasks(
    store: AnyStore, ann: Team, ben: Team, how: str
) -> None:
    add_item(store, ann, "taken", deleted_at=NOON)
    add_item(store, ben, "free")
    item = add_item(store, ann, "a")
    changes: dict[str, Callable[[Tx], object]] = {
        "add": lambda tx: tx.work_items.add(an_item(ann.board, ann.user, "taken")),
        "replace": lambda tx: tx.work_items.replace(evolve(item, rank="taken")),
        "move": lambda tx: tx.work_items.move(item.id, "taken"),
    }
    with pytest.raises(RankTaken) as caught, store.begin() as tx:
        changes[how](tx)
    assert isinstance(caught.value, Contended)  # services run the transaction again
    assert read(store, item) == item
    with store.begin() as tx:
        tx.work_items.move(item.id, "free")


def test_all_ranks_of_a_board_are_replaced_at_once(store: AnyStore, ann: Team, ben: Team) -> None:
    items = [add_item(store, ann, rank) for rank in "abcd"]
    other = add_item(store, ben, "a")
    ranks = dict(zip([item.id for item in items], "bcda", strict=True))
    with store.begin() as tx:
        tx.work_items.replace_ranks(ann.board.id, {**ranks, other.id: "z"})
        assert tx.work_items.ids_by_rank(ann.board.id) == [
            items[n].id for n in (3, 0, 1, 2)
        ]  # fmt: skip
    assert read(store, other) == other
    assert [read(store, item) for item in items] == [
        evolve(item, rank=ranks[item.id]) for item in items
    ]


def test_a_rank_of_a_task_that_stays_is_taken(store: AnyStore, ann: Team) -> None:
    item = add_item(store, ann, "a")
    add_item(store, ann, "b")
    with pytest.raises(RankTaken), store.begin() as tx:
        tx.work_items.replace_ranks(ann.board.id, {item.id: "b"})
    assert read(store, item) == item
