"""`workbell demo`: a temporary service with sample data."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workbell.entrypoints.cli.context import CliContext

if TYPE_CHECKING:  # `workbell --help` stays fast
    from workbell.entrypoints.bootstrap.application import Application

USERS = (
    ("ada", "ada@example.org", "Ada", "Lovelace"),
    ("grace", "grace@example.org", "Grace", "Hopper"),
)
PASSWORD = "correct-horse-battery"  # noqa: S105 - a demonstration has nothing to protect
SCHEDULES = (
    ("data.process", "* * * * *", "Nightly figures, every minute",
     {"dataset_size": 20_000, "processing_type": "complex"}),
    ("report.generate", "*/2 * * * *", "Report of the day",
     {"report_type": "daily", "include_charts": True}),
    ("email.send", "0 9 * * 1-5", "Morning mail",
     {"email": "team@example.org", "delay": 5}),
)  # fmt: skip


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one."
)
@click.pass_obj
def demo(context: CliContext, port: int | None) -> None:
    """Run the service with sample data in a temporary folder."""
    from workbell.entrypoints.bootstrap.build import build
    from workbell.entrypoints.processes.all_in_one import serve

    with tempfile.TemporaryDirectory(prefix="workbell-demo-") as scratch:
        folder = Path(scratch)
        settings = context.settings(
            data_dir=folder,
            database_url=f"sqlite:///{folder / 'workbell.db'}",
            admin_password=PASSWORD,
            port=port,
        )
        application = build(settings)
        application.migrate_and_register()
        _add_sample_data(application)
        application.close()
        names = ", ".join(name for name, *_ in USERS)
        click.echo(f"Sign in as {names} or admin, password {PASSWORD}")
        raise SystemExit(serve(settings))


def _add_sample_data(application: "Application") -> None:
    """Add users, schedules and jobs."""
    from workbell.domain.identity.actor import Actor
    from workbell.domain.identity.registration import Registration
    from workbell.services.jobs.requests import NewJob
    from workbell.services.schedules.requests import NewSchedule

    application.ensure_administrator()
    for username, email, first, last in USERS:
        new = Registration(
            username=username, email=email, first_name=first, last_name=last, password=PASSWORD
        )
        actor = Actor.of(application.identity.register(new))
        for task, cron, name, parameters in SCHEDULES:
            schedule = NewSchedule(
                task_definition=task, cron_expression=cron, name=name, parameters=parameters
            )
            application.schedules.create(actor, schedule)
        for size in (1_000, 50_000, 400_000):
            job = NewJob(
                name=f"Figures of {size:,} rows",
                task_definition="data.process",
                parameters={"dataset_size": size, "processing_type": "complex"},
            )
            application.jobs.create(actor, job)
