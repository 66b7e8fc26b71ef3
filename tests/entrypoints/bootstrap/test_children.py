"""Jobs in child processes: outcomes, cancellation and shutdown, on each store."""

import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

import workbell
from tests.adapters.child_processes import bodies
from tests.adapters.child_processes.harness import kill, wait_for_end, wait_until
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.attempt import Attempt, Outcome
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import Isolation, OnLost, Task
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings, load
from workbell.services.jobs.requests import NewJob

Start = Callable[..., JobId]


def fork_in_thread(_: workbell.TaskContext, __: bodies.Parameters) -> str:
    """Fork in a thread of the worker; the copy must not settle the job."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 70
        return "parent"
    return "child"


def commit_in_fork(_: workbell.TaskContext, __: bodies.Parameters) -> int:
    """Use the store of the worker in a fork of it."""
    (application,) = APPLICATIONS
    pid = os.fork()
    if not pid:
        with application.store.view():
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


APPLICATIONS: list[Application] = []
PROCESS = {
    each.__name__: each
    for each in (
        bodies.clean_up,
        bodies.describe,
        bodies.die,
        bodies.fail,
        bodies.fork,
        bodies.report,
        bodies.sleep,
        bodies.stubborn,
    )
}


@pytest.fixture(params=["memory", "sqlite"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Application]:
    """Return an application with one task for each body."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'w.db'}"
    tasks = [Task(key=key, body=body, isolation=Isolation.PROCESS) for key, body in PROCESS.items()]
    tasks += [
        Task(key="once", body=bodies.die, isolation=Isolation.PROCESS, on_lost=OnLost.FAIL),
        Task(key="fork_in_thread", body=fork_in_thread),
        Task(key="commit_in_fork", body=commit_in_fork),
    ]
    settings = Settings(database_url=url, data_dir=tmp_path, lease_seconds=2, kill_grace_seconds=1)
    application = build(settings, tasks=tasks, issues_tokens=False)
    application.migrate_and_register()
    APPLICATIONS[:] = [application]
    yield application
    application.close()


@pytest.fixture
def start(application: Application) -> Generator[Start]:
    """Return a function that enqueues a job; a worker runs it."""
    runtime = application.runtime(threads=2, scheduler=False)
    runtime.start()

    def start(task: str, **parameters: Any) -> JobId:
        return enqueue(application, task, parameters)

    yield start
    runtime.stop(10.0)


def enqueue(application: Application, task: str, parameters: dict[str, Any]) -> JobId:
    """Enqueue a job; return its id."""
    new = NewJob(task_definition=task, parameters=parameters)
    return application.jobs.create(SYSTEM, new)[0].id


def ended(application: Application, job_id: JobId) -> Job:
    """Wait for the end of an attempt; return its job."""
    wait_until(lambda: bool(attempts(application, job_id)))
    return application.jobs.get(SYSTEM, job_id)


def attempts(application: Application, job_id: JobId) -> list[Attempt]:
    """Return the ended attempts of a job."""
    with application.store.view() as tx:
        return list(tx.jobs.attempts(job_id))


def pid_of(path: Path) -> int:
    """Wait until a body has written its process id; return it."""
    wait_until(path.exists)
    return int(path.read_text().split()[0])


def test_an_attempt_records_its_isolation(application: Application, start: Start) -> None:
    isolated, plain = start("describe"), start("fork_in_thread")
    assert ended(application, isolated).state is JobState.SUCCEEDED
    assert ended(application, plain).state is JobState.SUCCEEDED
    for job_id, isolation in ((isolated, Isolation.PROCESS), (plain, Isolation.THREAD)):
        assert [each.isolation for each in attempts(application, job_id)] == [isolation]


def test_reports_of_a_child_are_stored(
    application: Application, start: Start, tmp_path: Path
) -> None:
    job = ended(application, start("report", folder=str(tmp_path)))
    assert (job.state, job.result) == (JobState.SUCCEEDED, "reported")
    assert job.progress is not None
    assert (job.progress.done, job.progress.total, job.progress.note) == (1, 2, "half")
    with application.store.view() as tx:
        assert [line.text for line in tx.logs.lines(job.id)][:2] == ["line n=1", "line n=2"]
        assert [each.size for each in tx.logs.artifacts(job.id)] == [3, 11, 100_000]


def test_a_crash_is_an_attempt(application: Application, start: Start) -> None:
    job = ended(application, start("die", how="segfault"))
    attempt = attempts(application, job.id)[0]
    assert (attempt.outcome, attempt.error) == (Outcome.CRASHED, "SIGSEGV")
    assert (job.state.ended, job.max_attempts) == (False, 3)


