"""Commands that look into tasks, schedules and jobs."""

import json
from datetime import datetime
from typing import Any

import click

from workbell.domain.cron.rule import CronRule
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import Job, JobId, Status
from workbell.domain.jobs.task import TaskId
from workbell.domain.schedules.schedule import ScheduleId
from workbell.entrypoints.terminal import show, show_one
from workbell.ports.jobs.repository import JobFilter
from workbell.ports.schedules.views import ListedSchedule, ScheduleFilter
from workbell.services.jobs.requests import NewJob

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
how_many = click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many."
)


@click.group()
def tasks() -> None:
    """What can be run."""


@tasks.command("list")
@as_json
@click.pass_obj
def list_tasks(application: Any, as_json: bool) -> None:
    """List the tasks and what they take."""
    opened = application.open()
    rows = [
        {"id": d.id, "key": d.key, "name": d.name, "active": d.is_active, "takes": d.flat_schema()}
        for d in opened.definitions.all()
    ]
    opened.close()
    show(rows, as_json=as_json)


@tasks.command("activate")
@click.argument("task_id", type=int)
@click.option("--off", is_flag=True, help="Switch it off instead.")
@click.pass_obj
def activate(application: Any, task_id: int, off: bool) -> None:
    """Switch a task on, or off."""
    opened = application.open()
    definition = opened.definitions.set_active(SYSTEM, TaskId(task_id), active=not off)
    opened.close()
    click.echo(f"{definition.name} is {'active' if definition.is_active else 'inactive'}.")


@click.group()
def schedules() -> None:
    """What runs when."""


@schedules.command("list")
@how_many
@as_json
@click.pass_obj
def list_schedules(application: Any, limit: int, as_json: bool) -> None:
    """List the schedules, the newest first."""
    opened = application.open()
    found, _ = opened.scheduling.find(SYSTEM, ScheduleFilter(), ("-created_at",), 0, limit)
    opened.close()
    show([_schedule_row(each) for each in found], as_json=as_json, empty="There are no schedules.")


def _schedule_row(listed: ListedSchedule) -> dict[str, Any]:
    return {
        "id": listed.id,
        "owner": listed.owner_username or listed.owner,
        "task": listed.task,
        "cron": listed.cron_line,
        "zone": listed.zone,
        "next": listed.next_at,
        "last": listed.last_run_time,
        "status": listed.last_status,
        "paused": listed.paused_reason,
    }


@schedules.command("preview")
@click.argument("expression")
@click.option("--zone", default="UTC", show_default=True, help="Time zone, such as Europe/Berlin.")
@click.option("-n", "count", type=click.IntRange(1, 100), default=5, show_default=True)
@as_json
def preview_expression(expression: str, zone: str, count: int, as_json: bool) -> None:
    """Explain a cron EXPRESSION in words, with its next runs."""
    from workbell.adapters.system import SystemClock
    from workbell.domain.cron.preview import preview

    said = preview(CronRule(expression, zone), SystemClock().now(), count)
    if not as_json:
        click.echo(said.words)
        for warning in said.warnings:
            click.secho(f"! {warning}", fg="yellow")
    show([{"local": r.local, "utc": r.at, "note": r.note} for r in said.runs], as_json=as_json)


@schedules.command("pause")
@click.argument("schedule_id", type=int)
@click.pass_obj
def pause(application: Any, schedule_id: int) -> None:
    """Pause a schedule."""
    opened = application.open()
    opened.scheduling.edit(SYSTEM, ScheduleId(schedule_id), {"is_active": False})
    opened.close()
    click.echo(f"Schedule {schedule_id} is paused.")


@schedules.command("resume")
@click.argument("schedule_id", type=int)
@click.pass_obj
def resume(application: Any, schedule_id: int) -> None:
    """Resume a schedule, counted from now."""
    opened = application.open()
    view = opened.scheduling.edit(SYSTEM, ScheduleId(schedule_id), {"is_active": True})
    opened.close()
    click.echo(f"Schedule {schedule_id} runs next at {view.schedule.next_at:%Y-%m-%d %H:%M} UTC.")


