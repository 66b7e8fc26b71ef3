"""`workbell bench`: run benchmarks, store results, render the page."""

import os
import platform
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from workbell.domain.errors import Invalid
from workbell.entrypoints.bench.rows import Row
from workbell.entrypoints.terminal import json_option, show

RESULTS = Path("benchmarks/results")
PAGE = Path("PERFORMANCE.md")


@click.group(context_settings={"show_default": True})
def bench() -> None:
    """Run benchmarks; results are stored as JSON files."""


results_option = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    help="Folder of result files.",
)
database = click.option(
    "--database",
    metavar="URL",
    help="Empty database on a server; temporary ones are created next to it. [default: SQLite]",
)


@bench.command("jobs")
@click.option("--count", type=click.IntRange(100), default=20_000, help="Number of jobs.")
@database
@click.option(
    "--processes",
    type=click.IntRange(0, 64),
    default=0,
    help="Worker processes that drain; 0 is this process. Needs --database.",
)
@click.option(
    "--redis",
    metavar="URL",
    help="Redis for job notifications, an empty logical database. Needs --database.",
)
@results_option
@json_option
def bench_jobs(
    count: int,
    database: str | None,
    processes: int,
    redis: str | None,
    results: Path,
    as_json: bool,
) -> None:
    """Enqueueing, draining and start latency of jobs."""
    from workbell.entrypoints.bench.jobs import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database, redis)
    if (processes or redis) and target.database is None:
        raise Invalid("--processes and --redis need --database: SQLite serves one process.")
    command = f"workbell bench jobs --count {count}{_redact(database=database, redis=redis)}"
    if processes:
        command += f" --processes {processes}"
    rows = measure(target, count, processes)
    _store_and_show(f"jobs{target.suffix}", command, rows, results, as_json)


@bench.command("deadlines")
@click.option("--count", type=click.IntRange(20), default=100, help="Number of cancellations.")
@database
@click.option("--redis", metavar="URL", help="Redis that announces them. Needs --database.")
@results_option
@json_option
def bench_deadlines(
    count: int, database: str | None, redis: str | None, results: Path, as_json: bool
) -> None:
    """Latency of cancellations and of time limits."""
    from workbell.entrypoints.bench.deadlines import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database, redis)
    if redis and target.database is None:
        raise Invalid("--redis needs --database.")
    command = f"workbell bench deadlines --count {count}{_redact(database=database, redis=redis)}"
    rows = measure(target, count)
    _store_and_show(f"deadlines{target.suffix}", command, rows, results, as_json)


@bench.command("children")
@click.option("--count", type=click.IntRange(100), default=10_000, help="Number of jobs.")
@click.option("--seconds", type=click.IntRange(1), default=8, help="Duration of request loads.")
@results_option
@json_option
def bench_children(count: int, seconds: int, results: Path, as_json: bool) -> None:
    """Child processes: start, jobs, kills, and requests beside them."""
    from workbell.entrypoints.bench.children import measure
    from workbell.entrypoints.bench.targets import Target

    command = f"workbell bench children --count {count} --seconds {seconds}"
    _store_and_show("children", command, measure(Target(), count, seconds), results, as_json)


@bench.command("ticks")
@click.option(
    "--schedules",
    type=click.IntRange(100),
    multiple=True,
    default=(1_000, 100_000, 1_000_000),
    help="Number of schedules in the table; repeatable.",
)
@database
@results_option
@json_option
def bench_ticks(
    schedules: Sequence[int], database: str | None, results: Path, as_json: bool
) -> None:
    """Idle tick, fired schedules per second, lateness, memory."""
    from workbell.entrypoints.bench.targets import Target
    from workbell.entrypoints.bench.ticks import measure

    target = Target.parse(database)
    sizes = " ".join(f"--schedules {size}" for size in schedules)
    command = f"workbell bench ticks {sizes}{_redact(database=database)}"
    rows = measure(target, schedules)
    _store_and_show(f"ticks{target.suffix}", command, rows, results, as_json)


