"""The command line: start, administer and inspect the service."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from workbell.domain.errors import Invalid, NotFound, Unavailable, WorkbellError
from workbell.domain.identity.actor import SYSTEM
from workbell.entrypoints.bench.cli import bench
from workbell.entrypoints.cli.audit_commands import audit
from workbell.entrypoints.cli.backup_commands import backup, restore
from workbell.entrypoints.cli.commands import jobs, schedules, tasks, workers
from workbell.entrypoints.cli.context import CliContext
from workbell.entrypoints.cli.demo import demo
from workbell.entrypoints.cli.search_commands import search
from workbell.entrypoints.terminal import json_option, show

EXIT_FAILED = 1
EXIT_USAGE = 2


class CommandGroup(click.Group):
    """A command group that prints Workbell's errors as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a WorkbellError becomes a message and an exit status."""
        try:
            return super().invoke(ctx)
        except WorkbellError as error:
            click.echo(f"workbell: {error.detail}", err=True)
            usage = isinstance(error, (Invalid, NotFound, Unavailable))
            sys.exit(EXIT_USAGE if usage else EXIT_FAILED)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("workbell"), prog_name="workbell")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with settings; environment variables and .env override it.",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Cron schedules and background jobs, with a record of every run."""
    ctx.obj = CliContext(config)


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one."
)
@click.pass_obj
def up(context: CliContext, host: str | None, port: int | None) -> None:
    """Run API, scheduler and workers in one process."""
    from workbell.entrypoints.processes.all_in_one import serve

    sys.exit(serve(context.settings(host=host, port=port)))


@main.command()
@click.pass_obj
def worker(context: CliContext) -> None:
    """Run jobs (needs a database server)."""
    from workbell.entrypoints.processes.worker import run

    sys.exit(run(context.settings(), "worker"))


@main.command()
@click.pass_obj
def scheduler(context: CliContext) -> None:
    """Enqueue due schedules (needs a database server)."""
    from workbell.entrypoints.processes.worker import run

    sys.exit(run(context.settings(), "scheduler"))


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Number of API processes on that port.",
)
@click.pass_obj
def api(context: CliContext, host: str | None, port: int | None, workers: int) -> None:
    """Serve the HTTP API (needs a database server)."""
    from workbell.entrypoints.processes.api import serve

    sys.exit(serve(context.settings(host=host, port=port), workers))


@main.command()
@click.pass_obj
def migrate(context: CliContext) -> None:
    """Create or upgrade the database tables to this release."""
    with context.application() as application:
        click.echo(f"The database is at revision {application.store.schema_version()}.")


@main.command()
@json_option
@click.pass_obj
def check(context: CliContext, as_json: bool) -> None:
    """Report errors and risks of this installation."""
    from workbell.entrypoints.cli.checks import check_installation

    findings = check_installation(context.settings())
    show(
        [{"level": f.level, "what": f.subject, "detail": f.detail} for f in findings],
        as_json=as_json,
        empty="No problems found.",
        max_width=1000,
    )
    sys.exit(EXIT_FAILED if any(f.level == "error" for f in findings) else 0)


@main.group()
def superuser() -> None:
    """Manage administrators."""


@superuser.command("create")
@click.option("--username", required=True, help="Username for login.")
@click.option("--email", required=True, help="Email address; it counts as verified.")
@click.password_option(help="Password; prompted for if omitted.")
@click.pass_obj
def create_superuser(context: CliContext, username: str, email: str, password: str) -> None:
    """Create an administrator."""
    with context.application() as application:
        user = application.identity.create_superuser(username, email, password)
    click.echo(f"Administrator {user.username} was created.")


@superuser.command("remove-second-factor")
@click.option("--username", required=True, help="Username or email address of the user.")
@click.pass_obj
def remove_second_factor(context: CliContext, username: str) -> None:
    """Remove the second factor of a user who lost it."""
    with context.application() as application:
        with application.store.view() as tx:
            user = tx.users.by_login(username)
        if user is None:
            raise NotFound(f"There is no user {username!r}.")
        removed = application.users.remove_second_factor(SYSTEM, user.id)
    if removed:
        click.echo(f"The second factor of {user.username} was removed.")
    else:
        click.echo(f"{user.username} has no second factor.")


@main.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; default: stdout.",
)
@click.pass_obj
def openapi(context: CliContext, output: Path | None) -> None:
    """Print the OpenAPI document."""
    from workbell.entrypoints.processes.all_in_one import openapi_document

    document = openapi_document(context.settings())
    if output is None:
        click.echo(document.decode())
    else:
        output.write_bytes(document)


@main.command()
@click.pass_obj
def shell(context: CliContext) -> None:
    """Open a Python prompt with an open client named `client`."""
    import code
    from importlib import import_module

    from workbell.entrypoints.library.client import open_client

    settings = context.settings()
    with open_client(settings.database_url, data_dir=settings.data_dir) as client:
        banner = "Try client.jobs, client.schedules and client.run_until_idle()."
        names = {"client": client, "workbell": import_module("workbell")}
        code.interact(banner=banner, local=names, exitmsg="")


for _command in (tasks, schedules, jobs, workers, audit, search, backup, restore, bench, demo):
    main.add_command(_command)