@schedules.command("run")
@click.argument("schedule_id", type=int)
@click.pass_obj
def run(application: Any, schedule_id: int) -> None:
    """Run a schedule's task once more, now."""
    opened = application.open()
    job = opened.scheduling.run_now(SYSTEM, ScheduleId(schedule_id))
    opened.close()
    click.echo(f"Job {job.id} was made.")


@click.group()
def jobs() -> None:
    """What was run, runs, and waits."""


@jobs.command("list")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice([status.value for status in Status]),
    help="Only these; may be given again.",
)
@click.option("--task", help="Only this task's, by key.")
@how_many
@as_json
@click.pass_obj
def list_jobs(
    application: Any, status: tuple[str, ...], task: str | None, limit: int, as_json: bool
) -> None:
    """List the jobs, the newest first."""
    opened = application.open()
    filters = JobFilter(statuses=[Status(s) for s in status] or None, task=task)
    found = opened.jobs.find(SYSTEM, filters, ("-id",), 0, limit)
    opened.close()
    show([_job_row(job) for job in found], as_json=as_json, empty="There are no jobs.")


def _job_row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "task": job.task,
        "status": job.status,
        "attempt": f"{job.attempt}/{job.max_attempts}",
        "due": job.due_at,
        "started": job.started_at,
        "ended": job.ended_at,
        "reason": job.reason,
    }


@jobs.command("show")
@click.argument("job_id", type=int)
@as_json
@click.pass_obj
def show_job(application: Any, job_id: int, as_json: bool) -> None:
    """Show one job, its attempts and its log."""
    opened = application.open()
    job = opened.jobs.get(SYSTEM, JobId(job_id))
    attempts = opened.jobs.attempts(SYSTEM, job.id)
    lines = opened.jobs.logs(SYSTEM, job.id, attempt=None, after=0, limit=1000)
    opened.close()
    facts = {**_job_row(job), "parameters": job.parameters, "result": job.result}
    if as_json:
        facts["attempts"] = [opened.serializer.unstructure(attempt) for attempt in attempts]
        facts["logs"] = [opened.serializer.unstructure(line) for line in lines]
    show_one(facts, as_json=as_json)
    if not as_json:
        for attempt in attempts:
            click.echo(f"attempt {attempt.number}: {attempt.outcome or 'running'}")
        for line in lines:
            click.echo(f"  {line.at:%H:%M:%S} {line.level:7} {line.text}")


@jobs.command("enqueue")
@click.argument("task")
@click.argument("parameters", default="{}")
@click.option("--at", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="When, with an offset.")
@click.option("--key", help="Idempotency key.")
@click.pass_obj
def enqueue(
    application: Any, task: str, parameters: str, at: datetime | None, key: str | None
) -> None:
    """Enqueue a job of TASK with PARAMETERS, a JSON object."""
    try:
        given = json.loads(parameters)
    except ValueError as error:
        raise click.BadParameter(
            f"must be a JSON object: {error}", param_hint="PARAMETERS"
        ) from error
    if not isinstance(given, dict):
        raise click.BadParameter("must be a JSON object", param_hint="PARAMETERS")
    opened = application.open()
    new = NewJob(task_definition=task, parameters=given, scheduled_time=at)
    job, created = opened.jobs.create(SYSTEM, new, idempotency_key=key)
    opened.close()
    click.echo(f"Job {job.id} was {'made' if created else 'there already'}.")


@jobs.command("cancel")
@click.argument("job_id", type=int)
@click.pass_obj
def cancel(application: Any, job_id: int) -> None:
    """Cancel a waiting job, or ask a running one to stop."""
    opened = application.open()
    job = opened.jobs.cancel(SYSTEM, JobId(job_id))
    opened.close()
    done = "was cancelled" if job.state.ended else "has been asked to stop"
    click.echo(f"Job {job_id} {done}.")


@jobs.command("retry")
@click.argument("job_id", type=int)
@click.pass_obj
def retry(application: Any, job_id: int) -> None:
    """Try a failed or cancelled job again, or a succeeded one."""
    opened = application.open()
    job, new = opened.jobs.retry(SYSTEM, JobId(job_id))
    opened.close()
    click.echo(f"Job {job.id} {'was made' if new else 'will be tried again'}.")
