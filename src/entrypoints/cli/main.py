"""The command line: start the service, look after it, look into it."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from workbell.domain.errors import Invalid, NotFound, Unavailable, WorkbellError

EXIT_FAILED = 1
EXIT_USAGE = 2


class CliContext:
    """Opens what a command needs, only when it needs it."""

    def __init__(self, config: Path | None) -> None:
        """Remember which TOML file was named."""
        self.config = config

    def settings(self, **given: object) -> Any:
        """Return the settings, those of the command line first."""
        from workbell.entrypoints.config.option import variable
        from workbell.entrypoints.config.settings import load

        said = {variable(name): str(value) for name, value in given.items() if value is not None}
        return load({**os.environ, **said}, config=self.config)

    def open(self, *, prepared: bool = True) -> Any:
        """Return the built house, its store brought up to date."""
        from workbell.entrypoints.bootstrap.build import build, import_task_modules
        from workbell.entrypoints.library.client import DECLARED

        settings = self.settings()
        import_task_modules(settings.tasks)
        application = build(settings, tasks=DECLARED.all())
        if prepared:
            application.migrate_and_register()
        return application


def reports_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command's own errors be one line and an exit status, never a trace."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except WorkbellError as error:
            click.echo(f"workbell: {error.detail}", err=True)
            usage = isinstance(error, (Invalid, NotFound, Unavailable))
            sys.exit(EXIT_USAGE if usage else EXIT_FAILED)

    return run


class Group(click.Group):
    """A group whose commands all report their errors in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        return reports_errors(super().invoke)(ctx)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("workbell"), prog_name="workbell")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with settings; environment and .env come first.",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Work that happens later: schedules, jobs, and proof that they ran."""
    ctx.obj = CliContext(config)


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes any.")
@click.pass_obj
def up(application: CliContext, host: str | None, port: int | None) -> None:
    """Start everything in one process: API, scheduler and workers."""
    from workbell.entrypoints.processes.all_in_one import serve

    sys.exit(serve(application.settings(host=host, port=port)))


@main.command()
@click.pass_obj
def worker(application: CliContext) -> None:
    """Run jobs, on a database server."""
    from workbell.entrypoints.processes.worker import run_worker

    sys.exit(run_worker(application.settings()))


@main.command()
@click.pass_obj
def scheduler(application: CliContext) -> None:
    """Make jobs of due schedules, on a database server."""
    from workbell.entrypoints.processes.worker import run_scheduler

    sys.exit(run_scheduler(application.settings()))


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes."
)
@click.pass_obj
def api(application: CliContext, host: str | None, port: int | None, workers: int) -> None:
    """Answer HTTP requests, on a database server."""
    from workbell.entrypoints.processes.api import serve

    sys.exit(serve(application.settings(host=host, port=port), workers))


@main.command()
@click.pass_obj
def migrate(application: CliContext) -> None:
    """Bring the database's tables up to this release."""
    opened = application.open()
    click.echo(f"The database is at revision {opened.store.schema_version()}.")
    opened.close()


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(application: CliContext, as_json: bool) -> None:
    """Say what is wrong or risky in settings, database and folders."""
    from workbell.entrypoints.cli.checks import findings
    from workbell.entrypoints.terminal import show

    found = findings(application.settings())
    show(
        [{"level": f.level, "what": f.what, "detail": f.detail} for f in found],
        as_json=as_json,
        empty="Everything is in order.",
        widest=1000,
    )
    sys.exit(EXIT_FAILED if any(f.level == "error" for f in found) else 0)


@main.group()
def superuser() -> None:
    """Administrators."""


@superuser.command("create")
@click.option("--username", required=True, help="Name to sign in with.")
@click.option("--email", required=True, help="Address; it counts as verified.")
@click.password_option(help="Password; asked for if left out.")
@click.pass_obj
def create_superuser(application: CliContext, username: str, email: str, password: str) -> None:
    """Create an administrator."""
    opened = application.open()
    user = opened.identity.create_superuser(username, email, password)
    click.echo(f"Administrator {user.username} was created.")
    opened.close()


@superuser.command("remove-second-factor")
@click.option("--username", required=True, help="Name or address of who has lost it.")
@click.pass_obj
def remove_second_factor(application: CliContext, username: str) -> None:
    """Remove a second factor that somebody has lost."""
    from workbell.domain.identity.actor import SYSTEM

    opened = application.open()
    with opened.store.view() as tx:
        user = tx.users.by_login(username)
    if user is None:
        raise NotFound(f"There is no user {username!r}.")
    removed = opened.people.remove_second_factor(SYSTEM, user.id)
    said = "was removed" if removed else "is not there"
    click.echo(f"The second factor of {user.username} {said}.")
    opened.close()


@main.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
@click.pass_obj
def openapi(application: CliContext, output: Path | None) -> None:
    """Print the OpenAPI document."""
    from workbell.entrypoints.processes.all_in_one import openapi_document

    document = openapi_document(application.settings())
    if output is None:
        click.echo(document.decode())
    else:
        output.write_bytes(document)


@main.command()
@click.pass_obj
def shell(application: CliContext) -> None:
    """Open a Python prompt with the library opened as `bell`."""
    import code
    from importlib import import_module

    from workbell.entrypoints.library.client import open_client

    settings = application.settings()
    with open_client(settings.database_url, data_dir=settings.data_dir) as client:
        banner = "`bell` is open: bell.jobs, bell.schedules, bell.run_until_idle()."
        code.interact(
            banner=banner, local={"bell": client, "workbell": import_module("workbell")}, exitmsg=""
        )


def _register() -> None:
    from workbell.entrypoints.bench.cli import bench
    from workbell.entrypoints.cli.backup_commands import backup, restore
    from workbell.entrypoints.cli.commands import jobs, schedules, tasks
    from workbell.entrypoints.cli.demo import demo

    for command in (tasks, schedules, jobs, backup, restore, bench, demo):
        main.add_command(command)


_register()
