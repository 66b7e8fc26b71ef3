"""Commands that back up and restore an installation."""

from collections.abc import Callable
from pathlib import Path

import click

from workbell.entrypoints.cli.context import CliContext
from workbell.entrypoints.terminal import json_option, show_one

file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@file_argument
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@json_option
@click.pass_obj
def backup(context: CliContext, file: Path, force: bool, as_json: bool) -> None:
    """Back up database, artifacts and secret key to FILE."""
    from workbell.entrypoints.backup.create import create, installation_paths, summarise

    paths = installation_paths(context.settings())
    with click.progressbar(length=0, label="Backing up", hidden=as_json) as bar:

        def set_length(total: int) -> Callable[[int], None]:
            bar.length = total
            return bar.update

        manifest = create(paths, file, force=force, watch=set_length)
    show_one(summarise(file, manifest), as_json=as_json)


@click.command()
@file_argument
@click.option("--force", is_flag=True, help="Replace existing data; the old files are renamed.")
@json_option
@click.pass_obj
def restore(context: CliContext, file: Path, force: bool, as_json: bool) -> None:
    """Restore a backup FILE; stop the service first."""
    from workbell.entrypoints.backup.create import installation_paths, summarise
    from workbell.entrypoints.backup.restore import flush_redis, restore

    settings = context.settings()
    manifest, aside = restore(file, installation_paths(settings), force=force)
    row = {**summarise(file, manifest), "set_aside": aside}
    if settings.redis_url is not None:
        row["redis"] = flush_redis(settings.redis_url)
    show_one(row, as_json=as_json)
