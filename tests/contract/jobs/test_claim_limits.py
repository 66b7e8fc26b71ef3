"""Limits of a claim: excluded tasks, and jobs of one owner at once."""

from collections import Counter

from tests.contract.factories import (
    ALICE,
    BOB,
    AnyStore,
    a_job,
    claim,
    ended,
    ids,
    in_concurrency_key,
    keep,
    running,
    see,
    settle_and_claim,
    write,
)
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.claim_limits import ClaimLimits
from workbell.domain.jobs.job import ClaimMode, JobState


def test_an_excluded_task_is_left_out_of_a_claim(store: AnyStore) -> None:
    keep(store, *[a_job(task="new")] * 3, *[a_job(task="newer")] * 3)
    known = keep(store, a_job())
    limits = ClaimLimits(excluded_tasks=["new", "newer", "größe's"])
    assert ids(claim(store, limit=2, limits=limits)) == ids(known)
    assert claim(store, limits=limits) == []
    assert len(claim(store)) == 6


def test_a_saturated_key_is_left_out_of_a_claim(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE)] * 5)
    (quick,) = keep(store, a_job(owner=BOB))
    limits = ClaimLimits(owner_threads=2, running={"1": 2})
    assert limits.saturated_keys == ["1"]
    assert ids(claim(store, limit=1, limits=limits)) == [quick.id]
    assert claim(store, limits=limits) == []


def test_a_claim_takes_no_more_of_a_key_than_its_room(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE)] * 5, *[a_job(owner=BOB)] * 5)
    limits = ClaimLimits(owner_threads=3, running={"1": 1})
    first = claim(store, limit=8, free_threads=8, limits=limits)
    assert Counter(each.owner for each in first) == {ALICE: 2, BOB: 3}
    assert {each.fairness_key for each in first} == {"1", "2"}
    rest = claim(store)
    assert Counter(each.owner for each in rest) == {ALICE: 3, BOB: 2}
    assert {see(store, each).attempt for each in rest} == {1}


def test_rows_beyond_the_room_do_not_use_up_free_threads(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE, priority=1)] * 3, *[a_job(owner=BOB)] * 3)
    limits = ClaimLimits(owner_threads=1)
    found = claim(store, limit=6, free_threads=2, limits=limits)
    assert [each.owner for each in found] == [ALICE, BOB]


def test_the_system_has_no_limit(store: AnyStore) -> None:
    keep(store, *[a_job(owner=SYSTEM_ID)] * 5, *[a_job(owner=SYSTEM_ID, fair_key="mail")] * 5)
    assert len(claim(store, limits=ClaimLimits(owner_threads=1, owner_running=1))) == 10


def test_batch_tasks_do_not_count(store: AnyStore) -> None:
    keep(store, *[a_job(mode=ClaimMode.BATCH)] * 5, a_job(), a_job())
    limits = ClaimLimits(owner_threads=1, owner_running=1)
    assert len(claim(store, limits=limits)) == 6


def test_a_fairness_key_of_its_own_has_its_own_limit(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE)] * 3, *[a_job(owner=ALICE, fair_key="slow")] * 3)
    found = claim(store, limits=ClaimLimits(owner_threads=2, running={"slow": 1}))
    assert Counter(each.fairness_key for each in found) == {"1": 2, "slow": 1}


def test_jobs_in_all_processes_count_towards_the_limit_everywhere(store: AnyStore) -> None:
    limits = ClaimLimits(owner_running=3)
    running(store, *[a_job(owner=ALICE)] * 2)
    keep(store, *[a_job(owner=ALICE)] * 5, *[a_job(owner=BOB)] * 5)
    found = claim(store, worker="other", limits=limits)
    assert Counter(each.owner for each in found) == {ALICE: 1, BOB: 3}
    assert claim(store, limits=limits) == []


def test_an_ended_job_makes_room_in_the_transaction_that_settles_it(store: AnyStore) -> None:
    """Otherwise a thread at the limit would find no work after its own job."""
    (work,) = running(store, a_job(owner=ALICE))
    following, _ = keep(store, *[a_job(owner=ALICE)] * 2)
    limits = ClaimLimits(owner_running=1)
    claims, accepted = settle_and_claim(store, [ended(work)], limits=limits)
    assert accepted == {work.id}
    assert ids(claims) == [following.id]


def test_settling_and_claiming_obeys_every_limit_at_once(store: AnyStore) -> None:
    (work,) = running(store, a_job(owner=BOB))
    keep(store, *[a_job(owner=ALICE, task="new")] * 2, *[a_job(owner=ALICE)] * 5)
    keep(store, *[a_job(owner=BOB)] * 5, a_job(owner=BOB, fair_key="full"))
    limits = ClaimLimits(
        excluded_tasks=["new"], owner_threads=3, running={"1": 1, "full": 3, "it's": 1}
    )
    claims, accepted = settle_and_claim(store, [ended(work)], limits=limits)
    assert accepted == {work.id}
    assert Counter(each.owner for each in claims) == {ALICE: 2, BOB: 3}
    assert {each.task for each in claims} == {"echo"}
    assert {each.fairness_key for each in claims} == {"1", "2"}


def test_a_concurrency_key_is_released_before_the_limited_claim(store: AnyStore) -> None:
    (work,) = running(store, in_concurrency_key(owner=ALICE))
    (held,) = keep(store, in_concurrency_key(owner=ALICE))
    assert held.state is JobState.HELD
    limits = ClaimLimits(owner_threads=1)
    claims, _ = settle_and_claim(store, [ended(work)], limits=limits)
    assert ids(claims) == [held.id]
    write(store, *[ended(each) for each in claims])
