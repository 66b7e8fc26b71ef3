"""Threads that come for work together share one transaction, and none is forgotten."""

from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event, Thread

import pytest
from attrs import define, field

from tests.processes.fleet import until
from workbell.adapters.dramatiq.group_commit import Meeting, Round
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.attempt import Claim, Outcome, Settlement
from workbell.domain.jobs.job import JobId, JobState, Mode

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def claim(number: int) -> Claim:
    return Claim(
        id=JobId(number),
        token=1,
        task="t",
        owner=SYSTEM_ID,
        parameters={},
        queue="default",
        mode=Mode.ORDINARY,
        fail_when_lost=False,
        lane=None,
        attempt=1,
        max_attempts=1,
        timeout_seconds=60,
        due_at=NOW,
        queued_at=NOW,
        started_at=NOW,
        schedule_id=None,
        tick=None,
    )


def outcome(number: int) -> Settlement:
    return Settlement(
        id=JobId(number),
        token=1,
        attempt=1,
        state=JobState.SUCCEEDED,
        outcome=Outcome.SUCCEEDED,
        lane=None,
        max_attempts=1,
        mode=Mode.ORDINARY,
        queued_at=NOW,
        started_at=NOW,
        ended_at=NOW,
    )


@define(eq=False)
class Store:
    """Serves rounds from a supply, the first only when it is let go."""

    supply: int
    most: int = 100
    let_go: Event = field(factory=Event)
    rounds: list[Round] = field(factory=list[Round])
    wrong: list[str] = field(factory=list[str])

    def serve(self, round_: Round) -> Sequence[Claim]:
        self.rounds.append(round_)
        self.let_go.wait(10)
        if self.wrong:
            raise OSError(self.wrong.pop())
        given = min(self.supply, self.most, round_.threads)
        self.supply -= given
        return [claim(self.supply + n) for n in range(given)]


def _all_join(meeting: Meeting, store: Store, threads: int) -> list[Claim | None]:
    """Have one thread be served while all the others come; return what each got."""
    got: list[Claim | None] = []

    def come(number: int) -> None:
        try:
            got.append(meeting.join(outcome(number)))
        except OSError:
            got.append(None)

    first, *others = [Thread(target=come, args=(n,)) for n in range(threads)]
    first.start()
    until(lambda: len(store.rounds) == 1)
    for thread in others:
        thread.start()
    until(lambda: meeting._next.threads == threads - 1)
    store.let_go.set()
    for thread in (first, *others):
        thread.join(10)
    return got


def test_who_waits_together_is_served_together() -> None:
    store = Store(supply=20)
    got = _all_join(Meeting(store.serve), store, 8)
    assert [len(round_.settlements) for round_ in store.rounds] == [1, 7]
    assert len({one.id for one in got if one}) == 8


def test_who_gets_nothing_of_a_round_that_found_something_asks_again() -> None:
    """As where a job must be claimed alone; outcomes are brought once."""
    store = Store(supply=8, most=1)
    got = _all_join(Meeting(store.serve), store, 8)
    assert len({one.id for one in got if one}) == 8
    brought = [one.id for round_ in store.rounds for one in round_.settlements]
    assert sorted(brought) == list(range(8))


def test_a_dry_queue_ends_every_turn() -> None:
    store = Store(supply=0)
    assert _all_join(Meeting(store.serve), store, 4) == [None] * 4
    assert len(store.rounds) == 2


def test_an_error_is_told_to_who_led_and_holds_nobody() -> None:
    store = Store(supply=8, wrong=["gone", "gone"])
    meeting = Meeting(store.serve)
    assert _all_join(meeting, store, 4) == [None] * 4
    assert meeting.join(None) is not None
    store.wrong.append("gone again")
    with pytest.raises(OSError, match="gone again"):
        meeting.join(None)


def test_who_passes_by_waits_for_nobody() -> None:
    """As threads do that take a hundred small jobs at a time."""
    store = Store(supply=1)
    meeting = Meeting(store.serve)
    store.let_go.set()
    assert meeting.pass_by(begins=True) is not None
    assert meeting.pass_by(begins=False) is None
    assert [(round_.threads, round_.begins) for round_ in store.rounds] == [(1, True), (1, False)]
