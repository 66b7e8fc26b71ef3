"""The life of jobs: random histories, the same on every store."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.conftest import empty_store
from tests.contract.made import (
    AnyStore,
    ManualClock,
    a_definition,
    a_job,
    claim,
    ended,
    keep,
    move,
    reap_all,
    sweep,
    switch,
    write,
)
from workbell.domain.identity import EVERYTHING
from workbell.domain.jobs import Claim, Job, JobId, JobState, Mode, Outcome, Settlement
from workbell.ports.jobs import JobFilter

FULL = os.environ.get("WORKBELL_TEST_FULL") == "1"
LIMITS = {"one": 1, "two": 2}
QUEUES = ("default", "mail")
TASKS = ("echo", "mail")

S, H, R, RUN = JobState.SCHEDULED, JobState.HELD, JobState.READY, JobState.RUNNING
OK, BAD, OFF = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED

EDGES = {
    "new": {S, H, R},
    S: {R, H, OFF},
    H: {R, OFF},
    R: {H, RUN, OFF},
    RUN: {RUN, OK, S, BAD, OFF, R},
    BAD: {S},
    OFF: {S},
    OK: set[JobState](),
}
"""What may follow what; ENGINE.md, states."""


def within_one_step(before: JobState, after: JobState) -> bool:
    """Whether one transaction may lead there: an edge, and then the placing of due work."""
    if before == after:
        return True
    reach = set(EDGES[before])
    if S in reach:
        reach |= {R, H}
    return after in reach


class JobLife(RuleBasedStateMachine):
    """Plays the same moves on every store, and compares them after each."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.open = ExitStack()
        folder = Path(self.open.enter_context(TemporaryDirectory()))
        self.stores: list[AnyStore] = []
        for kind in kinds():
            self.stores.append(self.open.enter_context(empty_store(kind, folder, self.clock)))
        self.claims: list[Claim] = []
        self.spent: set[tuple[JobId, int]] = set()
        self.known: dict[JobId, Job] = {}
        self.retried: set[JobId] = set()

    def teardown(self) -> None:
        self.open.close()

    # playing

    def play(self, act: Any) -> Any:
        """Do the same on every store; all have to answer the same."""
        answers = [act(store) for store in self.stores]
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @initialize()
    def tasks(self) -> None:
        def add(store: AnyStore) -> None:
            with store.begin() as tx:
                for key in TASKS:
                    tx.definitions.add(a_definition(key=key))

        self.play(add)

    @rule(
        lanes=st.lists(st.sampled_from([None, *LIMITS]), min_size=1, max_size=4),
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        priority=st.integers(0, 1),
        delay=st.sampled_from([0, 0, 0, 5, 60]),
        mode=st.sampled_from(Mode),
        max_attempts=st.integers(1, 3),
        owner=st.integers(1, 3),
    )
    def add(self, lanes: list[str | None], delay: float, **fields: Any) -> None:
        jobs = [
            a_job(
                lane=lane,
                lane_limit=LIMITS.get(lane or "", 1),
                due_at=self.now + timedelta(seconds=delay),
                created_at=self.now,
                fail_when_lost=fields["mode"] is Mode.ALONE,
                **fields,
            )
            for lane in lanes
        ]
        self.play(lambda store: [job.id for job in keep(store, *jobs, now=self.now)])

    @rule(seconds=st.sampled_from([0.000001, 1, 4.5, 20, 31, 400]))
    def advance(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)

    @rule()
    def stage(self) -> None:
        self.play(lambda store: sweep(store, self.now))

    @rule(
        queue=st.sampled_from(QUEUES),
        limit=st.integers(1, 5),
        free_threads=st.integers(0, 4),
    )
    def take(self, queue: str, limit: int, free_threads: int) -> None:
        self.claims += self.play(
            lambda store: claim(
                store, now=self.now, queue=queue, limit=limit, free_threads=free_threads
            )
        )

    def settle(self, settlements: Sequence[Settlement]) -> None:
        accepted = self.play(lambda store: write(store, *settlements))
        for each in settlements:
            if each.id in accepted:
                assert (each.id, each.token) not in self.spent, "one settlement per token"
                self.spent.add((each.id, each.token))

    def some_claims(self, data: st.DataObject, most: int) -> list[Claim]:
        """Draw claims: those that stand, or any that was ever made."""
        standing = [
            each
            for each in self.claims
            if (self.known[each.id].state, self.known[each.id].token) == (RUN, each.token)
        ]
        stale: bool = data.draw(st.booleans())
        pool = self.claims if stale or not standing else standing
        some: list[Claim] = data.draw(
            st.lists(st.sampled_from(pool), min_size=1, max_size=most, unique_by=by_id)
        )
        return some

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SNOOZED, Outcome.CANCELLED]
        ),
        retry_after=st.sampled_from([0, 0, 5, 60]),
        permanent=st.booleans(),
    )
    def settle_some(
        self, data: st.DataObject, outcome: Outcome, retry_after: float, permanent: bool
    ) -> None:
        """Settle claims, stale ones among them."""
        some = self.some_claims(data, 3)
        self.settle(
            [
                ended(each, outcome, now=self.now, retry_after=retry_after, permanent=permanent)
                for each in some
            ]
        )

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), wrong=st.sampled_from([-1, 1, 7]))
    def settle_with_a_wrong_token(self, data: st.DataObject, wrong: int) -> None:
        work = data.draw(st.sampled_from(self.claims))
        token = self.known[work.id].token + wrong
        assert self.play(lambda store: write(store, evolve(ended(work), token=token))) == set()

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), seconds=st.sampled_from([1, 30, 90]))
    def extend(self, data: st.DataObject, seconds: float) -> None:
        some = self.some_claims(data, 4)
        until = self.now + timedelta(seconds=seconds)

        def renew(store: AnyStore) -> dict[JobId, bool]:
            with store.begin() as tx:
                return dict(tx.jobs.extend([(each.id, each.token) for each in some], until))

        self.play(renew)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        some = self.some_claims(data, 3)

        def give(store: AnyStore) -> set[JobId]:
            with store.begin() as tx:
                return tx.jobs.give_back([(each.id, each.token) for each in some])

        self.play(give)

    @rule()
    def reap(self) -> None:
        self.play(lambda store: reap_all(store, self.now))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.known)))
        if not self.known[job].state.ended:
            assert self.play(lambda store: move(store, job, "cancel", now=self.now))

    @precondition(lambda self: any(job.state in (BAD, OFF) for job in self.known.values()))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        over = [job.id for job in self.known.values() if job.state in (BAD, OFF)]
        job = data.draw(st.sampled_from(sorted(over)))
        self.retried.add(job)
        assert self.play(lambda store: move(store, job, "retry", now=self.now))

    @rule(queue=st.sampled_from(QUEUES), state=st.sampled_from(["running", "draining", "paused"]))
    def switch_queue(self, queue: str, state: str) -> None:
        def turn(store: AnyStore) -> int:
            with store.begin() as tx:
                tx.queues.set_state(queue, state, self.now)
                return tx.queues.settle_drains(self.now)

        self.play(turn)

    @rule(task=st.sampled_from(TASKS), on=st.booleans())
    def switch_task(self, task: str, on: bool) -> None:
        self.play(lambda store: switch(store, task, on=on, now=self.now))

    @rule()
    def release(self) -> None:
        def free(store: AnyStore) -> int:
            with store.begin() as tx:
                return tx.jobs.release_lanes(self.now)

        assert self.play(free) == 0, "a transaction left a row behind that might be ready"

    # what always holds

    @invariant()
    def every_store_stands_the_same_and_as_it_may(self) -> None:
        now = self.play(everything)
        assert set(self.known) <= set(now), "nothing is lost"
        for number, job in now.items():
            before = self.known.get(number)
            self.check_step(before, job)
            assert job.attempt <= job.max_attempts
            assert (job.lease_until is not None) == (job.state is RUN)
            assert (job.ended_at is not None) == job.state.ended
        self.known = now
        self.retried.clear()
        self.check_lanes(now)

    def check_step(self, before: Job | None, job: Job) -> None:
        """Only edges of the table are taken."""
        if before is None:
            assert job.state in EDGES["new"]
            return
        assert job.token >= before.token
        assert within_one_step(before.state, job.state), (before.state, job.state)
        if before.state.ended and before.id not in self.retried:
            assert job == before, "what has ended stays so"
        if job.state is RUN and before.state is not RUN:
            assert (job.token, job.attempt) == (before.token + 1, before.attempt + 1)

    def check_lanes(self, jobs: dict[JobId, Job]) -> None:
        for lane, limit in LIMITS.items():
            busy = [job for job in jobs.values() if job.lane == lane and job.state in (R, RUN)]
            assert len(busy) <= limit

    @invariant()
    def attempts_are_the_same_and_numbered_once(self) -> None:
        for number, attempts in self.play(every_attempt).items():
            numbers = [attempt.number for attempt in attempts]
            assert numbers == sorted(set(numbers))
            assert not numbers or numbers[-1] <= self.known[number].attempt


def kinds() -> list[str]:
    """Return the stores that can be had here."""
    try:
        import workbell.adapters.sql.store  # noqa: F401
    except ImportError:
        return ["memory"]
    return ["memory", "sqlite"]


def by_id(work: Claim) -> JobId:
    return work.id


def everything(store: AnyStore) -> dict[JobId, Job]:
    with store.view() as tx:
        return {job.id: job for job in tx.jobs.find(EVERYTHING, JobFilter(), limit=10_000)}


def every_attempt(store: AnyStore) -> dict[JobId, Any]:
    with store.view() as tx:
        jobs = tx.jobs.find(EVERYTHING, JobFilter(), limit=10_000)
        return {job.id: list(tx.jobs.attempts(job.id)) for job in jobs}


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(
    deadline=None,
    max_examples=2000 if FULL else 200,
    stateful_step_count=80 if FULL else 40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
