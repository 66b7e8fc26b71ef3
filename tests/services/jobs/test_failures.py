"""Failed attempts: the error and traceback that they store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.services.engine import EngineFixture, RecordingContext, make_engine
from workbell.domain.errors import Invalid, NotFound, Unavailable
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Attempt, Outcome
from workbell.domain.jobs.task import Cancelled, ShuttingDown, Snooze, Task, TaskContext, TimedOut
from workbell.ports.jobs.isolation import ChildCrashed, ChildTraceback
from workbell.services.jobs.failures import Failures
from workbell.services.jobs.tracebacks import MAX_BYTES

pytestmark = pytest.mark.unit

SECRET = "correct-horse-battery"

Body = Callable[[TaskContext, Any], Any]


def attempt_of(folder: Path, body: Body, **fields: Any) -> Attempt:
    """Run a body once; return its attempt."""
    engine = make_engine(folder, Task(key="body", body=body, **fields))
    execution = evolve(engine.execution, failures=Failures([SECRET]))
    job = engine.enqueue(engine.add_user(), task_definition="body")
    (claim,) = engine.claim()
    settlement = execution.run(claim, RecordingContext(claim, engine.clock))
    assert settlement is not None
    execution.settle([settlement])
    (attempt,) = engine.jobs.attempts(SYSTEM, job.id)
    return attempt


def raising(error: BaseException) -> Body:
    def body(_: TaskContext, __: Any) -> None:
        raise error

    return body


def test_a_failed_attempt_has_the_traceback_of_its_task(tmp_path: Path) -> None:
    attempt = attempt_of(tmp_path, raising(KeyError("row 7")))
    assert attempt.outcome is Outcome.FAILED
    assert attempt.error == "KeyError: 'row 7'"
    assert attempt.traceback is not None
    first, location, *_ = attempt.traceback.splitlines()
    assert first == "Traceback (most recent call last):"
    assert location.endswith("in body")
    assert __file__ in location
    assert attempt.traceback.endswith("KeyError: 'row 7'\n")


@pytest.mark.parametrize("error", [Invalid("no such file"), NotFound("gone"), Unavailable("away")])
def test_an_expected_error_of_the_task_has_a_traceback(tmp_path: Path, error: Exception) -> None:
    attempt = attempt_of(tmp_path, raising(error))
    assert attempt.traceback is not None
    assert attempt.traceback.count("  File ") == 1


def test_an_attempt_that_timed_out_shows_where(tmp_path: Path) -> None:
    attempt = attempt_of(tmp_path, raising(TimedOut()))
    assert attempt.traceback is not None
    assert "in body" in attempt.traceback


@pytest.mark.parametrize("error", [Cancelled(), ShuttingDown(), Snooze(5)])
def test_other_ends_have_no_traceback(tmp_path: Path, error: BaseException) -> None:
    assert attempt_of(tmp_path, raising(error)).traceback is None


def test_a_success_has_no_traceback(tmp_path: Path) -> None:
    attempt = attempt_of(tmp_path, lambda *_: None)
    assert (attempt.outcome, attempt.error, attempt.traceback) == (Outcome.SUCCEEDED, None, None)


def test_secrets_are_hidden_in_error_log_and_traceback(tmp_path: Path) -> None:
    body = raising(ValueError(f"{SECRET} at http://bob:hush@host/"))
    attempt = attempt_of(tmp_path, body)
    assert attempt.error == "ValueError: *** at http://***@host/"
    assert attempt.traceback is not None
    assert attempt.traceback.endswith("ValueError: *** at http://***@host/\n")
    engine = make_engine(tmp_path, Task(key="body", body=body))
    engine.enqueue(engine.add_user(), task_definition="body")
    (claim,) = engine.claim()
    context = RecordingContext(claim, engine.clock)
    evolve(engine.execution, failures=Failures([SECRET])).run(claim, context)
    assert context.lines == ["ValueError: *** at http://***@host/"]


def test_secrets_in_the_traceback_of_a_child_are_hidden_where_it_is_cut(tmp_path: Path) -> None:
    """A child does not know them, so its parent replaces them before it cuts the text."""
    error = ValueError("bad")
    error.__cause__ = ChildTraceback("x" * (MAX_BYTES // 4 - 9) + SECRET + "y" * 20_000 + " end")
    attempt = attempt_of(tmp_path, raising(error))
    assert attempt.traceback is not None
    assert len(attempt.traceback.encode()) <= MAX_BYTES
    assert "correct" not in attempt.traceback
    assert attempt.traceback.endswith(" end")


def test_a_crashed_child_has_no_traceback(tmp_path: Path) -> None:
    attempt = attempt_of(tmp_path, raising(ChildCrashed("SIGSEGV")))
    assert (attempt.outcome, attempt.error) == (Outcome.CRASHED, "SIGSEGV")
    assert attempt.traceback is None


def test_parameters_that_no_longer_fit_have_no_traceback(engine: EngineFixture) -> None:
    job = engine.enqueue(engine.add_user(), task_definition="email", parameters={"to": "bob"})
    (claim,) = engine.claim()
    engine.run(evolve(claim, parameters={"to": 5}))
    (attempt,) = engine.jobs.attempts(SYSTEM, job.id)
    assert attempt.error is not None
    assert attempt.traceback is None


def test_an_unexpected_error_of_a_check_has_a_traceback(tmp_path: Path) -> None:
    calls: list[Any] = []

    def check(_: Actor, __: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError("the check is wrong")

    attempt = attempt_of(tmp_path, lambda *_: None, check=check)
    assert attempt.traceback is not None
    assert attempt.traceback.count("  File ") == 1
    assert "in check" in attempt.traceback


def test_a_running_attempt_has_no_end_yet(engine: EngineFixture) -> None:
    job = engine.enqueue(engine.add_user())
    engine.advance(3)
    engine.claim()
    (attempt,) = engine.jobs.attempts(SYSTEM, job.id)
    assert (attempt.outcome, attempt.duration, attempt.traceback) == (None, None, None)
    assert attempt.queue_wait is not None
    assert attempt.queue_wait.total_seconds() == 3


def test_only_the_owner_and_superusers_read_attempts(engine: EngineFixture) -> None:
    owner = engine.add_user()
    job = engine.enqueue(owner)
    assert engine.jobs.attempts(owner, job.id) == []
    assert engine.jobs.attempts(SYSTEM, job.id) == []
    with pytest.raises(NotFound):
        engine.jobs.attempts(Actor(user_id=UserId(owner.user_id + 1)), job.id)
