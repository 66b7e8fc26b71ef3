"""Benchmarks of this machine: measure, keep as JSON, write the page."""

import os
import platform
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from workbell.domain.errors import Invalid

RESULTS = Path("benchmarks/results")
PAGE = Path("PERFORMANCE.md")

Row = Mapping[str, Any]
Say = Callable[[str], None]


@click.group()
def bench() -> None:
    """Measure this machine; results go to benchmarks/results as JSON."""


keep = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    show_default=True,
    help="Folder for the results.",
)
database = click.option(
    "--database",
    metavar="URL",
    help="An empty database on a server: others are made beside it, and dropped. [default: SQLite]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@bench.command("jobs")
@click.option("--count", type=click.IntRange(100), default=20_000, show_default=True)
@database
@click.option(
    "--processes",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Worker processes that drain; 0: this one. Only on a server.",
)
@click.option(
    "--redis",
    metavar="URL",
    help="Redis that carries the wake-ups, a logical database of its own. Only with a server.",
)
@keep
@as_json
def bench_jobs(
    count: int,
    database: str | None,
    processes: int,
    redis: str | None,
    results: Path,
    as_json: bool,
) -> None:
    """Enqueue, drain and start latency, on SQLite or on a server."""
    from workbell.entrypoints.bench.jobs import measure
    from workbell.entrypoints.bench.targets import Target

    place = Target.at(database, redis)
    if (processes or redis) and place.database is None:
        raise Invalid("Only with --database: one process has a SQLite file to itself.")
    command = f"workbell bench jobs --count {count}{_said('database', database)}"
    command += _said("redis", redis)
    if processes:
        command += f" --processes {processes}"
    rows = measure(count, _say, place, processes)
    _finish(f"jobs{place.suffix}", command, rows, results, as_json)


@bench.command("ticks")
@click.option(
    "--schedules",
    type=click.IntRange(100),
    multiple=True,
    default=(1_000, 100_000, 1_000_000),
    show_default=True,
    help="How many stand in the table; may be given again.",
)
@database
@keep
@as_json
def bench_ticks(
    schedules: Sequence[int], database: str | None, results: Path, as_json: bool
) -> None:
    """Idle tick, schedules fired per second, lateness, memory."""
    from workbell.entrypoints.bench.targets import Target
    from workbell.entrypoints.bench.ticks import measure

    place = Target.at(database)
    sizes = " ".join(f"--schedules {size}" for size in schedules)
    command = f"workbell bench ticks {sizes}{_said('database', database)}"
    rows = measure(schedules, _say, place)
    _finish(f"ticks{place.suffix}", command, rows, results, as_json)


@bench.command("identity")
@click.option("--calls", type=click.IntRange(100), default=10_000, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    help="How long each turn of signing in and reading lasts.",
)
@keep
@as_json
def bench_identity(calls: int, seconds: float, results: Path, as_json: bool) -> None:
    """Logins per second, and what a storm of them does to others."""
    from workbell.entrypoints.bench.identity import measure

    command = f"workbell bench identity --calls {calls} --seconds {seconds:g}"
    _finish("identity", command, measure(calls, _say, seconds=seconds), results, as_json)


@bench.command("summaries")
@click.option("--user", type=click.IntRange(1), help="Whose summaries, in the configured database.")
@click.option(
    "--database",
    "databases",
    multiple=True,
    default=("",),
    help="Address of an empty database to fill; may be given again.  [default: SQLite]",
)
@click.option("--users", type=click.IntRange(1), default=1_000, show_default=True)
@click.option("--entries", type=click.IntRange(1_000), default=1_000_000, show_default=True)
@click.option("--people", type=click.IntRange(0), default=100_000, show_default=True)
@keep
@as_json
@click.pass_obj
def bench_summaries(
    application: Any,
    user: int | None,
    databases: Sequence[str],
    users: int,
    entries: int,
    people: int,
    results: Path,
    as_json: bool,
) -> None:
    """Summaries with and without the cache, of a --user or of many."""
    from workbell.entrypoints.bench.summaries import compare, measure
    from workbell.entrypoints.terminal import show

    if user is not None:
        show(compare(application.settings(), user), as_json=as_json)
        return
    asked = f"--users {users} --entries {entries} --people {people}"
    rows = measure(databases, users, entries, people, _say)
    _finish("summaries", f"workbell bench summaries {asked}", rows, results, as_json)


@bench.command("http")
@database
@click.option(
    "--redis", metavar="URL", help="Redis, to compare limits counted there. Only with a server."
)
@click.option(
    "--seconds",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="How long each figure is measured.",
)
@keep
@as_json
def bench_http(
    database: str | None, redis: str | None, seconds: int, results: Path, as_json: bool
) -> None:
    """Requests per second of one server process, everything on."""
    from workbell.entrypoints.bench.http import measure
    from workbell.entrypoints.bench.targets import Target

    place = Target.at(database, redis)
    if redis and place.database is None:
        raise Invalid("Only with --database: one process counts its limits itself.")
    command = f"workbell bench http{_said('database', database)}{_said('redis', redis)}"
    rows = measure(place, seconds, _say)
    _finish(f"http{place.suffix}", command, rows, results, as_json)


@bench.command("idle")
@keep
@as_json
def bench_idle(results: Path, as_json: bool) -> None:
    """Seconds until the service answers, and its memory at rest."""
    from workbell.entrypoints.bench.idle import measure

    _finish("idle", "workbell bench idle", measure(_say), results, as_json)


@bench.command("page")
@keep
@click.option("--check", is_flag=True, help="Only say whether the page is as generated.")
def page(results: Path, check: bool) -> None:
    """Write PERFORMANCE.md from the results."""
    text = render(results)
    if check:
        raise SystemExit(0 if PAGE.exists() and PAGE.read_text() == text else 1)
    PAGE.write_text(text)
    click.echo(f"{PAGE} was written.")


def _said(option: str, url: str | None) -> str:
    """Return how the command named a server, without who and where that was."""
    return "" if url is None else f" --{option} {url.partition(':')[0]}://..."


def _say(line: str) -> None:
    click.echo(line, err=True)


def _finish(name: str, command: str, rows: Sequence[Row], folder: Path, as_json: bool) -> None:
    keep_results(name, command, rows, folder)
    from workbell.entrypoints.terminal import show

    show(rows, as_json=as_json)


def keep_results(name: str, command: str, rows: Sequence[Row], folder: Path) -> None:
    """Write results where the page finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"name": name, "command": command, "machine": machine(), "rows": rows}
    written = msgspec.json.format(msgspec.json.encode(kept), indent=1)
    (folder / f"{name}.json").write_bytes(written + b"\n")


def machine() -> dict[str, Any]:
    """Return the facts of this machine that figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processors": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }


def render(folder: Path) -> str:
    """Return the page made of every kept result."""
    parts = [
        "# Performance\n",
        "Generated by `workbell bench page` from `benchmarks/results/*.json`; do not edit.",
        "Absolute figures depend on the machine; each ratio is of one run.\n",
    ]
    for path in sorted(folder.glob("*.json")):
        kept = msgspec.json.decode(path.read_bytes())
        facts = ", ".join(f"{key} {value}" for key, value in kept["machine"].items())
        parts += [f"## {kept['name']}\n", f"`{kept['command']}` ({facts})\n", _table(kept["rows"])]
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> str:
    heads = list(rows[0])
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(row.get(head)) for head in heads)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
