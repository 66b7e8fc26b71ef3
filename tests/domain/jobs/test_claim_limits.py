"""Limits of a claim: rooms of fairness keys, and the rows that fit them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.claim_limits import (
    UNLIMITED,
    ClaimLimits,
    default_owner_threads,
    is_counted,
    select_within_limits,
)
from workbell.domain.jobs.job import ClaimMode

ALICE, BOB = UserId(1), UserId(2)
ORDINARY, BATCH = ClaimMode.ORDINARY, ClaimMode.BATCH


@pytest.mark.parametrize(("threads", "share"), [(1, 1), (2, 1), (4, 3), (8, 6), (9, 6), (32, 24)])
def test_an_owner_may_use_three_quarters_of_the_threads(threads: int, share: int) -> None:
    assert default_owner_threads(threads) == share


def test_without_limits_every_key_has_unlimited_room() -> None:
    assert UNLIMITED.room("1") is None
    assert UNLIMITED.smallest_room is None
    assert UNLIMITED.saturated_keys == []


def test_the_smaller_of_both_limits_decides() -> None:
    limits = ClaimLimits(
        owner_threads=3,
        running={"1": 1, "2": 3, "3": 7},
        owner_running=4,
        running_everywhere={"1": 3, "4": 4},
    )
    assert [limits.room(key) for key in ("1", "2", "3", "4", "5")] == [1, 0, 0, 0, 3]
    assert limits.saturated_keys == ["2", "3", "4"]
    assert limits.smallest_room == 1
    assert limits.rooms == {"1": 1, "2": 0, "3": 0, "4": 0}


def test_only_ordinary_jobs_of_users_count() -> None:
    assert is_counted(ALICE, ORDINARY)
    assert is_counted(ALICE, ClaimMode.EXCLUSIVE)
    assert not is_counted(ALICE, BATCH)
    assert not is_counted(SYSTEM_ID, ORDINARY)


def test_rows_beyond_the_room_are_skipped_and_later_ones_selected() -> None:
    rows = [
        ("1", ALICE, ORDINARY),
        ("1", ALICE, ORDINARY),
        ("1", ALICE, BATCH),
        ("2", BOB, ORDINARY),
        ("0", SYSTEM_ID, ORDINARY),
        ("0", SYSTEM_ID, ORDINARY),
    ]
    assert select_within_limits(rows, ClaimLimits(owner_threads=1)) == [0, 2, 3, 4, 5]
    assert select_within_limits(rows, ClaimLimits(owner_threads=2, running={"2": 2})) == [
        *(0, 1, 2, 4, 5)
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([SYSTEM_ID, ALICE]))),
    st.integers(1, 4),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)),
)
def test_no_key_ever_exceeds_its_limit(
    keys: list[tuple[str, UserId]], threads: int, running: dict[str, int]
) -> None:
    rows = [(key, owner, ORDINARY) for key, owner in keys]
    limits = ClaimLimits(owner_threads=threads, running=running)
    kept = [rows[n] for n in select_within_limits(rows, limits)]
    for key in "abc":
        of_users = sum(each[:2] == (key, ALICE) for each in kept)
        assert of_users + running.get(key, 0) <= max(threads, running.get(key, 0))
        wanted = sum(each[:2] == (key, ALICE) for each in rows)
        assert of_users == min(wanted, max(0, threads - running.get(key, 0)))
    assert sum(owner == SYSTEM_ID for _, owner, _ in kept) == sum(
        owner == SYSTEM_ID for _, owner in keys
    )
