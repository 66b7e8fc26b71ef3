"""Commands for the search index."""

import click

from workbell.entrypoints.cli.context import CliContext


@click.group()
def search() -> None:
    """Maintain the search index."""


@search.command("rebuild")
@click.option("--restart", is_flag=True, help="Begin again after an interrupted rebuild.")
@click.pass_obj
def rebuild(context: CliContext, restart: bool) -> None:
    """Rebuild the search index of all tasks; the service may run."""
    from workbell.services.search.rebuild import SearchRebuild

    total = 0
    with context.application() as application:
        batches = SearchRebuild(application.store).run(restart=restart)
        with click.progressbar(batches, label="Indexing tasks") as counts:
            for count in counts:
                total += count
    click.echo(f"{total:,} tasks were indexed.")
