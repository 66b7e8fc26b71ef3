"""No two files of the package import each other, directly or through others."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FILES = {
    ".".join(("workbell", *path.relative_to(SOURCE).with_suffix("").parts)): path
    for path in SOURCE.rglob("*.py")
    if "migrations" not in path.parts and path.name != "__init__.py"
}


def imported_files(path: Path) -> set[str]:
    """Return the files that a file imports, inside functions too."""
    targets: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            targets |= {str(node.module), *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Import):
            targets |= {each.name for each in node.names}
    return targets & FILES.keys()


@pytest.mark.unit
def test_files_form_no_import_cycle() -> None:
    """A topological order of all files exists; otherwise graphlib names the cycle."""
    graph = {name: imported_files(path) for name, path in FILES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(FILES)
