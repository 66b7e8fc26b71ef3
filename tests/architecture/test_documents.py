"""Documents: links and anchors resolve, generated pages are complete, the site builds."""

import os
import re
import runpy
import subprocess
import sys
from contextlib import closing
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from attrs import fields

from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.cli.main import main
from workbell.entrypoints.config.option import variable
from workbell.entrypoints.config.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOOKS: dict[str, Any] = runpy.run_path(str(DOCS / "hooks.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
SLUGIFY: Any = import_module("markdown.extensions.toc").slugify
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+?)(?: \{.*\})?$", re.MULTILINE)
EXTERNAL = ("http://", "https://", "mailto:")


@cache
def _text(document: Path) -> str:
    """Return a document with its generated part and without code blocks."""
    text = document.read_text(encoding="utf-8")
    if document.is_relative_to(DOCS):
        text = HOOKS["render"](document.relative_to(DOCS).as_posix(), text)
    return FENCE.sub("", text)


@cache
def _anchors(document: Path) -> frozenset[str]:
    return frozenset(
        SLUGIFY(heading.replace("`", ""), "-") for heading in HEADING.findall(_text(document))
    )


def _problem(document: Path, link: str) -> str | None:
    name, _, anchor = link.partition("#")
    target = (document.parent / name).resolve() if name else document
    if not target.is_relative_to(ROOT) or not target.is_file():
        return f"{link}: no such file"
    if anchor and anchor not in _anchors(target):
        return f"{link}: no such heading"
    return None


@pytest.mark.unit
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    """A link names a file, never a folder, and every anchor is a heading."""
    links = LINK.findall(CODE.sub("", _text(document)))
    internal = [link for link in links if not link.startswith(EXTERNAL)]
    assert [problem for link in internal if (problem := _problem(document, link))] == []


@pytest.mark.unit
def test_the_settings_page_lists_every_setting() -> None:
    page = _text(DOCS / "reference/settings.md")
    assert [field.name for field in fields(Settings) if variable(field.name) not in page] == []


@pytest.mark.unit
def test_the_commands_page_has_a_section_for_every_command() -> None:
    headings = HEADING.findall(_text(DOCS / "reference/commands.md"))
    assert {f"workbell {name}" for name in main.commands} <= set(headings)
    assert "workbell jobs retry" in headings


@pytest.mark.unit
def test_the_metrics_page_lists_metrics_of_every_process() -> None:
    page = _text(DOCS / "reference/metrics.md")
    before, _, after = page.partition("## Metrics of the API only")
    assert "| `workbell_job_attempts_total` | counter | Attempts that ended" in before
    assert "| `workbell_job_run_seconds` | histogram | " in before
    assert "| `workbell_workers_live` | gauge | " in after


def test_the_routes_page_lists_routes_of_every_interface() -> None:
    page = _text(DOCS / "reference/routes.md")
    for route in (
        "POST /api/v1/schedules",
        "POST /api/token/",
        "GET /api/tasks/",
        "POST /users/login/",
        "GET /api/job-results/",
    ):
        assert f"`{route}`" in page


@pytest.mark.unit
def test_the_python_page_documents_every_public_name() -> None:
    import workbell
    import workbell.webhooks

    page = (DOCS / "reference/python.md").read_text(encoding="utf-8")
    for module in (workbell, workbell.webhooks):
        path = re.escape(module.__name__)
        documented = set(re.findall(rf"^::: {path}\.(\w+)$", page, re.MULTILINE))
        assert documented == set(module.__all__)


@pytest.mark.unit
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_settings_in_documents_exist(document: Path) -> None:
    """A name with the prefix is a setting, or the beginning of one followed by dots."""
    known = {variable(field.name) for field in fields(Settings)} | {"WORKBELL_CONFIG"}
    text = document.read_text(encoding="utf-8")
    names = re.findall(r"WORKBELL_[A-Z_]+(?:\.\.\.|\*)?", text)
    unknown = {
        name
        for name in names
        if name not in known and not (name.endswith(("_", "...", "*")) or "TEST" in name)
    }
    assert unknown == set()


@pytest.mark.integration
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference/python.html").read_text("utf-8").count("<h3") > 15


@pytest.mark.unit
def test_the_tasks_page_has_every_built_in_task_with_its_parameters(tmp_path: Path) -> None:
    page = (DOCS / "tasks.md").read_text(encoding="utf-8")
    rows = [re.findall(r"`([\w.]+)`", line) for line in page.splitlines() if line[:3] == "| `"]
    documented = {key: set(names) for key, *names in rows}
    with closing(build(Settings(data_dir=tmp_path, database_url="memory://"))) as application:
        for task in application.tasks.all():
            assert f"`{task.key}`" in page
            if task.key in documented and task.parameters is not None:
                names = {field.name for field in fields(task.parameters)}
                assert names <= documented[task.key], task.key
