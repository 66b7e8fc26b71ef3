"""Commands for tasks, schedules and jobs."""

import json
from datetime import datetime
from typing import Any

import click

from workbell.domain.cron.rule import CronRule
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import Job, JobId, Status
from workbell.domain.jobs.task import TaskId
from workbell.domain.schedules.schedule import ScheduleId
from workbell.entrypoints.cli.attempts import attempt_row, show_attempt
from workbell.entrypoints.cli.context import CliContext
from workbell.entrypoints.terminal import json_option, show, show_one
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ListedSchedule, ScheduleFilter
from workbell.services.jobs.requests import NewJob

limit_option = click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Maximum number of rows.",
)


@click.group()
def tasks() -> None:
    """List and switch on or off tasks."""


@tasks.command("list")
@json_option
@click.pass_obj
def list_tasks(context: CliContext, as_json: bool) -> None:
    """List tasks and their parameters."""
    with context.application() as application:
        definitions = application.definitions.all()
        held = application.definitions.count_held([d.key for d in definitions])
        rows = [
            {
                "id": d.id,
                "key": d.key,
                "name": d.name,
                "active": d.is_active,
                "parked_since": d.parked_at,
                "held_jobs": held[d.key],
                "takes": d.flat_schema(),
            }
            for d in definitions
        ]
    show(rows, as_json=as_json)


@tasks.command("activate")
@click.argument("task_id", type=int)
@click.option("--off", is_flag=True, help="Switch the task off.")
@click.pass_obj
def activate(context: CliContext, task_id: int, off: bool) -> None:
    """Switch a task on, or off with --off."""
    with context.application() as application:
        definition = application.definitions.set_active(SYSTEM, TaskId(task_id), active=not off)
    click.echo(f"{definition.name} is {'active' if definition.is_active else 'inactive'}.")


@click.group()
def schedules() -> None:
    """List, preview, pause, resume and run schedules."""


@schedules.command("list")
@limit_option
@json_option
@click.pass_obj
def list_schedules(context: CliContext, limit: int, as_json: bool) -> None:
    """List schedules, newest first."""
    with context.application() as application:
        page = application.schedules.find(SYSTEM, ScheduleFilter(), ("-created_at",), 0, limit)
    show(
        [_schedule_row(each) for each in page.schedules],
        as_json=as_json,
        empty="There are no schedules.",
    )


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
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="Number of runs to show.",
)
@click.option(
    "--jitter", type=click.IntRange(0, 3600), default=0, help="Random delay of runs, in seconds."
)
@json_option
def preview_expression(expression: str, zone: str, count: int, jitter: int, as_json: bool) -> None:
    """Describe a cron EXPRESSION in words and show its next runs."""
    from workbell.adapters.system import SystemClock
    from workbell.domain.cron.preview import preview

    rule, now = CronRule(expression, zone), SystemClock().now()
    result = preview(rule, now, count, jitter_seconds=jitter)
    if not as_json:
        click.echo(result.words)
        for warning in result.warnings:
            click.secho(f"! {warning}", fg="yellow")
    show([{"local": r.local, "utc": r.at, "note": r.note} for r in result.runs], as_json=as_json)


@schedules.command("pause")
@click.argument("schedule_id", type=int)
@click.pass_obj
def pause(context: CliContext, schedule_id: int) -> None:
    """Pause a schedule."""
    with context.application() as application:
        application.schedules.edit(SYSTEM, ScheduleId(schedule_id), {"is_active": False})
    click.echo(f"Schedule {schedule_id} is paused.")


@schedules.command("resume")
@click.argument("schedule_id", type=int)
@click.pass_obj
def resume(context: CliContext, schedule_id: int) -> None:
    """Resume a schedule from now on, without its missed runs."""
    with context.application() as application:
        view = application.schedules.edit(SYSTEM, ScheduleId(schedule_id), {"is_active": True})
    click.echo(f"Schedule {schedule_id} runs next at {view.schedule.next_at:%Y-%m-%d %H:%M} UTC.")


@schedules.command("run")
@click.argument("schedule_id", type=int)
@click.pass_obj
def run(context: CliContext, schedule_id: int) -> None:
    """Enqueue one extra run of a schedule now."""
    with context.application() as application:
        job = application.schedules.run_now(SYSTEM, ScheduleId(schedule_id))
    click.echo(f"Job {job.id} was created.")


@click.group()
def workers() -> None:
    """List worker processes."""


@workers.command("list")
@json_option
@click.pass_obj
def list_workers(context: CliContext, as_json: bool) -> None:
    """List worker processes, as of their last heartbeat."""
    with context.application() as application:
        found = application.jobs.workers(SYSTEM)
        rows = [application.serializer.unstructure(worker) for worker in found]
    show(rows, as_json=as_json, empty="There are no workers.")