@bench.command("identity")
@click.option("--calls", type=click.IntRange(100), default=10_000, help="Authenticated calls.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=2.0,
    help="Duration of each round of logins and reads.",
)
@results_option
@json_option
def bench_identity(calls: int, seconds: float, results: Path, as_json: bool) -> None:
    """Logins per second, and their effect on other requests."""
    from workbell.entrypoints.bench.identity import measure

    command = f"workbell bench identity --calls {calls} --seconds {seconds:g}"
    _store_and_show("identity", command, measure(calls, seconds), results, as_json)


@bench.command("summaries")
@click.option(
    "--user", type=click.IntRange(1), help="Measure this user of the configured database only."
)
@click.option(
    "--database",
    "databases",
    multiple=True,
    default=("",),
    help="Empty database to fill; repeatable. [default: SQLite]",
)
@click.option("--users", type=click.IntRange(1), default=1_000, help="Active users.")
@click.option("--entries", type=click.IntRange(1_000), default=1_000_000, help="Progress entries.")
@click.option("--people", type=click.IntRange(0), default=100_000, help="Inactive users to remind.")
@results_option
@json_option
@click.pass_obj
def bench_summaries(
    context: Any,
    user: int | None,
    databases: Sequence[str],
    users: int,
    entries: int,
    people: int,
    results: Path,
    as_json: bool,
) -> None:
    """Summaries with and without the cache; writes; reminders."""
    from workbell.entrypoints.bench.summaries import compare, measure

    if user is not None:
        show(compare(context.settings(), user), as_json=as_json)
        return
    options = f"--users {users} --entries {entries} --people {people}"
    rows = measure(databases, users, entries, people)
    _store_and_show("summaries", f"workbell bench summaries {options}", rows, results, as_json)


@bench.command("http")
@database
@click.option(
    "--redis", metavar="URL", help="Also measure rate limits in this Redis. Needs --database."
)
@click.option("--seconds", type=click.IntRange(1), default=4, help="Duration of each measurement.")
@results_option
@json_option
def bench_http(
    database: str | None, redis: str | None, seconds: int, results: Path, as_json: bool
) -> None:
    """Requests per second of one API process."""
    from workbell.entrypoints.bench.http import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database, redis)
    if redis and target.database is None:
        raise Invalid("--redis needs --database.")
    command = f"workbell bench http{_redact(database=database, redis=redis)}"
    rows = measure(target, seconds)
    _store_and_show(f"http{target.suffix}", command, rows, results, as_json)


@bench.command("delivery")
@click.option("--events", type=click.IntRange(100), default=1_000, help="Events to acknowledge.")
@click.option(
    "--deliveries", type=click.IntRange(1_000), default=10_000, help="Deliveries of the backlog."
)
@click.option(
    "--seconds", type=click.IntRange(1), default=20, help="Duration of measurements of latencies."
)
@database
@results_option
@json_option
def bench_delivery(
    events: int, deliveries: int, seconds: int, database: str | None, results: Path, as_json: bool
) -> None:
    """Acknowledgement and delivery of events to a local receiver."""
    from workbell.entrypoints.bench.delivery import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database)
    command = f"workbell bench delivery{_redact(database=database)}"
    rows = measure(target, events, deliveries, seconds)
    _store_and_show(f"delivery{target.suffix}", command, rows, results, as_json)


@bench.command("search")
@click.option(
    "--documents", type=click.IntRange(1_000), default=100_000, help="Documents of the index."
)
@click.option("--queries", type=click.IntRange(20), default=300, help="Queries of each kind.")
@database
@results_option
@json_option
def bench_search(
    documents: int, queries: int, database: str | None, results: Path, as_json: bool
) -> None:
    """Pages of 20 matches with highlights, by kind of query."""
    from workbell.entrypoints.bench.search import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database)
    command = f"workbell bench search --documents {documents}{_redact(database=database)}"
    rows = measure(target, documents, queries)
    _store_and_show(f"search{target.suffix}", command, rows, results, as_json)


