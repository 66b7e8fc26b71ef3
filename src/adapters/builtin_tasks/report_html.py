"""A report as one HTML page: tables, SVG bar charts, no scripts."""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from workbell.adapters.builtin_tasks.report_data import (
    Cell,
    ReportData,
    Section,
    mean_seconds,
    seconds,
)
from workbell.adapters.serialization.csv_text import to_csv
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


def outcomes(data: ReportData) -> Section:
    """Return the number of jobs by status and by day."""
    days = list(data.by_day().items())
    return Section(
        title="Jobs by status",
        head=("Status", "Jobs"),
        rows=list(data.by_status().items()),
        bars=[(day, float(count)) for day, count in days[-BARS_SHOWN:]],
        note="" if data.complete else "There were more jobs; the newest are counted.",
    )


def tasks(data: ReportData) -> Section:
    """Return counts and mean durations by task."""
    rows: list[Sequence[Cell]] = []
    for task, jobs in data.by_task().items():
        done = sum(job.state is JobState.SUCCEEDED for job in jobs)
        failed = sum(job.state is JobState.FAILED for job in jobs)
        rows.append((task, len(jobs), done, failed, _seconds(mean_seconds(jobs))))
    return Section(
        title="Jobs by task",
        head=("Task", "Jobs", "Succeeded", "Failed", "Mean seconds"),
        rows=rows,
        bars=[(str(row[0]), float(row[1])) for row in rows[:BARS_SHOWN]],
    )


def failures(data: ReportData) -> Section:
    """Return the newest failed jobs with their reasons."""
    failed = data.failed()
    note = f"The newest {FAILURES_SHOWN} of {len(failed)}."
    return Section(
        title="Failures",
        head=("Job", "Name", "Ended", "Reason"),
        rows=[
            (job.id, job.name or job.task, format_time(job.ended_at), (job.reason or "")[:500])
            for job in failed[:FAILURES_SHOWN]
        ],
        note=note if len(failed) > FAILURES_SHOWN else "",
    )


def schedules(data: ReportData) -> Section:
    """Return the current schedules."""
    return Section(
        title="Schedules",
        head=("Schedule", "Name", "Task", "Expression", "Next run", "Last run", "Last status"),
        rows=_schedule_rows(data),
    )


def _schedule_rows(data: ReportData) -> list[Sequence[Cell]]:
    return [
        (
            view.schedule.id,
            view.schedule.name,
            view.task_name or view.schedule.task,
            view.schedule.cron.line,
            format_time(view.schedule.next_at) or "paused",
            format_time(view.last_run_time),
            str(view.last_status or ""),
        )
        for view in data.schedules
    ]


def page(data: ReportData, sections: Sequence[Section], *, charts: bool) -> str:
    """Return the HTML page; data are escaped."""
    title = f"{data.report_type.capitalize()} report"
    parts = "".join(_section(section, charts=charts) for section in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="period">{format_time(data.since)} to {format_time(data.until)}, '
        f"{len(data.jobs):,} jobs, {len(data.schedules):,} schedules</p>\n"
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
    """Return an SVG bar chart, with its title for screen readers."""
    maximum = max((value for _, value in values), default=0.0) or 1.0
    width = WIDTH - LABEL - 60
    elements = "".join(
        f'<text x="{LABEL - 8}" y="{ROW * n + 15}" text-anchor="end">{escape(name[:26])}</text>'
        f'<rect x="{LABEL}" y="{ROW * n + 4}" width="{width * value / maximum:.1f}" height="{ROW - 8}"/>'
        f'<text x="{LABEL + width * value / maximum + 6:.1f}" y="{ROW * n + 15}">{value:g}</text>\n'
        for n, (name, value) in enumerate(values)
    )
    height = ROW * len(values)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">\n<title>{escape(title)}</title>\n{elements}</svg>\n'
    )


def jobs_csv(data: ReportData) -> bytes:
    """Return the jobs as CSV."""
    head = ("id", "name", "task", "status", "attempt", "created_at", "started_at", "ended_at")
    rows = (
        (
            job.id,
            job.name,
            job.task,
            str(job.status),
            job.attempt,
            format_time(job.created_at),
            format_time(job.started_at),
            format_time(job.ended_at),
            _seconds(seconds(job)),
            job.reason or "",
        )
        for job in data.jobs
    )
    return to_csv((*head, "seconds", "error_message"), rows)


def schedules_csv(data: ReportData) -> bytes:
    """Return the schedules as CSV."""
    head = ("id", "name", "task", "cron_expression", "next_run_time", "last_run_time")
    return to_csv((*head, "last_status"), _schedule_rows(data))


def format_time(time: datetime | None) -> str:
    """Return a time to the second, or an empty string."""
    return "" if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _seconds(value: float | None) -> Cell:
    return "" if value is None else round(value, 3)
