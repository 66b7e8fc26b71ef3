"""Inject all faults on all databases, and print the results."""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from attrs import asdict

from tests.faults.child_faults import CASES
from tests.faults.cluster import Cluster
from tests.faults.ledger import Row
from tests.faults.private import (
    AnyRedis,
    Database,
    GivenRedis,
    NoServer,
    OwnRedis,
    given,
    own_database,
)

HEAD = ("fault", "database", "injected", "jobs", "ticks", "lost", "doubled", "rerun", "repeated",
        "refused", "drain")  # fmt: skip


def databases(args: argparse.Namespace, folder: Path) -> Iterator[Database]:
    """Yield the databases to test: the user's, or private ones."""
    if args.database:
        yield given(args.database, f"workbell_faults_{uuid4().hex[:8]}")
        return
    for kind in args.kinds:
        if kind == "sqlite":
            yield NoServer(f"sqlite:///{folder / 'sqlite' / 'workbell.db'}")
        elif (server := own_database(kind, folder / f"{kind}-server")) is not None:
            yield server
        else:
            report(f"{kind} is not installed: skipped")


@contextmanager
def running(database: Database, redis_url: str | None, folder: Path) -> Iterator[Cluster]:
    """Run an installation on a database; remove it afterwards."""
    with ExitStack() as stack:
        stack.callback(database.close)
        folder.mkdir(exist_ok=True)
        redis: AnyRedis | None = None
        if database.kind != "sqlite":
            redis = GivenRedis(redis_url) if redis_url else OwnRedis(folder)
            redis.start()
            stack.callback(redis.close)
        cluster = Cluster(folder, database, redis)
        stack.callback(cluster.close)
        cluster.start()
        yield cluster


def run_all(cluster: Cluster, kills: int, only: Sequence[str]) -> Iterator[Row]:
    """Run the faults; yield their results."""
    for case in CASES:
        wanted = case.number in only if only or case.by_name else True
        if cluster.database.kind not in case.databases or not wanted:
            continue
        began = time.monotonic()
        row = case.do(cluster, kills)
        report(
            f"{row.database:10} {row.fault:4} {row.name}: lost {row.lost}, doubled {row.doubled} "
            f"in {time.monotonic() - began:.0f} s {'; '.join([row.note, *row.wrong])}"
        )
        yield row


def report(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Iterable[Row]) -> str:
    """Format the rows as a table."""
    cells = [HEAD, *(cells_of(row) for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(HEAD))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def cells_of(row: Row) -> tuple[str, ...]:
    """Return the cells of a row."""
    figures = (row.jobs, row.ticks, row.lost, row.doubled, row.rerun, row.repeated,
               row.refused)  # fmt: skip
    return (row.fault, row.database, row.injected, *map(str, figures), f"{row.drain:.1f} s")


def main() -> int:
    """Run the faults and print the table; return 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--database", help="Server for a temporary database; default: private servers."
    )
    parser.add_argument(
        "--redis", help="Empty logical database of Redis; default: a private server."
    )
    parser.add_argument(
        "--kills", type=int, default=20, help="Repetitions of each fault (default: 20)."
    )
    parser.add_argument(
        "--only", nargs="*", default=(), help="Run only these faults, such as F1 F4."
    )
    parser.add_argument("--kinds", nargs="*", default=["sqlite", "postgresql", "mariadb"])
    parser.add_argument("--json", type=Path, help="Also write the results to this file.")
    parser.add_argument(
        "--keep", action="store_true", help="Do not delete the folder with the logs."
    )
    args = parser.parse_args()
    rows: list[Row] = []
    with ExitStack() as stack:
        scratch = tempfile.mkdtemp(prefix="workbell-faults-")
        if not args.keep:
            stack.enter_context(_removed(Path(scratch)))
        folder = Path(scratch)
        folder.chmod(0o755)
        for database in databases(args, folder):
            with running(database, args.redis, folder / database.kind) as cluster:
                rows += run_all(cluster, args.kills, args.only)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(_result(args.kills, rows), indent=1) + "\n")
    clean = bool(rows) and all(row.clean for row in rows)
    print("clean" if clean else "BROKEN")
    return 0 if clean else 1


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    import shutil

    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(kills: int, rows: Iterable[Row]) -> dict[str, object]:
    return {
        "command": f"make faults ARGS='--kills {kills}'",
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "release": version("workbell"),
        "python": platform.python_version(),
        "rows": [asdict(row) for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
