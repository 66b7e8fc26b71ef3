"""
Write the measured tables of `docs/guarantees.md` from benchmarks/results/guarantees.

    python -m benchmarks.guarantees [--check]
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "guarantees"
PAGE = Path(__file__).parents[1] / "docs" / "guarantees.md"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL + Redis", "mariadb": "MariaDB + Redis"}
FAULTS = {
    "killed": ("F1", "workers killed during tasks"),
    "flushed": ("F4", "Redis flushed while tasks wait"),
    "restarted": ("F5", "Redis killed and restarted"),
    "scheduler": ("F2b", "scheduler killed before a minute, and just after one"),
    "doubled": ("F3", "more than one scheduler"),
}
SYSTEMS = (
    ("celery", "stock", "Celery, default"),
    ("celery", "safest", "Celery, safest"),
    ("dramatiq", "stock", "Dramatiq, default"),
    ("dramatiq", "safest", "Dramatiq, safest"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def faults(result: dict[str, Any]) -> str:
    """Return the results of `make faults`."""
    head = ("Fault", "Database", "Injected", "Jobs", "Ticks", "Lost", "Duplicated", "Restarted",
            "Refused", "Drain")  # fmt: skip
    rows = [
        (
            f"{row['fault']} {row['name']}", NAMES[row["database"]],
            "; ".join(filter(None, [row["injected"], row["note"]])), row["jobs"], row["ticks"],
            row["lost"], row["doubled"], row["rerun"], row["refused"], f"{row['drain']:.1f} s",
        )
        for row in result["rows"]
    ]  # fmt: skip
    rows.sort(
        key=lambda row: (int(re.findall(r"\d+", row[0])[0]), list(NAMES.values()).index(row[1]))
    )
    source = f"`{result['command']}`, {result['measured']}, Python {result['python']}"
    return f"{source}:\n\n{table(head, rows)}"


def peers(result: dict[str, Any]) -> str:
    """Return the results of the same faults with other products."""
    own = {row["fault"]: row for row in result["own"]}
    found = {(row["fault"], row["system"], row["variant"]): row for row in result["peers"]}
    head = ("Fault", "Workbell", *[name for _, _, name in SYSTEMS])
    rows: list[list[str]] = []
    for fault, (number, words) in FAULTS.items():
        mine = own[number]
        cells = [words, _cell(mine["jobs"] + mine["ticks"], mine["lost"], mine["repeated"])]
        for system, variant, _ in SYSTEMS:
            row = found.get((fault, system, variant))
            cells.append("–" if row is None else _cell(row["asked"], row["lost"], row["again"]))
        rows.append(cells)
    source = f"`{result['command']}`, {result['measured']}, {', '.join(result['packages'])}"
    return f"{source}; lost / run again, of all:\n\n{table(head, rows)}"


def _cell(asked: int, lost: int, again: int) -> str:
    return f"{lost} / {again} of {asked}"


def soak(result: dict[str, Any]) -> str:
    """Return the results of the soak test."""
    row = result["row"]
    head = ("Process", "Memory after warm-up", "At the end", "Growth")
    rows = [
        (name, f"{begin / 2**20:.1f} MiB", f"{end / 2**20:.1f} MiB", f"{end / begin - 1:+.1%}")
        for name, (begin, end) in result["memory"].items()
    ]
    summary = (
        f"`{result['command']}`, {result['measured']}, on {NAMES[row['database']]}: "
        f"{row['injected']}, {row['jobs']} jobs and {row['ticks']} ticks, {row['lost']} lost, "
        f"{row['doubled']} duplicated; slowest response {result['slowest'][0]:.2f} s in the first half, "
        f"{result['slowest'][1]:.2f} s in the second."
    )
    return f"{summary}\n\n{table(head, rows)}"


PARTS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "faults": ("faults.json", faults),
    "peers": ("faults_peers.json", peers),
    "soak": ("soak.json", soak),
}


def page(text: str) -> str:
    """Return the page with all tables for which there are results."""
    for name, (file, write) in PARTS.items():
        path = RESULTS / file
        if path.exists():
            content = write(json.loads(path.read_text()))
            begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"
    return text


def main() -> int:
    """Write the page; with --check, return 1 if it is not current."""
    text = PAGE.read_text()
    updated = page(text)
    if "--check" in sys.argv:
        return 0 if updated == text else 1
    PAGE.write_text(updated)
    return 0


if __name__ == "__main__":
    sys.exit(main())
