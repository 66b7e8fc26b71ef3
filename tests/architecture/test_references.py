"""Documents and code refer only to files that the repository has."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "security" / "permissions.md"  # compared with the code by its own test
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "docs/**/*.csv", "deploy/**/*.md")
    for path in ROOT.glob(pattern)
    if path != GENERATED
)
CODE = sorted(
    path
    for folder in ("src", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if ".venvs" not in path.parts
)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
PATH = re.compile(
    r"(?<![\w/.-])((?:src|tests|docs|benchmarks|typings|deploy|requirements)/[\w/.-]*\w)"
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_refers_only_to_files_that_exist(document: Path) -> None:
    """Links are relative to the document, other paths to the repository."""
    text = document.read_text(encoding="utf-8")
    links = [name for name in LINK.findall(text) if not (document.parent / name).exists()]
    paths = [name for name in PATH.findall(text) if not (ROOT / name).exists()]
    assert (links, paths) == ([], [])


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_refers_only_to_files_that_exist(path: Path) -> None:
    """Docstrings and comments name decision records and documents in full."""
    names = PATH.findall(path.read_text(encoding="utf-8"))
    assert [name for name in names if not (ROOT / name).exists()] == []
