"""Faults of child processes, their fork servers and their workers."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.faults.cluster import Cluster, Part
from tests.faults.faults import fault, under_load
from tests.faults.ledger import Ledger, Load, Row
from tests.faults.private import wait_until
from tests.faults.sla_faults import CASES

__all__ = ["CASES"]

ORPHAN_SECONDS = 1.0
"""Time after which no process of a killed worker may exist."""


def descendants(pid: int) -> list[int]:
    """Return the processes that a process and its children have started, parents first."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = list(children.get(pid, []))
    for each in found:  # grows
        found += children.get(each, [])
    return found


def fork_servers(cluster: Cluster) -> Iterator[int]:
    """Yield the fork servers of all workers."""
    for part in cluster.with_role("worker"):
        for pid in descendants(_pid(part)):
            if _parent(pid) == _pid(part) and "fork_server" in _command(pid):
                yield pid


def children(cluster: Cluster) -> list[int]:
    """Return the children that run jobs or wait for one."""
    return [
        pid for server in fork_servers(cluster) for pid in descendants(server)
        if _parent(pid) == server
    ]  # fmt: skip


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return _fields(pid)[0] != "Z"
    except OSError:
        return False


def isolated_load(cluster: Cluster) -> Load:
    """Return clients that enqueue jobs of child processes."""
    return Load(cluster.admin, threads=1, pause=0.03, tasks=("fault.isolated",), longest_ms=300)


@fault("F30")
def children_killed(cluster: Cluster, kills: int) -> Row:
    """Kill children during jobs: each kill is one attempt."""
    row = Row("F30", "SIGKILL of a child process in mid-job", f"{kills} kills")
    ledger = Ledger(cluster)
    chance = random.Random(30)
    with under_load(cluster, row, ledger, isolated_load(cluster)):
        for _ in range(kills):
            wait_until(lambda: bool(children(cluster)), "children")
            time.sleep(chance.uniform(0.05, 0.3))
            _kill(chance.choice(children(cluster) or [0]))
    crashed = ledger.count_outcomes("crashed")
    row.note = f"{crashed} attempts crashed"
    row.expect(crashed <= kills, "more attempts crashed than children were killed")
    return row


@fault("F31")
def fork_servers_killed(cluster: Cluster, kills: int) -> Row:
    """Kill fork servers: their children end with them, and other servers replace them."""
    row = Row("F31", "SIGKILL of a fork server during jobs", f"{kills} kills")
    ledger = Ledger(cluster)
    chance = random.Random(31)
    slowest = 0.0
    with under_load(cluster, row, ledger, isolated_load(cluster)):
        for _ in range(kills):
            wait_until(lambda: bool(children(cluster)), "children")
            time.sleep(chance.uniform(0.05, 0.3))
            server = next(fork_servers(cluster), 0)
            doomed = [server, *descendants(server)]
            _kill(server)
            slowest = max(slowest, _wait_for_end(row, doomed))
    row.note = (
        f"{ledger.count_outcomes('crashed')} attempts crashed, no child after {slowest:.2f} s"
    )
    return row


@fault("F32")
def parents_killed(cluster: Cluster, kills: int) -> Row:
    """Kill workers whose children run jobs: no process outlives them."""
    row = Row("F32", "SIGKILL of a worker whose children run jobs", f"{kills} kills")
    ledger = Ledger(cluster)
    chance = random.Random(32)
    slowest = 0.0
    with under_load(cluster, row, ledger, isolated_load(cluster)):
        for n in range(kills):
            workers = cluster.with_role("worker")
            part = workers[n % len(workers)]
            wait_until(part.ready, "the worker to be ready")
            with suppress(AssertionError):  # the other workers may take all jobs
                wait_until(lambda part=part: len(descendants(_pid(part))) > 1, "children", 3.0)  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.2))
            doomed = descendants(_pid(part))
            cluster.kill(part)
            slowest = max(slowest, _wait_for_end(row, doomed))
    row.note = f"no process after {slowest:.2f} s"
    return row


def _wait_for_end(row: Row, pids: list[int]) -> float:
    """Return when none of some processes was running; record those after a second."""
    began = time.monotonic()
    while any(map(is_running, pids)):
        if time.monotonic() - began > ORPHAN_SECONDS:
            left = [_command(pid) for pid in pids if is_running(pid)]
            row.expect(not left, f"{len(left)} processes outlived their parent: {left}")
            break
        time.sleep(0.01)
    return time.monotonic() - began


def _kill(pid: int) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _pid(part: Part) -> int:
    assert part.process is not None
    return part.process.pid


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    try:
        return int(_fields(pid)[1])
    except OSError:
        return 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
