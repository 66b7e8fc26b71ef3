"""The comparison: every product in turn, round after round, on one machine."""

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

from workbell.entrypoints.bench.cli import keep_results
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.config.settings import Settings

from . import plan
from .serving import figures
from .venvs import PEERS, python_of

RESULTS = PEERS.parent / "results"
MOST_SECONDS = 300

Figures = Mapping[str, Sequence[float]]


def main() -> int:
    """Measure, store the results, and return 1 if a measure failed."""
    asked = _arguments()
    place = Target.at(asked.database, asked.redis)
    broker = redis.Redis.from_url(asked.redis)
    if broker.dbsize():
        print(f"{asked.redis} is not empty: name a database that may be emptied (--redis).")
        return 2
    wanted = [
        each
        for each in (*plan.JOBS, *plan.SCHEDULES, *plan.HTTP)
        if not asked.only or any(part in " ".join(each) for part in asked.only)
    ]
    for peer in sorted({peer for peer, _ in wanted} - {"workbell"}):
        python_of(peer, _say)
    found: dict[str, list[float]] = defaultdict(list)
    failed = 0
    for number in range(1, asked.rounds + 1):
        for peer, measure in wanted:
            broker.flushdb()
            failed += not _measured(place, peer, measure, asked, number, found)
        _keep(asked, number, found)  # after each round, for runs that are stopped early
    broker.flushdb()
    return 1 if failed else 0


def _keep(asked: argparse.Namespace, rounds: int, found: Figures) -> None:
    size = "--quick" if asked.quick else f"--rounds {rounds}"
    folder = RESULTS if asked.keep else Path(asked.results)
    keep_results("peers", f"make bench-peers ARGS='{size}'", rows(found), folder)


def _measured(
    place: Target,
    peer: str,
    measure: str,
    asked: argparse.Namespace,
    number: int,
    found: dict[str, list[float]],
) -> bool:
    """Run one measure in its own database; print its figures, or its error."""
    begun = time.monotonic()
    try:
        with place.settings() as settings:
            told = _told(peer, measure, settings, asked)
    except (subprocess.SubprocessError, RuntimeError, ValueError) as error:
        _say(f"{peer} {measure}: failed: {error}")
        return False
    line = {"round": number, "product": peer, "measure": measure, **_rounded(told)}
    print(json.dumps({**line, "took s": round(time.monotonic() - begun, 1)}), flush=True)
    for name, figure in told.items():
        found[f"{peer} {measure} {name}"].append(figure)
    return True


def _told(
    peer: str, measure: str, settings: Settings, asked: argparse.Namespace
) -> dict[str, float]:
    if measure == "http":
        return figures(peer, settings, 1 if asked.quick else 4)
    python = Path(sys.executable) if peer == "workbell" else python_of(peer)
    paths = [str(PEERS.parent), ".", os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "DATABASE_URL": settings.database_url.replace("+psycopg", ""),
            "REDIS_URL": asked.redis,
            "PROCESSES": str(asked.processes),
            "SCALE": "0.1" if asked.quick else "1",
            "TALLY": str(Path(scratch) / "tally"),
        }
        printed = subprocess.run(
            [python, "bench.py", measure], cwd=PEERS / peer, env=environment,
            stdout=subprocess.PIPE, stderr=None if asked.loud else subprocess.DEVNULL,
            timeout=MOST_SECONDS, check=True, text=True,
        ).stdout  # fmt: skip
    told: dict[str, float] = json.loads(printed.strip().splitlines()[-1])
    return told


def rows(found: Figures) -> list[dict[str, Any]]:
    """Return the comparisons with figures of both sides."""
    return [
        _row(row, found)
        for row in plan.ROWS
        if row.ours in found and (row.theirs is None or row.theirs in found)
    ]


def _row(row: plan.Row, found: Figures) -> dict[str, Any]:
    """
    Return a comparison.

    Its ratio is that of the medians; lowest and highest are those of single rounds.
    """
    ours = found[row.ours]
    line: dict[str, Any] = {
        "what": row.area,
        "against": row.against,
        "Workbell": _short(median(ours)),
        "other": "-",
        "ratio": "-",
        "lowest": _short(min(ours)),
        "highest": _short(max(ours)),
    }
    judged = median(ours)
    if row.theirs is not None:
        theirs = found[row.theirs]
        each = [own / max(other, 1e-9) for own, other in zip(ours, theirs, strict=False)]
        judged = median(ours) / max(median(theirs), 1e-9)
        line |= {"other": _short(median(theirs)), "ratio": _short(judged)}
        line |= {"lowest": _short(min(each)), "highest": _short(max(each))}
    bounds = {"minimum": row.minimum, "target": row.target}
    shown = {name: "-" if bound is None else bound for name, bound in bounds.items()}
    return {**line, **shown, "verdict": _verdict(row, judged)}


def _verdict(row: plan.Row, judged: float) -> str:
    def reached(bound: float) -> bool:
        return judged <= bound if row.less else judged >= bound

    if row.minimum is None or row.target is None:
        return "-"
    if reached(row.target):
        return "target met"
    return "minimum met" if reached(row.minimum) else "**missed**"


def _short(figure: float) -> float | int:
    return round(figure) if figure >= 100 else round(figure, 2)


def _rounded(told: Mapping[str, float]) -> dict[str, float | int]:
    return {name: _short(figure) for name, figure in told.items()}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--database", default="postgresql://postgres@127.0.0.1:5432/postgres",
        help="an empty database of a server, beside which scratch ones are made",
    )  # fmt: skip
    parser.add_argument(
        "--redis", default="redis://127.0.0.1:6379/15", help="an empty database; it is emptied"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="worker processes of each product")
    parser.add_argument(
        "--only", nargs="*", default=[], help="parts of names, as in: latency 'workbell batch'"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round")
    parser.add_argument("--loud", action="store_true", help="show what the products print")
    parser.add_argument("--results", default=tempfile.gettempdir(), help="folder, of a partial run")
    asked = parser.parse_args()
    asked.keep = not asked.only and not asked.quick
    if asked.quick:
        asked.rounds = 1
    return asked


if __name__ == "__main__":
    sys.exit(main())
