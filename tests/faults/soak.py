"""Soak test: load an installation, and watch memory and guarantees."""

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from attrs import asdict

from tests.faults.cluster import Cluster
from tests.faults.ledger import Ledger, Load, Row
from tests.faults.private import Database, NoServer, given, own_database
from tests.faults.run import report, running

WARM_UP = 0.2
MAX_GROWTH = 1.05
WINDOW = 0.1
PAUSE = 0.03
"""Seconds between two jobs of each client: about 80 jobs/s in total."""

Samples = dict[str, list[int]]


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def soak(cluster: Cluster, seconds: float) -> tuple[Row, Samples, list[float]]:
    """Return the result, memory samples by process, and the slowest responses."""
    row = Row("F22", "soak", f"{seconds / 60:.1f} min")
    ledger = Ledger(cluster)
    ledger.schedule(60, minutes=1)
    names = {f"{part.role} {n}": part for n, part in enumerate(cluster.parts)}
    samples: Samples = {name: [] for name in names}
    slowest: list[float] = []
    load = Load(cluster.admin, pause=PAUSE).start()
    until = time.monotonic() + seconds
    pause = max(0.5, min(10.0, seconds / 60))
    while time.monotonic() < until:
        time.sleep(pause)
        for name, part in names.items():
            assert part.process is not None
            samples[name].append(resident(part.process.pid))
        slowest.append(load.slowest)
        load.slowest = 0.0
        memory = ", ".join(f"{name} {each[-1] / 2**20:.1f}" for name, each in samples.items())
        report(f"{len(load.accepted)} jobs, MiB: {memory}")
    load.end()
    row.drain = ledger.drain()
    ledger.account(row, load.accepted)
    row.expect(all(part.starts == 1 for part in cluster.parts), "a process has ended")
    return row, samples, slowest


def growth(samples: list[int]) -> tuple[float, float]:
    """Return the memory after warm-up and at the end: medians of a tenth of the time."""
    warm = samples[int(len(samples) * WARM_UP) :]
    window = max(1, int(len(samples) * WINDOW))
    return median(warm[:window]), median(warm[-window:])


def open_database(kind: str, url: str | None, folder: Path) -> Database:
    """Return the database: on the user's server, a file, or a private server."""
    if url is not None:
        return given(url, f"workbell_soak_{os.getpid()}")
    if kind == "sqlite":
        return NoServer(f"sqlite:///{folder / 'run' / 'workbell.db'}")
    server = own_database(kind, folder / "server")
    assert server is not None, f"{kind} is not installed"
    return server


def main() -> int:
    """Run the soak test and print results; return 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=30.0)
    parser.add_argument("--kind", choices=["sqlite", "postgresql", "mariadb"], default="sqlite")
    parser.add_argument("--database", help="Server for a temporary database.")
    parser.add_argument(
        "--redis", help="Empty logical database of Redis; default: a private server."
    )
    parser.add_argument("--json", type=Path, help="Also write the results to this file.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workbell-soak-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        with running(
            open_database(args.kind, args.database, folder), args.redis, folder / "run"
        ) as cluster:
            row, samples, slowest = soak(cluster, args.minutes * 60)
    memory = {name: growth(each) for name, each in samples.items()}
    for name in ("jobs", "ticks", "lost", "doubled", "rerun", "drain"):
        print(f"{name:16} {getattr(row, name)}")
    half = len(slowest) // 2
    print(f"{'slowest response':16} {max(slowest[:half]):.2f} s, then {max(slowest[half:]):.2f} s")
    for name, (begin, end) in memory.items():
        row.expect(end <= begin * MAX_GROWTH, f"{name} grew x{end / begin:.3f}")
        print(f"{name:16} {begin / 2**20:.1f} to {end / 2**20:.1f} MiB, x{end / begin:.3f}")
    if args.json:
        result = {
            "command": " ".join(["python -m tests.faults.soak", *sys.argv[1:]]),
            "measured": f"{datetime.now(UTC):%Y-%m-%d}",
            "release": version("workbell"),
            "row": asdict(row),
            "memory": {name: list(each) for name, each in memory.items()},
            "slowest": [max(slowest[:half]), max(slowest[half:])],
        }
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print("clean" if row.clean else f"BROKEN {row.wrong}")
    return 0 if row.clean else 1


if __name__ == "__main__":
    sys.exit(main())