@bench.command("audit")
@click.option("--entries", type=click.IntRange(1_000), default=100_000, help="Entries of the log.")
@database
@results_option
@json_option
def bench_audit(entries: int, database: str | None, results: Path, as_json: bool) -> None:
    """Cost of an audit entry; sealing, verification and lists of a log."""
    from workbell.entrypoints.bench.audit import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database)
    command = f"workbell bench audit --entries {entries}{_redact(database=database)}"
    rows = measure(target, entries)
    _store_and_show(f"audit{target.suffix}", command, rows, results, as_json)


@bench.command("sla")
@click.option(
    "--clocks", type=click.IntRange(100), default=1_000_000, help="Open clocks in the table."
)
@click.option(
    "--due",
    type=click.IntRange(1),
    multiple=True,
    default=(1_000, 10_000),
    help="Clocks due in the same second; repeatable, at most 7 times.",
)
@database
@results_option
@json_option
def bench_sla(
    clocks: int, due: Sequence[int], database: str | None, results: Path, as_json: bool
) -> None:
    """Idle SLA tick, and ticks with clocks due."""
    from workbell.entrypoints.bench.sla import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database)
    bursts = " ".join(f"--due {each}" for each in due)
    command = f"workbell bench sla --clocks {clocks} {bursts}{_redact(database=database)}"
    rows = measure(target, clocks, due)
    _store_and_show(f"sla{target.suffix}", command, rows, results, as_json)


@bench.command("projects")
@click.option("--tasks", type=click.IntRange(10_000), default=100_000, help="Tasks in the table.")
@database
@results_option
@json_option
def bench_projects(tasks: int, database: str | None, results: Path, as_json: bool) -> None:
    """Filtered and ordered lists of tasks; moves of tasks."""
    from workbell.entrypoints.bench.projects import measure
    from workbell.entrypoints.bench.targets import Target

    target = Target.parse(database)
    command = f"workbell bench projects --tasks {tasks}{_redact(database=database)}"
    rows = measure(target, tasks)
    _store_and_show(f"projects{target.suffix}", command, rows, results, as_json)


@bench.command("idle")
@results_option
@json_option
def bench_idle(results: Path, as_json: bool) -> None:
    """Start time of the service, and its memory at rest."""
    from workbell.entrypoints.bench.idle import measure

    _store_and_show("idle", "workbell bench idle", measure(), results, as_json)


@bench.command("page")
@results_option
@click.option(
    "--check", is_flag=True, help="Only check that the page is current; exit with 1 if not."
)
def page(results: Path, check: bool) -> None:
    """Generate PERFORMANCE.md from the results."""
    text = render(results)
    if check:
        raise SystemExit(0 if PAGE.exists() and PAGE.read_text() == text else 1)
    PAGE.write_text(text)
    click.echo(f"{PAGE} was written.")


def _redact(**urls: str | None) -> str:
    """Format options with URLs, without credentials and hosts."""
    schemes = {name: url.partition(":")[0] for name, url in urls.items() if url is not None}
    return "".join(f" --{name} {scheme}://..." for name, scheme in schemes.items())


def _store_and_show(
    name: str, command: str, rows: Sequence[Row], folder: Path, as_json: bool
) -> None:
    write_results(name, command, rows, folder)
    show(rows, as_json=as_json)


def write_results(name: str, command: str, rows: Sequence[Row], folder: Path) -> None:
    """Write results to a file of the results folder."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = {
        "processors": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }
    result = {"name": name, "command": command, "machine": machine, "rows": rows}
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{name}.json").write_bytes(text + b"\n")


def render(folder: Path) -> str:
    """Render the page of all results."""
    parts = [
        "# Performance\n",
        "Generated by `workbell bench page` from `benchmarks/results/*.json`; do not edit.",
        "Absolute figures are valid for the named machine; ratios are from one run.\n",
    ]
    for path in sorted(folder.glob("*.json")):
        result = msgspec.json.decode(path.read_bytes())
        facts = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
        parts += [
            f"## {result['name']}\n",
            f"`{result['command']}` ({facts})\n",
            _table(result["rows"]),
        ]
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
