"""Group commit: waiting threads share a transaction."""

from collections.abc import Sequence
from threading import Event, Thread

import pytest
from attrs import define, field

from tests.adapters.dramatiq.factories import claim, settlement
from tests.processes.fleet import until
from workbell.adapters.dramatiq.group_commit import CommitGroup, GroupCommit
from workbell.domain.jobs.attempt import Claim


@define(eq=False)
class Store:
    """Commits groups and claims from a supply; the first commit waits for an event."""

    supply: int
    max_claims: int = 100
    may_commit: Event = field(factory=Event)
    groups: list[CommitGroup] = field(factory=list[CommitGroup])
    wrong: list[str] = field(factory=list[str])

    def commit(self, group: CommitGroup) -> Sequence[Claim]:
        self.groups.append(group)
        self.may_commit.wait(10)
        if self.wrong:
            raise OSError(self.wrong.pop())
        count = min(self.supply, self.max_claims, group.threads)
        self.supply -= count
        return [claim(self.supply + n) for n in range(count)]


def _all_commit(commits: GroupCommit, store: Store, threads: int) -> list[Claim | None]:
    """Commit in one thread while the others arrive; return the claim of each."""
    got: list[Claim | None] = []

    def run(number: int) -> None:
        try:
            got.append(commits.commit_and_claim(settlement(number)))
        except OSError:
            got.append(None)

    first, *others = [Thread(target=run, args=(n,)) for n in range(threads)]
    first.start()
    until(lambda: len(store.groups) == 1)
    for thread in others:
        thread.start()
    until(lambda: commits._next_group.threads == threads - 1)
    store.may_commit.set()
    for thread in (first, *others):
        thread.join(10)
    return got


def test_threads_that_wait_together_share_a_transaction() -> None:
    store = Store(supply=20)
    got = _all_commit(GroupCommit(store.commit), store, 8)
    assert [len(group.settlements) for group in store.groups] == [1, 7]
    assert len({one.id for one in got if one}) == 8


def test_a_thread_without_a_claim_of_its_group_claims_again() -> None:
    """Settlements are committed once."""
    store = Store(supply=8, max_claims=1)
    got = _all_commit(GroupCommit(store.commit), store, 8)
    assert len({one.id for one in got if one}) == 8
    brought = [one.id for group in store.groups for one in group.settlements]
    assert sorted(brought) == list(range(8))


def test_an_empty_queue_ends_every_turn() -> None:
    store = Store(supply=0)
    assert _all_commit(GroupCommit(store.commit), store, 4) == [None] * 4
    assert len(store.groups) == 2


def test_only_the_leader_raises_the_error_and_no_thread_stays_blocked() -> None:
    store = Store(supply=8, wrong=["gone", "gone"])
    commits = GroupCommit(store.commit)
    assert _all_commit(commits, store, 4) == [None] * 4
    assert commits.commit_and_claim(None) is not None
    store.wrong.append("gone again")
    with pytest.raises(OSError, match="gone again"):
        commits.commit_and_claim(None)


def test_a_thread_that_ends_its_turn_shares_the_transaction_and_gets_no_claim() -> None:
    store = Store(supply=20)
    commits = GroupCommit(store.commit)
    got: list[Claim | None] = []
    threads = [
        Thread(target=lambda: got.append(commits.commit_and_claim(settlement(0)))),
        Thread(target=lambda: commits.commit_without_claim(settlement(1))),
        Thread(target=lambda: got.append(commits.commit_and_claim(settlement(2)))),
    ]
    threads[0].start()
    until(lambda: len(store.groups) == 1)
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(commits._next_group.settlements) == 2)
    store.may_commit.set()
    for thread in threads:
        thread.join(10)
    assert [len(group.settlements) for group in store.groups] == [1, 2]
    assert [group.threads for group in store.groups] == [1, 1]
    assert len({one.id for one in got if one}) == 2


def test_claim_alone_waits_for_no_other_thread() -> None:
    """Batch tasks are claimed this way, 100 at a time."""
    store = Store(supply=1)
    commits = GroupCommit(store.commit)
    store.may_commit.set()
    assert commits.claim_alone(starts_turn=True) is not None
    assert commits.claim_alone(starts_turn=False) is None
    assert [(group.threads, group.starts_turn) for group in store.groups] == [(1, True), (1, False)]
