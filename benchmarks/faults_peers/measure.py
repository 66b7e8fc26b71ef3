"""
The faults of `make faults`, injected into Celery with beat and into Dramatiq.

Run it from the project's folder: `python -m benchmarks.faults_peers.measure`.
It creates a virtual environment next to this file, starts a private Redis, and
writes `benchmarks/results/guarantees/faults_peers.json`. It first injects the
same faults into Workbell, so that all results are from one run.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from tests.faults.private import OwnRedis, wait_until

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "guarantees" / "faults_peers.json"
VENV = HERE / ".venv"
PATIENCE = 60.0
"""Seconds after the load in which tasks may still run."""
SCHEDULES = 20
STEADY, OVERLOAD = 0.03, 0.01
"""Seconds between two tasks; workers keep up with STEADY only."""
OWN = {"F1": "killed", "F4": "flushed", "F5": "restarted", "F2b": "scheduler", "F3": "doubled"}


@define
class Outcome:
    """Result of one fault: accepted tasks, and how many were lost or run again."""

    fault: str
    system: str
    variant: str
    asked: int
    lost: int
    again: int
    waited: float


@define
class System:
    """Processes of Celery or Dramatiq, which can be killed and restarted."""

    name: str
    variant: str
    folder: Path
    redis: OwnRedis
    processes: list[tuple[list[str], subprocess.Popen[bytes]]] = field(factory=list)

    @property
    def notes(self) -> Path:
        """File with the records of task bodies."""
        return self.folder / "notes"

    def environ(self) -> dict[str, str]:
        """Return the environment of the processes."""
        return {
            **os.environ,
            "FAULT_REDIS": self.redis.url,
            "FAULT_NOTES": str(self.notes),
            "FAULT_VARIANT": self.variant,
            "PYTHONPATH": str(HERE),
        }

    def start(self, *words: str) -> int:
        """Start a process; return its index."""
        command = [str(VENV / "bin" / words[0]), *words[1:]]
        self.processes.append((command, self._run(command)))
        return len(self.processes) - 1

    def workers(self, count: int = 2) -> list[int]:
        """Start workers."""
        if self.name == "dramatiq":
            words = ["dramatiq", "dramatiq_app", "--processes", "1", "--threads", "4"]
            return [self.start(*words) for _ in range(count)]
        return [
            self.start(
                "celery", "-A", "celery_app", "worker", "--concurrency", "4",
                "--hostname", f"w{n}@%h", "--loglevel", "ERROR",
            )
            for n in range(count)
        ]  # fmt: skip

    def beat(self, n: int = 0) -> int:
        """Start a scheduler with its own state file."""
        state = str(self.folder / f"beat-{n}")
        return self.start("celery", "-A", "celery_app", "beat", "--schedule", state, "--pidfile=")

    def kill(self, index: int) -> None:
        """Kill a process and its children at once."""
        process = self.processes[index][1]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, index: int) -> None:
        """Restart a killed process."""
        command, _ = self.processes[index]
        self.processes[index] = command, self._run(command)

    def close(self) -> None:
        """Kill all processes."""
        for index, (_, process) in enumerate(self.processes):
            if process.poll() is None:
                self.kill(index)

    def count_ended(self) -> Counter[str]:
        """Count the ended runs of each task."""
        if not self.notes.exists():
            return Counter()
        lines = self.notes.read_text().splitlines()
        return Counter(line.split()[1] for line in lines if line.startswith("ended"))

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, env=self.environ(), cwd=self.folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


@contextmanager
def running(name: str, variant: str) -> Iterator[System]:
    """Run a system with two working workers on a private Redis."""
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        redis = OwnRedis(Path(scratch))
        redis.start()
        system = System(name, variant, Path(scratch), redis)
        try:
            system.workers()
            with sending(system, "warm-up") as asked:
                wait_until(lambda: len(system.count_ended()) > 20, f"{name} to work")
            wait_until(lambda: asked[0] <= len(system.count_ended()), f"{name} to be done")
            yield system
        finally:
            system.close()
            redis.close()


@contextmanager
def sending(system: System, first: str, pace: float = STEADY) -> Iterator[list[Any]]:
    """Send tasks during the block; then the list holds their count and numbers."""
    sender = subprocess.Popen(
        [str(VENV / "bin" / "python"), str(HERE / "sender.py"), system.name, first, str(pace)],
        env=system.environ(), cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    result: list[Any] = [0, []]
    try:
        yield result
    finally:
        output, _ = sender.communicate()
        result[1] = output.split()
        result[0] = len(result[1])


def account(system: System, fault: str, asked: list[str]) -> Outcome:
    """Wait until all accepted tasks have run, at most PATIENCE, and count."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE and any(not system.count_ended()[n] for n in asked):
        time.sleep(0.2)
    waited = time.monotonic() - began
    ended = system.count_ended()
    return Outcome(
        fault=fault, system=system.name, variant=system.variant, asked=len(asked),
        lost=sum(ended[n] == 0 for n in asked), again=sum(max(0, ended[n] - 1) for n in asked),
        waited=round(waited, 1),
    )  # fmt: skip


