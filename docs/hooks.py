"""MkDocs hooks: generate the reference pages and the list of decisions."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from click.testing import CliRunner
from falcon import testing
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from workbell.adapters.http.app import build_app
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.cli.main import main
from workbell.entrypoints.config.settings import Settings, reference

DOCS = Path(__file__).parent
MARK = "<!-- generated -->"


def settings() -> str:
    """Return the tables of all settings, without the title of the page."""
    return reference().partition("\n")[2]


def commands() -> str:
    """Return a section with the help text of each command."""
    return "\n".join(_sections(main, None, "workbell"))


def routes() -> str:
    """Return a table of the routes for each tag of the OpenAPI document."""
    document = json.loads(CliRunner().invoke(main, ["openapi"]).stdout)
    lines = []
    for tag in document["tags"]:
        lines += [f"\n## {tag['name']}\n", "| Route | Access token | Effect |", "|---|---|---|"]
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation.get("tags", ()):
                    needed = "required" if operation.get("security") else "none"
                    route = f"`{method.upper()} {path}`"
                    lines.append(f"| {route} | {needed} | {operation['summary']} |")
    return "\n".join(lines)


def metrics() -> str:
    """Return a table of the metrics of all processes, and one of the API's own."""
    with TemporaryDirectory() as folder:
        settings = Settings(
            database_url="memory://", data_dir=Path(folder), metrics_token="reference"
        )
        with closing(build(settings)) as application:
            shared = application.metrics.exposition().decode()
            client = testing.TestClient(build_app(application.app_dependencies()))
            headers = {"Authorization": "Bearer reference"}
            every = client.simulate_get("/metrics", headers=headers).text
    names = {family.name for family in text_string_to_metric_families(shared)}
    families = list(text_string_to_metric_families(every))
    return "\n".join(
        [
            "## Metrics of every process\n",
            *_metric_table(each for each in families if each.name in names),
            "\n## Metrics of the API only\n",
            "The API reads them from the database, so they cover all processes.\n",
            *_metric_table(each for each in families if each.name not in names),
        ]
    )


def _metric_table(families: Iterable[Metric]) -> Iterator[str]:
    yield "| Metric | Type | Meaning |"
    yield "|---|---|---|"
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield f"| `{name}` | {family.type} | {family.documentation} |"


GENERATED: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings,
    "reference/commands.md": commands,
    "reference/routes.md": routes,
    "reference/metrics.md": metrics,
}
"""The pages whose mark is replaced by generated text."""


def render(source: str, markdown: str) -> str:
    """Return the text of a page with its generated part."""
    generate = GENERATED.get(source)
    return markdown if generate is None else markdown.replace(MARK, generate())


def on_config(config: Any) -> Any:
    """Add the decision records to the navigation."""
    paths = sorted((DOCS / "decisions").glob("*.md"), key=lambda path: (path.stem != "index", path))
    pages = [{_title(path): path.relative_to(DOCS).as_posix()} for path in paths]
    config["nav"][-1]["Contributing"].append({"Decisions": pages})
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fill in the generated part of a page."""
    return render(page.file.src_uri, markdown)


def _title(path: Path) -> str:
    found = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return "All decisions" if path.stem == "index" else found[1] if found else path.stem


def _sections(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    options = command.context_settings | {"terminal_width": 90}
    context = click.Context(command, parent=parent, info_name=name, **options)
    level = "##" if parent is None or parent.parent is None else "###"
    yield f"{level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _sections(found, context, child)
