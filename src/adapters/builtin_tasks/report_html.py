"""A report as a page of its own: tables, bars drawn as SVG, no scripts."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from workbell.adapters.builtin_tasks.report_data import (
    Cell,
    ReportFacts,
    Section,
    mean_seconds,
    seconds,
)
from workbell.adapters.serialization.csv_text import escape_formula
from workbell.domain.jobs.job import JobState

FAILURES_SHOWN = 50
BARS_SHOWN = 31
WIDTH, ROW, LABEL = 640, 22, 180

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.period, p.note { color: #5a6675 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #dde3ea; overflow-wrap: anywhere }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
svg { max-width: 100%; height: auto; margin: .6rem 0 } rect { fill: #2f6db5 }
text { font: 12px system-ui, sans-serif; fill: #1c2430 }
"""


def outcomes(facts: ReportFacts) -> Section:
    """Return how many jobs stand where, and how many were made on each day."""
    days = list(facts.by_day().items())
    return Section(
        title="Jobs by status",
        head=("Status", "Jobs"),
        rows=list(facts.by_status().items()),
        bars=[(day, float(count)) for day, count in days[-BARS_SHOWN:]],
        note="" if facts.complete else "There were more jobs; the newest are counted.",
    )


def tasks(facts: ReportFacts) -> Section:
    """Return how each task went."""
    rows: list[Sequence[Cell]] = []
    for task, jobs in facts.by_task().items():
        done = sum(job.state is JobState.SUCCEEDED for job in jobs)
        failed = sum(job.state is JobState.FAILED for job in jobs)
        rows.append((task, len(jobs), done, failed, _seconds(mean_seconds(jobs))))
    return Section(
        title="Jobs by task",
        head=("Task", "Jobs", "Succeeded", "Failed", "Mean seconds"),
        rows=rows,
        bars=[(str(row[0]), float(row[1])) for row in rows[:BARS_SHOWN]],
    )


def failures(facts: ReportFacts) -> Section:
    """Return the newest failures with their reasons."""
    failed = facts.failed()
    return Section(
        title="Failures",
        head=("Job", "Name", "Ended", "Reason"),
        rows=[
            (job.id, job.name or job.task, moment_text(job.ended_at), (job.reason or "")[:500])
            for job in failed[:FAILURES_SHOWN]
        ],
        note=f"The newest {FAILURES_SHOWN} of {len(failed)}."
        if len(failed) > FAILURES_SHOWN
        else "",
    )


def schedules(facts: ReportFacts) -> Section:
    """Return the schedules as they stand when the report is made."""
    return Section(
        title="Schedules",
        head=("Schedule", "Name", "Task", "Expression", "Next run", "Last run", "Last status"),
        rows=_schedule_rows(facts),
    )


def _schedule_rows(facts: ReportFacts) -> list[Sequence[Cell]]:
    return [
        (
            view.schedule.id,
            view.schedule.name,
            view.task_name or view.schedule.task,
            view.schedule.cron.line,
            moment_text(view.schedule.next_at) or "paused",
            moment_text(view.last_run_time),
            str(view.last_status or ""),
        )
        for view in facts.schedules
    ]


def page(facts: ReportFacts, sections: Sequence[Section], *, charts: bool) -> str:
    """Return the page; everything that comes from rows is escaped."""
    title = f"{facts.report_type.capitalize()} report"
    parts = "".join(_section(section, charts=charts) for section in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="period">{moment_text(facts.since)} to {moment_text(facts.until)}, '
        f"{len(facts.jobs):,} jobs, {len(facts.schedules):,} schedules</p>\n"
        f"{parts}</body>\n</html>\n"
    )


def _section(section: Section, *, charts: bool) -> str:
    note = f'<p class="note">{escape(section.note)}</p>\n' if section.note else ""
    chart = bars(section.bars, section.title) if charts and section.bars else ""
    return f"<h2>{escape(section.title)}</h2>\n{note}{chart}{_table(section)}"


def _table(section: Section) -> str:
    if not section.rows:
        return "<p>None in this period.</p>\n"
    head = "".join(f"<th>{escape(name)}</th>" for name in section.head)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in section.rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return f'<td class="number">{cell:,}</td>'


def bars(values: Sequence[tuple[str, float]], title: str) -> str:
    """Return a horizontal bar for each value, as SVG with its title for screen readers."""
    most = max((value for _, value in values), default=0.0) or 1.0
    room = WIDTH - LABEL - 60
    drawn = "".join(
        f'<text x="{LABEL - 8}" y="{ROW * n + 15}" text-anchor="end">{escape(name[:26])}</text>'
        f'<rect x="{LABEL}" y="{ROW * n + 4}" width="{room * value / most:.1f}" height="{ROW - 8}"/>'
        f'<text x="{LABEL + room * value / most + 6:.1f}" y="{ROW * n + 15}">{value:g}</text>\n'
        for n, (name, value) in enumerate(values)
    )
    height = ROW * len(values)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">\n<title>{escape(title)}</title>\n{drawn}</svg>\n'
    )


def jobs_csv(facts: ReportFacts) -> bytes:
    """Return the jobs as CSV."""
    head = ("id", "name", "task", "status", "attempt", "created_at", "started_at", "ended_at")
    rows = (
        (
            job.id,
            job.name,
            job.task,
            str(job.status),
            job.attempt,
            moment_text(job.created_at),
            moment_text(job.started_at),
            moment_text(job.ended_at),
            _seconds(seconds(job)),
            job.reason or "",
        )
        for job in facts.jobs
    )
    return _csv((*head, "seconds", "error_message"), rows)


def schedules_csv(facts: ReportFacts) -> bytes:
    """Return the schedules as CSV."""
    head = ("id", "name", "task", "cron_expression", "next_run_time", "last_run_time")
    return _csv((*head, "last_status"), _schedule_rows(facts))


def _csv(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(
        [escape_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return text.getvalue().encode()


def moment_text(moment: datetime | None) -> str:
    """Return a moment to the second, or nothing."""
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _seconds(value: float | None) -> Cell:
    return "" if value is None else round(value, 3)
