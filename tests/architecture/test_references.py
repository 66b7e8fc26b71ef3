"""Documents refer only to files that the repository has."""

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
