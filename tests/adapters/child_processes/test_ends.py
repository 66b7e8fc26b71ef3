"""Crashes, limits and interruptions of child processes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import workbell
from tests.adapters.child_processes import bodies
from tests.adapters.child_processes.harness import Pool, is_running, kill, wait_for_end, wait_until
from workbell.adapters.child_processes.pool import ChildLimits
from workbell.domain.jobs.task import Body, Interrupted, OwnershipLost, ShuttingDown
from workbell.ports.jobs.isolation import ChildCrashed


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("segfault", "SIGSEGV"),
        ("SIGKILL", "SIGKILL, not by Workbell: out of memory?"),
        ("SIGABRT", "SIGABRT"),
        ("exit", "exit status 3"),
    ],
)
def test_a_crash_names_its_signal(pool: Pool, how: str, text: str) -> None:
    run = pool.run(bodies.die, {"how": how})
    assert isinstance(run.error, ChildCrashed)
    assert str(run.error) == text
    assert pool.run(bodies.large, {"size": 1}).result == "x"
    label = text.partition(",")[0] if text.startswith("SIG") else "exit"
    assert pool.metric(f'workbell_children_crashed_total{{signal="{label}"}}') == 1


def test_a_crash_harms_no_other_job(pool: Pool) -> None:
    neighbour = pool.start(bodies.sleep, {"seconds": 0.5})
    wait_until(lambda: pool.pool.count() == 1)
    assert isinstance(pool.run(bodies.die, {"how": "segfault"}).error, ChildCrashed)
    assert neighbour.wait().result == "slept"


def test_memory_is_limited_and_the_child_replaced(pool: Pool) -> None:
    first = pool.run(bodies.describe).result["pid"]
    run = pool.run(bodies.allocate, {"mib": 1024}, memory_mib=512)
    assert type(run.error).__name__ == "MemoryError"
    assert "in allocate" in str(run.error.__cause__) if run.error else False
    assert pool.run(bodies.allocate, {"mib": 64}, memory_mib=512).result == 64 * 2**20
    assert pool.run(bodies.describe).result["pid"] != first


def test_processor_time_is_limited(pool: Pool) -> None:
    run = pool.run(bodies.compute, {"seconds": 20}, cpu_seconds=1)
    assert str(run.error) == "SIGXCPU: more than 1 s of processor time"
    assert pool.run(bodies.compute, {"seconds": 0.1}, cpu_seconds=1).result


def test_the_processor_time_of_earlier_jobs_does_not_count(pool: Pool) -> None:
    for _ in range(3):
        assert pool.run(bodies.compute, {"seconds": 0.7}, cpu_seconds=1).result
    assert pool.metric("workbell_children ") == 1


@pytest.mark.parametrize("body", [bodies.sleep, bodies.hold_interpreter, bodies.sleep_in_program])
def test_a_child_is_killed_at_its_time_limit(pool: Pool, body: Body) -> None:
    run = pool.run(body, {"pids": str(pool.pids)}, seconds=1)
    assert isinstance(run.error, workbell.TimedOut)
    assert 0.9 < run.seconds < 15
    for pid in pool.wait_for_pids():
        wait_for_end(pid)
    assert pool.metric('workbell_children_killed_total{why="timed_out"}') == 1


@pytest.mark.parametrize(
    "body", [bodies.sleep, bodies.open_fifo, bodies.sleep_in_program, bodies.log_in_threads]
)
def test_a_blocked_body_is_interrupted(pool: Pool, body: Body) -> None:
    os.mkfifo(pool.folder / "fifo")
    parameters = {"pids": str(pool.pids), "fifo": str(pool.folder / "fifo")}
    run = pool.start(body, parameters)
    pids = pool.wait_for_pids()
    pool.interrupt(run, workbell.Cancelled)
    assert isinstance(run.wait().error, workbell.Cancelled)
    for pid in pids:
        wait_for_end(pid)
    assert pool.metric('workbell_children_killed_total{why="cancelled"}') == 0


@pytest.mark.parametrize("why", [workbell.Cancelled, ShuttingDown])
def test_the_body_can_clean_up(pool: Pool, why: type[Interrupted]) -> None:
    run = pool.start(bodies.clean_up, {"pids": str(pool.pids)})
    pool.wait_for_pids()
    pool.interrupt(run, why)
    assert isinstance(run.wait().error, why)
    assert Path(f"{pool.pids}.stop").read_text() == why.__name__


def test_a_body_that_ignores_its_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    pool = Pool(tmp_path, ChildLimits(kill_grace_seconds=0.2))
    run = pool.start(bodies.stubborn, {"pids": str(pool.pids)})
    (pid,) = pool.wait_for_pids()
    pool.interrupt(run, workbell.Cancelled)
    assert isinstance(run.wait().error, workbell.Cancelled)
    assert not is_running(pid)
    assert pool.metric('workbell_children_killed_total{why="cancelled"}') == 1
    pool.pool.close()


def test_a_lost_lease_kills_the_child_at_once(pool: Pool) -> None:
    run = pool.start(bodies.clean_up, {"pids": str(pool.pids)})
    (pid,) = pool.wait_for_pids()
    pool.interrupt(run, OwnershipLost)
    assert isinstance(run.wait().error, OwnershipLost)
    wait_for_end(pid)
    assert not Path(f"{pool.pids}.stop").exists()


def test_a_checkpoint_that_raises_interrupts_the_body(pool: Pool) -> None:
    run = pool.start(bodies.flood, {"lines": 10**9})
    wait_until(lambda: len(run.context.log.lines) > 10)
    run.context.log.stop = workbell.Cancelled
    assert isinstance(run.wait().error, workbell.Cancelled)
    assert pool.metric('workbell_children_killed_total{why="cancelled"}') == 0


def test_an_error_of_the_context_kills_the_child(pool: Pool) -> None:
    run = pool.start(bodies.flood, {"lines": 10**9})
    wait_until(lambda: len(run.context.log.lines) > 10)
    run.context.log = None  # type: ignore[assignment]
    assert isinstance(run.wait().error, AttributeError)
    assert pool.pool.count() == 0


def test_a_late_interruption_does_not_stop_the_next_job(pool: Pool) -> None:
    run = pool.run(bodies.describe)
    pool.pool.interrupt(run.claim.id, workbell.Cancelled)
    pool.pool.kill(run.claim.id)
    assert pool.run(bodies.describe).result["pid"] == run.result["pid"]


def test_a_thread_of_an_ended_attempt_cannot_report(pool: Pool) -> None:
    pool.run(bodies.log_later, {"pids": str(pool.pids)})
    run = pool.start(bodies.sleep, {"pids": str(pool.pids), "seconds": 0.5})
    wait_until(Path(f"{pool.pids}.error").exists)
    assert run.wait().context.log.lines == []


def test_a_signalled_child_is_not_used_again(pool: Pool) -> None:
    run = pool.start(bodies.sleep, {"pids": str(pool.pids)})
    (pid,) = pool.wait_for_pids()
    pool.interrupt(run, workbell.Cancelled)
    run.wait()
    assert pool.run(bodies.describe).result["pid"] != pid


def test_a_child_is_reused_until_it_has_run_its_jobs(tmp_path: Path) -> None:
    pool = Pool(tmp_path, ChildLimits(jobs=3))
    pids = [pool.run(bodies.describe).result["pid"] for _ in range(6)]
    assert [pids.count(each) for each in dict.fromkeys(pids)] == [3, 3]
    pool.pool.close()


def test_an_idle_child_ends(tmp_path: Path) -> None:
    pool = Pool(tmp_path, ChildLimits(idle_seconds=0.2))
    pid = pool.run(bodies.describe).result["pid"]
    wait_until(lambda: pool.pool.count() == 0)
    wait_for_end(pid)
    pool.pool.close()


def test_a_child_that_died_while_idle_is_replaced(pool: Pool) -> None:
    pid = pool.run(bodies.describe).result["pid"]
    kill(pid)
    wait_for_end(pid)
    assert pool.run(bodies.describe).error is None


def test_a_body_that_forks_returns_once(pool: Pool) -> None:
    run = pool.run(bodies.fork, {"pids": str(pool.pids)})
    assert run.result == "parent"
    assert pool.wait_for_pids() == [70]


def test_a_killed_fork_server_is_replaced(pool: Pool) -> None:
    run = pool.start(bodies.sleep, {"pids": str(pool.pids)})
    (pid,) = pool.wait_for_pids()
    before = pool.pool.server.pid
    kill(before)
    assert isinstance(run.wait().error, ChildCrashed)
    wait_for_end(pid)
    assert pool.run(bodies.large, {"size": 1}).result == "x"
    assert pool.pool.server.pid != before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_leaves_children_to_their_worker(
    pool: Pool, number: signal.Signals
) -> None:
    run = pool.start(bodies.sleep, {"pids": str(pool.pids), "seconds": 0.5})
    (pid,) = pool.wait_for_pids()
    for each in (pool.pool.server.pid, pid):
        assert each is not None
        os.kill(each, number)
    assert run.wait().result == "slept"


def test_a_missing_module_does_not_stop_the_fork_server(tmp_path: Path) -> None:
    pool = Pool(tmp_path, modules=["no_such_module", "tests.adapters.child_processes.bodies"])
    assert pool.run(bodies.large, {"size": 1}).result == "x"
    pool.pool.close()


PARENT = """
    import sys
    from pathlib import Path
    from tests.adapters.child_processes import bodies
    from tests.adapters.child_processes.harness import Pool
    folder = Path(sys.argv[1])
    runs = [Pool(folder).start(getattr(bodies, name), {"pids": f"{folder}/{name}"})
            for name in ("hold_interpreter", "sleep_in_program", "stubborn")]
    print("started", flush=True)
    runs[0].wait()
"""


def test_no_process_outlives_a_killed_worker(tmp_path: Path) -> None:
    """Also none that holds the interpreter, or that a body has started."""
    root = Path(__file__).parents[3]
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path)], cwd=root
    )
    files = [tmp_path / name for name in ("hold_interpreter", "sleep_in_program", "stubborn")]
    wait_until(lambda: all(each.exists() for each in files))
    pids = [int(pid) for each in files for pid in each.read_text().split()]
    servers = {_parent(pids[0]), _parent(pids[1])}
    assert len(pids) == 4
    kill(parent.pid)
    parent.wait()
    wait_for_end(*[*pids, *servers])


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_closing_the_pool_ends_every_process(pool: Pool) -> None:
    run = pool.start(bodies.stubborn, {"pids": str(pool.pids)})
    pids = [*pool.wait_for_pids(), pool.pool.server.pid or 0]
    pool.pool.close()
    assert isinstance(run.wait().error, ShuttingDown)
    wait_for_end(*pids)
