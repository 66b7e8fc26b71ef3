"""Commands that put an installation into one file, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from workbell.entrypoints.terminal import show_one

the_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@the_file
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@as_json
@click.pass_obj
def backup(application: Any, file: Path, force: bool, as_json: bool) -> None:
    """Copy database, artifacts and key into FILE, at any time."""
    from workbell.entrypoints.backup.create import create, installation_paths, summarise

    place = installation_paths(application.settings())
    with click.progressbar(length=0, label="Backing up", hidden=as_json) as bar:
        manifest = create(place, file, force=force, watch=lambda total: _lengthen(bar, total))
    show_one(summarise(file, manifest), as_json=as_json)


def _lengthen(bar: Any, total: int) -> Callable[[int], None]:
    bar.length = total
    moved: Callable[[int], None] = bar.update
    return moved


@click.command()
@the_file
@click.option("--force", is_flag=True, help="Replace what is there; it is kept aside.")
@as_json
@click.pass_obj
def restore(application: Any, file: Path, force: bool, as_json: bool) -> None:
    """Put database, artifacts and key back from a backup FILE."""
    from workbell.entrypoints.backup.create import installation_paths, summarise
    from workbell.entrypoints.backup.restore import flush_redis, restore

    settings = application.settings()
    manifest, aside = restore(file, installation_paths(settings), force=force)
    told = {**summarise(file, manifest), "kept_aside": aside}
    if settings.redis_url is not None:
        told["redis"] = flush_redis(settings.redis_url)
    show_one(told, as_json=as_json)