def killed(system: System, times: int) -> Outcome:
    """Kill workers during tasks, and restart them."""
    chance = random.Random(1)
    with sending(system, "killed") as asked:
        for n in range(times):
            time.sleep(chance.uniform(1.0, 2.0))
            system.kill(n % 2)
            system.restart(n % 2)
        time.sleep(3)
    return account(system, "killed", asked[1])


def flushed(system: System, times: int) -> Outcome:
    """Flush Redis while tasks wait."""
    with sending(system, "flushed", OVERLOAD) as asked:
        for _ in range(times):
            time.sleep(1.0)
            system.redis.flush()
        time.sleep(2)
    return account(system, "flushed", asked[1])


def restarted(system: System, _: int) -> Outcome:
    """Kill Redis, which runs without persistence, and restart it."""
    with sending(system, "restarted", OVERLOAD) as asked:
        time.sleep(3)
        system.redis.stop()
        time.sleep(2)
        system.redis.start()
        time.sleep(5)
    return account(system, "restarted", asked[1])


def scheduler(system: System, _: int) -> Outcome:
    """Kill the scheduler just before a minute, and just after the next."""
    index = system.beat()
    first = _next_minute(minimum=8)
    _sleep_until(first - 2)
    system.kill(index)
    _sleep_until(first + 2)
    system.restart(index)
    _sleep_until(first + 60.7)
    system.kill(index)
    system.restart(index)
    _sleep_until(first + 75)
    return _ticks(system, "scheduler", first, 2)


def doubled(system: System, _: int) -> Outcome:
    """Run two schedulers at once."""
    system.beat(1)
    system.beat(2)
    first = _next_minute(minimum=8)
    _sleep_until(first + 15)
    return _ticks(system, "doubled", first, 1)


def _ticks(system: System, fault: str, first: float, minutes: int) -> Outcome:
    expected = [
        f"tick-{n}-{round(first / 60) + m}" for n in range(SCHEDULES) for m in range(minutes)
    ]
    ended = system.count_ended()
    return Outcome(
        fault=fault, system=system.name, variant=system.variant, asked=len(expected),
        lost=sum(ended[t] == 0 for t in expected),
        again=sum(max(0, ended[t] - 1) for t in expected), waited=0.0,
    )  # fmt: skip


def _next_minute(minimum: float) -> float:
    return (int((time.time() + minimum) / 60) + 1) * 60.0


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def environment() -> None:
    """Create the virtual environment of the other products, if missing."""
    if not (VENV / "bin" / "celery").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(VENV / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=True)


def main() -> int:
    """Inject all faults into all systems, and store the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument(
        "--own", type=Path, help="Existing results of Workbell, instead of a new run."
    )
    args = parser.parse_args()
    environment()
    own = args.own or RESULTS.with_name("faults_own.json")
    if args.own is None:
        subprocess.run(
            [sys.executable, "-m", "tests.faults.run", "--kinds", "postgresql", "--kills",
             str(args.kills), "--only", *OWN, "--json", str(own)],
            check=True,
        )  # fmt: skip
    rows: list[Outcome] = []
    faults: list[Callable[[System, int], Outcome]] = [killed, flushed, restarted]
    for name in ("celery", "dramatiq"):
        for variant in ("stock", "safest"):
            for inject in faults + ([scheduler, doubled] if name == "celery" else []):
                if variant == "safest" and inject in (scheduler, doubled):
                    continue  # worker settings do not affect beat
                if args.only and inject.__name__ not in args.only:
                    continue
                with running(name, variant) as system:
                    rows.append(inject(system, args.kills))
                print(rows[-1], file=sys.stderr, flush=True)
    results = {
        "command": f"python -m benchmarks.faults_peers.measure --kills {args.kills}",
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "patience": PATIENCE,
        "packages": [
            line for line in (HERE / "requirements.txt").read_text().split()
            if line.startswith(("celery", "dramatiq", "redis"))
        ],
        "own": json.loads(own.read_text())["rows"],
        "peers": [asdict(row) for row in rows],
    }  # fmt: skip
    if args.own is None:
        own.unlink()
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