@click.group()
def jobs() -> None:
    """List, show, enqueue, cancel and retry jobs."""


@jobs.command("list")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice([status.value for status in Status]),
    help="Only jobs with this status; repeatable.",
)
@click.option("--task", help="Only jobs of the task with this key.")
@limit_option
@json_option
@click.pass_obj
def list_jobs(
    context: CliContext, status: tuple[str, ...], task: str | None, limit: int, as_json: bool
) -> None:
    """List jobs, newest first."""
    with context.application() as application:
        filters = JobFilter(statuses=[Status(s) for s in status] or None, task=task)
        page = application.jobs.find(SYSTEM, filters, ("-id",), 0, limit)
    show([_job_row(job) for job in page], as_json=as_json, empty="There are no jobs.")


def _job_row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "task": job.task,
        "status": job.status,
        "attempt": f"{job.tries}/{job.max_attempts}",
        "due": job.due_at,
        "started": job.started_at,
        "ended": job.ended_at,
        "reason": job.reason,
    }


@jobs.command("show")
@click.argument("job_id", type=int)
@json_option
@click.pass_obj
def show_job(context: CliContext, job_id: int, as_json: bool) -> None:
    """Show a job with its attempts, tracebacks and log."""
    with context.application() as application:
        job = application.jobs.get(SYSTEM, JobId(job_id))
        attempts = application.jobs.attempts(SYSTEM, job.id)
        lines = application.jobs.logs(SYSTEM, job.id, attempt=None, after=0, limit=1000)
    row = {
        **_job_row(job),
        "cancel_requested": job.cancel_requested,
        "parameters": job.parameters,
        "result": job.result,
    }
    shown = [attempt_row(attempt, application.serializer) for attempt in attempts]
    if as_json:
        row["attempts"] = shown
        row["logs"] = [application.serializer.unstructure(line) for line in lines]
    show_one(row, as_json=as_json)
    if not as_json:
        for each in shown:
            show_attempt(each)
        for line in lines:
            click.echo(f"  {line.at:%H:%M:%S} {line.level:7} {line.text}")


@jobs.command("enqueue")
@click.argument("task")
@click.argument("parameters", default="{}")
@click.option(
    "--at", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="Start time with UTC offset."
)
@click.option("--key", help="Idempotency key: a repeated call returns the first job.")
@click.pass_obj
def enqueue(
    context: CliContext, task: str, parameters: str, at: datetime | None, key: str | None
) -> None:
    """Enqueue a job of TASK with PARAMETERS, a JSON object."""
    try:
        given = json.loads(parameters)
    except ValueError as error:
        message = f"must be a JSON object: {error}"
        raise click.BadParameter(message, param_hint="PARAMETERS") from error
    if not isinstance(given, dict):
        raise click.BadParameter("must be a JSON object", param_hint="PARAMETERS")
    with context.application() as application:
        new = NewJob(task_definition=task, parameters=given, scheduled_time=at)
        job, created = application.jobs.create(SYSTEM, new, idempotency_key=key)
    click.echo(f"Job {job.id} was {'created' if created else 'enqueued before'}.")


@jobs.command("cancel")
@click.argument("job_id", type=int)
@click.pass_obj
def cancel(context: CliContext, job_id: int) -> None:
    """Cancel a job, or request that a running one stops."""
    with context.application() as application:
        job = application.jobs.cancel(SYSTEM, JobId(job_id))
    outcome = "was cancelled" if job.state.ended else "is running; its cancellation was requested"
    click.echo(f"Job {job_id} {outcome}.")


@jobs.command("cancellations")
@json_option
@click.pass_obj
def list_cancellations(context: CliContext, as_json: bool) -> None:
    """List cancellations of many jobs that are in progress."""
    with context.application() as application:
        found = application.schedules.cancellations.progress(SYSTEM)
    rows = [
        {
            "owner": each.cancellation.owner,
            "schedule": each.cancellation.schedule_id,
            "reason": each.cancellation.reason,
            "started": each.cancellation.started_at,
            "cancelled": each.cancellation.cancelled,
            "left": each.left,
        }
        for each in found
    ]
    show(rows, as_json=as_json, empty="No cancellations are in progress.")


@jobs.command("retry")
@click.argument("job_id", type=int)
@click.pass_obj
def retry(context: CliContext, job_id: int) -> None:
    """Retry a failed job; rerun a succeeded one as a new job."""
    with context.application() as application:
        job, new = application.jobs.retry(SYSTEM, JobId(job_id))
    click.echo(f"Job {job.id} {'was created' if new else 'will be retried'}.")
