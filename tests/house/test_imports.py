"""The walls between the floors, as the import linter sees them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
INNER = sorted(
    path.relative_to(SOURCE)
    for floor in ("domain", "ports", "services")
    for path in (SOURCE / floor).rglob("*.py")
)
ADAPTERS = sorted(
    path.relative_to(SOURCE)
    for path in (SOURCE / "adapters").rglob("*.py")
    if "migrations" not in path.parts
)
FOLDERS = {path.parts[1] for path in ADAPTERS if len(path.parts) > 2}
WELCOME = sys.stdlib_module_names | {"attrs"}


@pytest.mark.integration
def test_the_contracts_hold() -> None:
    """Imports run down only, adapters stay apart, and frameworks stay outside."""
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [linter, "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.unit
@pytest.mark.parametrize("path", ADAPTERS, ids=str)
def test_adapters_do_not_import_one_another(path: Path) -> None:
    """A folder stands for itself; what several folders share is a file beside them."""
    inside = path.parts[1] if len(path.parts) > 2 else None
    depth = len(path.parts) - 1
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = path.parts[: depth - node.level + 1]
            whole = (*start, *(node.module or "").split("."))
            targets = [whole] if node.module else [(*start, alias.name) for alias in node.names]
            for target in targets:
                if target[0] == "adapters" and len(target) > 1 and target[1] in FOLDERS:
                    assert target[1] == inside, f"line {node.lineno}: {'.'.join(target)}"


@pytest.mark.unit
@pytest.mark.parametrize("path", INNER, ids=str)
def test_the_inner_floors_need_next_to_nothing(path: Path) -> None:
    """The standard library and attrs; cron arithmetic in one file besides."""
    roots: set[str] = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots.add((node.module or "").partition(".")[0])
    allowed = WELCOME | ({"croniter"} if path == Path("domain/cron.py") else set())
    assert roots <= allowed
