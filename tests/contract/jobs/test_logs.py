"""Log lines and artifacts."""

from contextlib import suppress

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, a_job, after, ended, keep, running, write
from workbell.domain.jobs.attempt import Artifact, LogLine
from workbell.domain.jobs.job import JobId, JobState


@pytest.fixture
def job_id(store: AnyStore) -> JobId:
    return keep(store, a_job())[0].id


def some(first: int, last: int, attempt: int = 1) -> list[LogLine]:
    """Return numbered lines, both ends included."""
    return [
        LogLine(attempt, n, after(n / 1000), "info", f"line {n}") for n in range(first, last + 1)
    ]


def append(
    store: AnyStore, job_id: JobId, lines: list[LogLine], *, head: int = 200, tail: int = 800
) -> None:
    with store.begin() as tx:
        tx.logs.append(job_id, lines, keep_head=head, keep_tail=tail)


def seqs(store: AnyStore, job_id: JobId, attempt: int = 1) -> list[int]:
    with store.view() as tx:
        return [line.seq for line in tx.logs.lines(job_id, attempt=attempt)]


def test_lines_are_returned_unchanged(store: AnyStore, job_id: JobId) -> None:
    lines = [
        LogLine(1, 1, after(0.000001), "warning", "Grüße – 你好 🛎\nsecond line"),
        LogLine(1, 2, after(1), "error", ""),
        LogLine(1, 3, after(1), "debug", "x" * 5000),
    ]
    append(store, job_id, lines)
    with store.view() as tx:
        assert list(tx.logs.lines(job_id)) == lines


def test_a_job_without_lines_has_none(store: AnyStore, job_id: JobId) -> None:
    append(store, job_id, [])
    with store.view() as tx:
        assert list(tx.logs.lines(job_id)) == []
        assert list(tx.logs.lines(JobId(999))) == []
        assert list(tx.logs.artifacts(job_id)) == []


def test_lines_are_ordered_by_attempt_and_seq(store: AnyStore, job_id: JobId) -> None:
    append(store, job_id, some(1, 3, attempt=2))
    append(store, job_id, some(3, 4))
    append(store, job_id, some(1, 2))
    with store.view() as tx:
        lines = tx.logs.lines(job_id)
        assert [(line.attempt, line.seq) for line in lines] == [
            (1, 1),
            (1, 2),
            (1, 3),
            (1, 4),
            (2, 1),
            (2, 2),
            (2, 3),
        ]
        assert [line.attempt for line in tx.logs.lines(job_id, attempt=2)] == [2] * 3
        assert [line.seq for line in tx.logs.lines(job_id, attempt=1, after=2)] == [3, 4]
        assert [line.seq for line in tx.logs.lines(job_id, attempt=1, after=1, limit=2)] == [2, 3]
        assert len(tx.logs.lines(job_id, limit=5)) == 5
        assert list(tx.logs.lines(job_id, attempt=3)) == []


def test_the_first_and_last_lines_are_retained(store: AnyStore, job_id: JobId) -> None:
    append(store, job_id, some(1, 10), head=2, tail=3)
    assert seqs(store, job_id) == [1, 2, 8, 9, 10]
    append(store, job_id, some(11, 12), head=2, tail=3)
    assert seqs(store, job_id) == [1, 2, 10, 11, 12]


def test_lines_are_retained_with_small_appends_too(store: AnyStore, job_id: JobId) -> None:
    for n in range(1, 12):
        append(store, job_id, some(n, n), head=2, tail=3)
    assert seqs(store, job_id) == [1, 2, 9, 10, 11]


def test_nothing_is_cut_within_the_bounds(store: AnyStore, job_id: JobId) -> None:
    append(store, job_id, some(1, 5), head=2, tail=3)
    assert seqs(store, job_id) == [1, 2, 3, 4, 5]


def test_each_attempt_and_job_has_its_own_bounds(store: AnyStore, job_id: JobId) -> None:
    (other,) = keep(store, a_job())
    append(store, job_id, some(1, 4), head=2, tail=2)
    append(store, job_id, some(1, 4, attempt=2), head=2, tail=2)
    append(store, other.id, some(1, 6), head=2, tail=2)
    assert seqs(store, job_id) == [1, 2, 3, 4]
    assert seqs(store, job_id, 2) == [1, 2, 3, 4]
    assert seqs(store, other.id) == [1, 2, 5, 6]


REPORT = Artifact("report – ü.html", "text/html", 5_000_000_000, "ab" * 32, "ab/cdef")


def test_artifacts_are_listed_by_name(store: AnyStore, job_id: JobId) -> None:
    data = Artifact("a.csv", "text/csv", 0, "cd" * 32, "cd/ef")
    with store.begin() as tx:
        tx.logs.add_artifact(job_id, REPORT)
        tx.logs.add_artifact(job_id, data)
    with store.view() as tx:
        assert list(tx.logs.artifacts(job_id)) == [data, REPORT]


def test_an_artifact_takes_the_place_of_one_of_the_same_name(
    store: AnyStore, job_id: JobId
) -> None:
    (other,) = keep(store, a_job())
    newer = evolve(REPORT, size=9, key="other", sha256="ef" * 32)
    with store.begin() as tx:
        tx.logs.add_artifact(job_id, REPORT)
        tx.logs.add_artifact(other.id, REPORT)
        tx.logs.add_artifact(job_id, newer)
    with store.view() as tx:
        assert list(tx.logs.artifacts(job_id)) == [newer]
        assert list(tx.logs.artifacts(other.id)) == [REPORT]


def test_a_reserved_file_is_not_listed_and_is_pruned_with_its_job(store: AnyStore) -> None:
    """Whether it was never made, became an artifact, or was replaced as one."""
    (job,) = running(store, a_job())
    newer = evolve(REPORT, key="newer")
    with store.begin() as tx:
        for key in ("never-made", REPORT.key, newer.key):
            tx.logs.reserve_file_key(job.id, key)
        assert tx.logs.artifacts(job.id) == []
        assert tx.logs.add_artifact(job.id, REPORT) is None
        assert tx.logs.add_artifact(job.id, newer) == REPORT.key
        assert list(tx.logs.artifacts(job.id)) == [newer]
    write(store, ended(job))
    with store.begin() as tx:
        gone = tx.jobs.prune([JobState.SUCCEEDED], after(1), limit=9)
    assert sorted(gone) == sorted(["never-made", REPORT.key, newer.key])


def test_lines_of_a_transaction_that_raises_are_gone(store: AnyStore, job_id: JobId) -> None:
    with suppress(ZeroDivisionError), store.begin() as tx:
        tx.logs.append(job_id, [LogLine(1, 1, NOON, "info", "x")], keep_head=1, keep_tail=1)
        raise ZeroDivisionError
    assert seqs(store, job_id) == []
