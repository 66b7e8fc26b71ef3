"""The job life cycle: random histories on every store."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import asdict, evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.contract.conftest import empty_store
from tests.contract.factories import (
    AnyStore,
    ManualClock,
    a_definition,
    a_job,
    claim,
    ended,
    keep,
    reap_all,
    release_held,
    sweep,
    switch,
    write,
)
from tests.contract.factories import move as command
from tests.contract.servers import SERVERS, is_there
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Attempt, Claim, Outcome
from workbell.domain.jobs.job import ClaimMode, Job, JobId, JobState
from workbell.ports.jobs.views import JobFilter

FULL = os.environ.get("WORKBELL_TEST_FULL") == "1"
LIMITS = {"one": 1, "two": 2}
QUEUES = ("default", "mail")
TASKS = ("echo", "mail")

S, H, R, RUN = JobState.SCHEDULED, JobState.HELD, JobState.READY, JobState.RUNNING
OK, BAD, OFF = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED

OUTCOMES = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SNOOZED, Outcome.CANCELLED)
MOVES = (
    *["add", "take", "settle"] * 4,
    *["advance", "stage", "reap", "cancel"] * 2,
    *["extend", "give_back", "retry", "release"],
    *["switch_queue", "switch_task", "settle_with_a_wrong_token"],
)

Draw = Callable[..., Any]

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
"""Allowed transitions between states."""


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
        for answer in answers[1:]:
            assert answer == answers[0], told_apart(answers[0], answer)
        return answers[0]

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def standing(self) -> list[Claim]:
        """The claims whose jobs still run under their tokens."""
        return [
            each
            for each in self.claims
            if (self.known[each.id].state, self.known[each.id].token) == (RUN, each.token)
        ]

    @initialize()
    def tasks(self) -> None:
        def add(store: AnyStore) -> None:
            with store.begin() as tx:
                for key in TASKS:
                    tx.definitions.add(a_definition(key=key))

        self.play(add)

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        """Make one move; drawn here by weight, for rules of their own are drawn too evenly."""
        name = data.draw(st.sampled_from(MOVES))
        getattr(self, name)(data.draw)

    def add(self, draw: Draw) -> None:
        concurrency_keys = draw(st.lists(st.sampled_from([None, *LIMITS]), min_size=1, max_size=4))
        mode = draw(st.sampled_from(ClaimMode))
        delay = draw(st.sampled_from([0, 0, 0, 5, 60]))
        jobs = [
            a_job(
                concurrency_key=concurrency_key,
                concurrency_limit=LIMITS.get(concurrency_key or "", 1),
                due_at=self.now + timedelta(seconds=delay),
                created_at=self.now,
                mode=mode,
                fail_when_lost=mode is ClaimMode.EXCLUSIVE,
                queue=draw(st.sampled_from(QUEUES)),
                task=draw(st.sampled_from(TASKS)),
                priority=draw(st.integers(0, 1)),
                max_attempts=draw(st.integers(1, 3)),
                owner=UserId(draw(st.integers(1, 3))),
            )
            for concurrency_key in concurrency_keys
        ]
        self.play(lambda store: [job.id for job in keep(store, *jobs, now=self.now)])

    def advance(self, draw: Draw) -> None:
        seconds = draw(st.sampled_from([0.000001, 1, 5, 10, 20, 31, 400]))
        self.clock.at += timedelta(seconds=seconds)

    def stage(self, draw: Draw) -> None:
        self.play(lambda store: sweep(store, self.now))

    def take(self, draw: Draw) -> None:
        queue = draw(st.sampled_from(QUEUES))
        limit, free_threads = draw(st.integers(1, 5)), draw(st.integers(0, 4))
        self.claims += self.play(
            lambda store: claim(
                store, now=self.now, queue=queue, limit=limit, free_threads=free_threads
            )
        )

    def some_claims(self, draw: Draw, most: int) -> list[Claim]:
        """Draw claims: mostly those that stand, or any that was ever made."""
        standing = [
            each
            for each in self.claims
            if (self.known[each.id].state, self.known[each.id].token) == (RUN, each.token)
        ]
        pool = standing if draw(st.integers(0, 3)) else self.claims
        if not pool:
            return []
        some: list[Claim] = draw(
            st.lists(st.sampled_from(pool), min_size=1, max_size=most, unique_by=by_id)
        )
        return some

    def settle(self, draw: Draw) -> None:
        settlements = [
            ended(
                each,
                draw(st.sampled_from(OUTCOMES)),
                now=self.now,
                retry_after=draw(st.sampled_from([0, 0, 5, 60])),
                permanent=draw(st.booleans()),
            )
            for each in self.some_claims(draw, 3)
        ]
        accepted = self.play(lambda store: write(store, *settlements))
        for each in settlements:
            if each.id in accepted:
                assert (each.id, each.token) not in self.spent, "one settlement per token"
                self.spent.add((each.id, each.token))

    def settle_with_a_wrong_token(self, draw: Draw) -> None:
        wrong = draw(st.sampled_from([-1, 1, 7]))
        stale = [
            evolve(ended(each), token=self.known[each.id].token + wrong)
            for each in self.some_claims(draw, 3)
        ]
        assert self.play(lambda store: write(store, *stale)) == set()

    def extend(self, draw: Draw) -> None:
        some = self.some_claims(draw, 4)
        until = self.now + timedelta(seconds=draw(st.sampled_from([1, 30, 90])))

        def renew(store: AnyStore) -> dict[JobId, bool]:
            with store.begin() as tx:
                return dict(tx.jobs.renew_leases([(each.id, each.token) for each in some], until))

        self.play(renew)

    def give_back(self, draw: Draw) -> None:
        some = self.some_claims(draw, 3)

        def give(store: AnyStore) -> set[JobId]:
            with store.begin() as tx:
                return tx.jobs.release([(each.id, each.token) for each in some])

        self.play(give)

    def reap(self, draw: Draw) -> None:
        self.play(lambda store: reap_all(store, self.now))

    def cancel(self, draw: Draw) -> None:
        states = draw(st.sampled_from([(RUN,), (S, H, R)]))
        self.command(draw, "cancel", *states)

    def retry(self, draw: Draw) -> None:
        self.retried |= self.command(draw, "retry", BAD, OFF)

    def command(self, draw: Draw, name: str, *states: JobState) -> set[JobId]:
        """Give a command to one of the jobs in some states, if there is any."""
        pool = [job.id for job in self.known.values() if job.state in states]
        if not pool:
            return set()
        job: JobId = draw(st.sampled_from(sorted(pool)))
        assert self.play(lambda store: command(store, job, name, now=self.now))
        return {job}

    def switch_queue(self, draw: Draw) -> None:
        queue = draw(st.sampled_from(QUEUES))
        state = draw(st.sampled_from(["running", "running", "draining", "paused"]))

        def turn(store: AnyStore) -> int:
            with store.begin() as tx:
                tx.queues.set_state(queue, state, self.now)
                return tx.queues.finish_drains(self.now)

        self.play(turn)

    def switch_task(self, draw: Draw) -> None:
        task, on = draw(st.sampled_from(TASKS)), draw(st.sampled_from([True, True, False]))
        self.play(lambda store: switch(store, task, on=on, now=self.now))

    def release(self, draw: Draw) -> None:
        def free(store: AnyStore) -> int:
            with store.begin() as tx:
                return release_held(tx, self.now)

        assert self.play(free) == 0, "a transaction left a row behind that might be ready"

    # what always holds

    @invariant()
    def every_store_stands_the_same_and_as_it_may(self) -> None:
        now = self.play(everything)
        assert set(self.known) <= set(now), "nothing is lost"
        for number, job in now.items():
            before = self.known.get(number)
            self.check_step(before, job)
            assert job.tries <= job.max_attempts
            assert (job.lease_until is not None) == (job.state is RUN)
            assert (job.ended_at is not None) == job.state.ended
        self.check_attempts([job for job in now.values() if self.known.get(job.id) != job])
        self.known = now
        self.retried.clear()
        self.check_concurrency_keys(now)

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

    def check_concurrency_keys(self, jobs: dict[JobId, Job]) -> None:
        for concurrency_key, limit in LIMITS.items():
            busy = [
                job
                for job in jobs.values()
                if job.concurrency_key == concurrency_key and job.state in (R, RUN)
            ]
            assert len(busy) <= limit

    def check_attempts(self, jobs: list[Job]) -> None:
        """The attempts of jobs are the same everywhere, and numbered once."""
        numbers = [job.id for job in jobs if job.attempt]
        closed = self.play(lambda store: attempts_of(store, numbers))
        for job in jobs:
            found = [attempt.number for attempt in closed.get(job.id, ())]
            assert found == sorted(set(found))
            assert not found or found[-1] <= job.attempt


def told_apart(one: Any, other: Any) -> str:
    """Return where two answers differ: by job and field, where they are jobs."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return f"{one!r} is not {other!r}"
    return "; ".join(
        f"job {key}: {_fields(one.get(key), other.get(key))} is not "
        f"{_fields(other.get(key), one.get(key))}"
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    )


def _fields(row: Any, unlike: Any) -> Any:
    if not isinstance(row, Job) or not isinstance(unlike, Job):
        return row
    known = asdict(unlike, recurse=False)
    return {
        name: value for name, value in asdict(row, recurse=False).items() if value != known[name]
    }


@cache
def kinds() -> list[str]:
    """Return the stores that can be had here."""
    return ["memory", "sqlite", *filter(is_there, SERVERS)]


def by_id(work: Claim) -> JobId:
    return work.id


def everything(store: AnyStore) -> dict[JobId, Job]:
    with store.view() as tx:
        return {job.id: job for job in tx.jobs.find(ALL_OWNERS, JobFilter(), limit=10_000)}


def attempts_of(store: AnyStore, numbers: Sequence[JobId]) -> dict[JobId, list[Attempt]]:
    with store.view() as tx:
        return {number: list(tx.jobs.attempts(number)) for number in numbers}


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(
    deadline=None,
    max_examples=2000 if FULL else 40,
    stateful_step_count=80 if FULL else 40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
