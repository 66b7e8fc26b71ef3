"""Ranks: order, uniqueness and length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.projects.rank import (
    DIGITS,
    MAX_RANK_LENGTH,
    REBALANCE_LENGTH,
    TAIL,
    rank_between,
    spread,
)

tails = st.integers(0, TAIL - 1)


@given(st.lists(st.tuples(st.integers(0, 200), tails), min_size=1, max_size=200))
def test_a_rank_is_strictly_between_its_neighbours(
    insertions: list[tuple[int, int]],
) -> None:
    ranks: list[str] = []
    for place, tail in insertions:
        index = place % (len(ranks) + 1)
        lower = ranks[index - 1] if index else None
        upper = ranks[index] if index < len(ranks) else None
        ranks.insert(index, rank_between(lower, upper, tail))
    assert ranks == sorted(set(ranks))
    assert set("".join(ranks)) <= set(DIGITS)
    assert not any(rank.endswith("0") for rank in ranks)


@given(tails, tails)
def test_two_insertions_into_one_gap_differ_by_their_tails(one: int, other: int) -> None:
    first, last = spread(2)
    ranks = {rank_between(first, last, one), rank_between(first, last, other)}
    assert len(ranks) == len({one, other})


@pytest.mark.parametrize("follows_last", [True, False])
def test_1600_insertions_at_one_place_need_no_rebalance(*, follows_last: bool) -> None:
    first, last = spread(2)
    lower, upper = first, last
    longest = 0
    for number in range(1_600):
        rank = rank_between(lower, upper, number * 7 % TAIL)
        lower, upper = (rank, upper) if follows_last else (lower, rank)
        longest = max(longest, len(rank))
    assert longest <= REBALANCE_LENGTH


def test_ranks_at_the_ends_of_a_board_stay_short() -> None:
    first = last = rank_between(None, None, 0)
    for number in range(5_000):
        last = rank_between(last, None, number % TAIL)
        first = rank_between(None, first, number % TAIL)
    assert max(len(first), len(last)) <= 10


def test_insertions_between_the_two_newest_items_stay_within_the_column_for_200_moves() -> None:
    lower, upper = spread(2)
    for number in range(200):
        rank = rank_between(lower, upper, 17)
        lower, upper = (rank, upper) if number % 2 else (lower, rank)
        assert len(rank) <= MAX_RANK_LENGTH


@pytest.mark.parametrize(("lower", "upper"), [("b", "a"), ("a", "a")])
def test_neighbours_in_the_wrong_order_are_refused(lower: str, upper: str) -> None:
    with pytest.raises(ValueError, match="not less than"):
        rank_between(lower, upper, 0)


@pytest.mark.parametrize("count", [0, 1, 36, 10_000])
def test_a_rebalance_spreads_ranks_in_order(count: int) -> None:
    ranks = spread(count)
    assert ranks == sorted(set(ranks))
    assert len(ranks) == count
    assert all(len(rank) <= 10 for rank in ranks)


def test_the_ranks_of_a_very_large_board_are_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbell.domain.projects.rank.WIDTH", 4)
    ranks = spread(10_000)
    assert ranks == sorted(set(ranks))
    assert max(len(rank) for rank in ranks) > 4
