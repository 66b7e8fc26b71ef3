"""Comparison: measure all products alternately, in rounds, on one machine."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import redis

from workbell.entrypoints.bench.cli import write_results
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.config.settings import Settings

from . import plan
from .serving import measure_http
from .venvs import PEERS, find_python

RESULTS = PEERS.parent / "results"
MAX_SECONDS = 300

Figures = Mapping[str, Sequence[float]]


def main() -> int:
    """Run all measurements and store the results; return 1 if one failed."""
    args = _arguments()
    target = Target.parse(args.database, args.redis)
    broker = redis.Redis.from_url(args.redis)
    if broker.dbsize():
        print(
            f"{args.redis} is not empty; name an empty database, which will be flushed (--redis)."
        )
        return 2
    wanted = [
        each
        for each in (*plan.JOBS, *plan.SCHEDULES, *plan.HTTP)
        if not args.only or any(part in " ".join(each) for part in args.only)
    ]
    for peer in sorted({peer for peer, _ in wanted} - {"workbell"}):
        find_python(peer, _report)
    figures: dict[str, list[float]] = defaultdict(list)
    failed = 0
    for number in range(1, args.rounds + 1):
        for peer, measure in wanted:
            broker.flushdb()
            failed += not _measure(target, peer, measure, args, number, figures)
        _store(args, number, figures)  # after each round, so that an interrupted run has results
    broker.flushdb()
    return 1 if failed else 0


def _store(args: argparse.Namespace, rounds: int, figures: Figures) -> None:
    size = "--quick" if args.quick else f"--rounds {rounds}"
    folder = RESULTS if args.complete else Path(args.results)
    write_results("peers", f"make bench-peers ARGS='{size}'", rows(figures), folder)


def _measure(
    target: Target,
    peer: str,
    measure: str,
    args: argparse.Namespace,
    number: int,
    figures: dict[str, list[float]],
) -> bool:
    """Run one measurement in a new database; print its figures or its error."""
    begun = time.monotonic()
    try:
        with target.settings() as settings:
            figures_of_run = _run(peer, measure, settings, args)
    except (subprocess.SubprocessError, RuntimeError, ValueError) as error:
        _report(f"{peer} {measure}: failed: {error}")
        return False
    line = {"round": number, "product": peer, "measure": measure, **_rounded(figures_of_run)}
    print(json.dumps({**line, "took s": round(time.monotonic() - begun, 1)}), flush=True)
    for name, figure in figures_of_run.items():
        figures[f"{peer} {measure} {name}"].append(figure)
    return True


def _run(peer: str, measure: str, settings: Settings, args: argparse.Namespace) -> dict[str, float]:
    if measure == "http":
        return measure_http(peer, settings, 1 if args.quick else 4)
    python = Path(sys.executable) if peer == "workbell" else find_python(peer)
    paths = [str(PEERS.parent), ".", os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "DATABASE_URL": settings.database_url.replace("+psycopg", ""),
            "REDIS_URL": args.redis,
            "PROCESSES": str(args.processes),
            "SCALE": "0.1" if args.quick else "1",
            "TALLY": str(Path(scratch) / "tally"),
        }
        printed = subprocess.run(
            [python, "bench.py", measure], cwd=PEERS / peer, env=environment,
            stdout=subprocess.PIPE, stderr=None if args.loud else subprocess.DEVNULL,
            timeout=MAX_SECONDS, check=True, text=True,
        ).stdout  # fmt: skip
    figures_of_run: dict[str, float] = json.loads(printed.strip().splitlines()[-1])
    return figures_of_run


def rows(figures: Figures) -> list[dict[str, Any]]:
    """Return the comparisons for which all figures were measured."""
    return [
        _row(row, figures)
        for row in plan.ROWS
        if row.ours in figures and (row.theirs is None or row.theirs in figures)
    ]


def _row(row: plan.Row, figures: Figures) -> dict[str, Any]:
    """
    Return a comparison.

    `ratio` is of the medians, `lowest` and `highest` are of single rounds.
    """
    ours = figures[row.ours]
    line: dict[str, Any] = {
        "what": row.area,
        "against": row.against,
        "Workbell": _short(median(ours)),
        "the other": "-",
        "ratio": "-",
        "lowest": _short(min(ours)),
        "highest": _short(max(ours)),
    }
    value = median(ours)
    if row.theirs is not None:
        theirs = figures[row.theirs]
        each = [own / max(other, 1e-9) for own, other in zip(ours, theirs, strict=False)]
        value = median(ours) / max(median(theirs), 1e-9)
        line |= {"the other": _short(median(theirs)), "ratio": _short(value)}
        line |= {"lowest": _short(min(each)), "highest": _short(max(each))}
    bounds = {"minimum": row.minimum, "target": row.target}
    shown = {name: "-" if bound is None else bound for name, bound in bounds.items()}
    return {**line, **shown, "verdict": _verdict(row, value)}


def _verdict(row: plan.Row, value: float) -> str:
    def reached(bound: float) -> bool:
        return value <= bound if row.less else value >= bound

    if row.minimum is None or row.target is None:
        return "-"
    if reached(row.target):
        return "target met"
    return "minimum met" if reached(row.minimum) else "**missed**"


def _short(figure: float) -> float | int:
    return round(figure) if figure >= 100 else round(figure, 2)


def _rounded(figures_of_run: Mapping[str, float]) -> dict[str, float | int]:
    return {name: _short(figure) for name, figure in figures_of_run.items()}


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--database", default="postgresql://postgres@127.0.0.1:5432/postgres",
        help="an empty database on a server; temporary ones are created next to it",
    )  # fmt: skip
    parser.add_argument(
        "--redis", default="redis://127.0.0.1:6379/15", help="an empty database, which is flushed"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="worker processes of each product")
    parser.add_argument(
        "--only", nargs="*", default=[], help="parts of names, as in: latency 'workbell batch'"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round")
    parser.add_argument("--loud", action="store_true", help="show the output of the products")
    parser.add_argument(
        "--results", default=tempfile.gettempdir(), help="folder of the results of a partial run"
    )
    args = parser.parse_args()
    args.complete = not args.only and not args.quick
    if args.quick:
        args.rounds = 1
    return args


if __name__ == "__main__":
    sys.exit(main())