def test_a_crash_fails_a_job_that_must_not_run_twice(
    application: Application, start: Start
) -> None:
    job = ended(application, start("once", how="SIGKILL"))
    assert job.state is JobState.FAILED
    assert job.reason == "SIGKILL, not by Workbell: out of memory?"


def test_a_fork_of_a_body_does_not_settle_its_job(application: Application, start: Start) -> None:
    for task in ("fork", "fork_in_thread"):
        job = ended(application, start(task))
        assert (job.state, job.result) == (JobState.SUCCEEDED, "parent")
        assert len(attempts(application, job.id)) == 1


def test_a_fork_cannot_use_the_store_of_its_parent(application: Application, start: Start) -> None:
    assert ended(application, start("commit_in_fork")).result == 70


def test_a_cancel_interrupts_the_body(
    application: Application, start: Start, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    job_id = start("clean_up", pids=str(pids))
    pid = pid_of(pids)
    application.jobs.cancel(SYSTEM, job_id)
    job = ended(application, job_id)
    assert job.state is JobState.CANCELLED
    assert Path(f"{pids}.stop").read_text() == "Cancelled"
    wait_for_end(pid)


@pytest.mark.parametrize("task", ["clean_up", "stubborn"])
def test_a_stop_of_the_worker_is_no_attempt(
    application: Application, tmp_path: Path, task: str
) -> None:
    """Neither of a body that ends at once, nor of one that is killed after the grace."""
    runtime = application.runtime(threads=1, scheduler=False)
    runtime.start()
    pids = tmp_path / "pids"
    job_id = enqueue(application, task, {"pids": str(pids)})
    pid = pid_of(pids)
    assert runtime.stop(15.0)
    job = ended(application, job_id)
    assert [each.outcome for each in attempts(application, job_id)] == [Outcome.INTERRUPTED]
    assert job.state in (JobState.SCHEDULED, JobState.READY)
    wait_for_end(pid)


def test_jobs_survive_their_fork_server(
    application: Application, start: Start, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    job_id = start("sleep", pids=str(pids))
    pid = pid_of(pids)
    kill(_parent(pid))
    assert not ended(application, job_id).state.ended
    assert attempts(application, job_id)[0].outcome is Outcome.CRASHED
    wait_for_end(pid)
    assert ended(application, start("describe")).state is JobState.SUCCEEDED


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_run_until_idle_uses_children(tmp_path: Path) -> None:
    task = Task(key="describe", body=bodies.describe, isolation=Isolation.PROCESS)
    with workbell.open("memory://", tasks=[task], data_dir=tmp_path) as client:
        job = client.jobs.enqueue("describe")
        client.run_until_idle()
        result = client.jobs.get(job.id).result
    assert result["pid"] != os.getpid()
    wait_for_end(result["pid"])


def test_no_process_and_no_thread_is_started_before_a_job_needs_it(tmp_path: Path) -> None:
    task = Task(key="fork", body=fork_in_thread)
    isolated = Task(key="describe", body=bodies.describe, isolation=Isolation.PROCESS)
    with workbell.open("memory://", tasks=[task, isolated], data_dir=tmp_path) as client:
        before = threading.active_count()
        client.jobs.enqueue("fork")
        client.run_until_idle()
        assert client.application.execution.children is not None
        assert client.application.execution.children.server.pid is None  # type: ignore[attr-defined]
        assert threading.active_count() == before


def test_the_setting_is_for_own_tasks_that_do_not_say(tmp_path: Path) -> None:
    settings = Settings(
        database_url="memory://", data_dir=tmp_path, task_isolation=Isolation.PROCESS
    )
    silent = Task(key="silent", body=bodies.describe)
    thread = Task(key="thread", body=bodies.describe, isolation=Isolation.THREAD)
    application = build(settings, tasks=[silent, thread], issues_tokens=False)
    isolation = {task.key: task.isolation for task in application.tasks.all()}
    assert (isolation["silent"], isolation["thread"]) == (Isolation.PROCESS, Isolation.THREAD)
    in_children = {key for key, value in isolation.items() if value is Isolation.PROCESS}
    assert in_children == {"silent", "data.process", "files.backup"}
    application.close()


def test_a_body_that_no_child_can_import_is_refused_at_the_start(tmp_path: Path) -> None:
    task = Task(key="local", body=lambda _, __: None, isolation=Isolation.PROCESS)
    settings = Settings(database_url="memory://", data_dir=tmp_path)
    with pytest.raises(Invalid, match="'local' cannot run in a child process"):
        build(settings, tasks=[task], issues_tokens=False)


def test_the_settings_of_children_have_defaults() -> None:
    settings = load(environ={})
    assert settings.task_isolation is Isolation.THREAD
    assert (settings.child_jobs, settings.child_idle_seconds) == (1_000, 300)
    assert (settings.child_nice, settings.child_memory_mib) == (10, 0)
    assert settings.kill_grace_seconds == 5
