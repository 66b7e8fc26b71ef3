"""The context of a body in a child process, and its reports to the worker."""

import os
import traceback
from pathlib import Path

import pytest

import workbell
from tests.adapters.child_processes import bodies
from tests.adapters.child_processes.harness import NOW, Pool, Recorder, a_claim
from workbell.domain.errors import Invalid
from workbell.domain.jobs.task import Isolation, ResultForHook, Task


def test_parameters_arrive_as_their_class_and_the_result_returns(pool: Pool) -> None:
    run = pool.run(bodies.greet, {"name": "you", "times": 2}, parameters=bodies.Greeting)
    assert (run.result, run.error) == ("hello hello you", None)


def test_the_context_describes_the_job(pool: Pool) -> None:
    run = pool.run(bodies.describe)
    seen = run.result
    expected = {"attempt": 2, "owner": 7, "schedule": 5, "tick": "2026-03-01T12:00:00Z"}
    assert {name: seen[name] for name in expected} == expected
    assert (seen["job"], seen["key"]) == (run.claim.id, f"job-{run.claim.id}")
    assert seen["now"].startswith(f"{NOW:%Y-%m-%dT%H:%M:}")


def test_a_child_has_its_own_group_one_thread_and_no_database(pool: Pool) -> None:
    seen = pool.run(bodies.describe).result
    assert (seen["group"], seen["nice"], seen["threads"]) == (seen["pid"], os.nice(0) + 1, 1)
    assert seen["database"] == []
    assert sum(each.startswith("socket:") for each in seen["files"]) == 1
    assert len(seen["files"]) == 4


def test_progress_log_lines_and_files_reach_the_worker(pool: Pool, tmp_path: Path) -> None:
    run = pool.run(bodies.report, {"folder": str(tmp_path)})
    assert (run.result, run.error) == ("reported", None)
    assert run.context.reports == [(1, 2, "half")]
    levels = [level for level, _, _ in run.context.log.lines]
    assert levels == ["debug", "info", "warning", "error"]
    assert run.context.log.lines[1] == ("info", "line", {"n": 2})
    assert str(2**80) in run.context.log.lines[2][1]
    assert run.context.files["bytes.bin"] == ("text/plain", b"abc")
    assert len(run.context.files["stream.bin"][1]) == 100_000
    assert run.context.files["path.txt"][1] == b"from a path"
    assert not [*(tmp_path / "children").rglob("tmp*")]


def test_a_refused_artifact_raises_in_the_body(pool: Pool) -> None:
    assert isinstance(pool.run(bodies.bad_artifact).error, Invalid)


def test_a_flood_of_log_lines_arrives_in_order(pool: Pool) -> None:
    run = pool.run(bodies.flood, {"lines": 20_000})
    assert run.result == 20_000
    assert [values["n"] for _, _, values in run.context.log.lines] == [*range(20_000)]


@pytest.mark.parametrize(("size", "fits"), [(65_000, True), (70_000, False), (3_000_000, False)])
def test_a_result_is_limited_as_in_a_thread(pool: Pool, size: int, fits: bool) -> None:
    run = pool.run(bodies.large, {"size": size})
    assert run.result == ("x" * size if fits else None)
    assert fits or "store it as an artifact" in str(run.error)
    assert pool.run(bodies.large, {"size": 1}).result == "x"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("ValueError", "no text ?"),
        ("Invalid", "wrong"),
        ("NotFound", "gone"),
        ("Unavailable", "away"),
        ("Throttled", "Too many requests; retry in 30 seconds."),
        ("Snooze", "snoozed for 40 seconds"),
        ("SystemExit", "3"),
        ("KeyboardInterrupt", ""),
    ],
)
def test_an_error_keeps_its_class_and_text(pool: Pool, error: str, text: str) -> None:
    raised = pool.run(bodies.fail, {"error": error}).error
    assert (type(raised).__name__, str(raised)) == (error, text)
    assert getattr(raised, "retry_after", None) == {"Unavailable": 70, "Throttled": 30}.get(error)
    if error == "Snooze":
        assert isinstance(raised, workbell.Snooze)
        assert raised.seconds == 40


def test_the_traceback_of_the_child_is_the_cause_without_engine_and_locals(pool: Pool) -> None:
    raised = pool.run(bodies.fail, {"error": "ValueError"}).error
    assert raised is not None
    text = "".join(traceback.format_exception(raised.__cause__))
    assert "in fail" in text
    assert "child_processes/child.py" not in text
    assert "a local variable" not in text.replace('secret = "a local variable"', "")


def test_a_result_without_a_json_form_is_invalid(pool: Pool) -> None:
    assert isinstance(pool.run(bodies.return_object).error, Invalid)


def give_hook_result(_: workbell.TaskContext, __: bodies.Parameters) -> ResultForHook:
    """Return data for a hook."""
    return ResultForHook(1, object())


def test_data_for_a_hook_is_refused(pool: Pool) -> None:
    assert type(pool.run(give_hook_result).error).__name__ == "TypeError"


def test_a_body_must_be_importable(pool: Pool) -> None:
    def local(_: workbell.TaskContext, __: bodies.Parameters) -> None: ...

    with pytest.raises(Invalid, match="a function of a module"):
        pool.pool.check(Task(key="local", body=local, isolation=Isolation.PROCESS))


def test_a_stop_before_the_start_prevents_the_body(pool: Pool) -> None:
    claim = a_claim("sleep", {}, 30)
    context = Recorder(claim, stop=workbell.Cancelled)
    with pytest.raises(workbell.Cancelled):
        pool.pool.run(Task(key="sleep", body=bodies.sleep), claim, context)
