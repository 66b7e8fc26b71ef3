"""Rules for all files: length, imports, docstrings, sources of time and chance."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FILES = sorted(
    path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if "migrations" not in path.parts
)
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))

LONGEST_FILE = 450
LONGEST_FUNCTION = 60
PURE = ("domain", "ports", "services")
IMPURE = (
    "os.environ",
    "os.getenv",
    "time.sleep",
    "uuid.uuid1",
    "uuid.uuid4",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "random",
)
LOGGING = ("logging", "structlog")


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a source file."""
    return ast.parse((SOURCE / path).read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> dict[str, str]:
    """Return the dotted path of each imported name; relative ones start with a dot."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                found[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
    return found


def roots(tree: ast.AST) -> set[str]:
    """Return the top-level packages of all imports."""
    return {name.partition(".")[0] for name in imported(tree).values()}


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """Return the full path of a name or of an attribute of one, or nothing."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def uses(path: Path, forbidden: Iterable[str]) -> Iterator[str]:
    """Yield each use of one of the dotted paths or their members in a file."""
    tree = parsed(path)
    names = imported(tree)
    for node in ast.walk(tree):
        whole = dotted(node, names)
        for one in forbidden:
            if whole == one or whole.startswith(f"{one}."):
                yield f"{path}:{getattr(node, 'lineno', 0)}: {whole}"


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's length in lines, without its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    excluded = 0 if docstring is None else (docstring.end_lineno or 0) - docstring.lineno + 1
    return (function.end_lineno or 0) - function.lineno + 1 - excluded


def test_every_file_starts_with_a_one_line_docstring() -> None:
    """Of at most 72 characters; it does not begin with "This module"."""
    for path in FILES:
        docstring = ast.get_docstring(parsed(path))
        assert docstring, path
        caption = docstring.splitlines()[0]
        assert len(caption) <= 72, path
        assert caption.endswith("."), path
        of_itself = ("this ", "module ", "file ", "contains ", "defines ")
        assert not caption.lower().startswith(of_itself), path


def test_package_files_contain_only_a_docstring() -> None:
    """Code is in named modules."""
    packages = [path for path in FILES if path.name == "__init__.py" and len(path.parts) > 1]
    assert [path for path in packages if len(parsed(path).body) != 1] == []


def test_a_file_is_short() -> None:
    """Longer files are split."""
    lines = {path: (SOURCE / path).read_text(encoding="utf-8").splitlines() for path in FILES}
    assert [path for path in FILES if len(lines[path]) > LONGEST_FILE] == []


def test_a_function_is_short() -> None:
    """Longer functions are split."""
    long = {
        f"{path}: {node.name} ({lines_of(node)} lines)"
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > LONGEST_FUNCTION
    }
    assert not long


def test_inside_the_package_imports_are_absolute() -> None:
    """`typings/workbell` maps the package, so every import can name it in full."""
    relative = [
        path
        for path in FILES
        if any(name.startswith(".") for name in imported(parsed(path)).values())
    ]
    assert relative == []


def test_only_adapters_read_time_randomness_and_environment() -> None:
    """Other code gets them as arguments."""
    for path in FILES:
        if path.parts[0] != "entrypoints" and path != Path("adapters/system.py"):
            assert not list(uses(path, IMPURE))


def test_the_inner_layers_do_not_log() -> None:
    """They return, raise, or write to the audit trail."""
    inner = [path for path in FILES if path.parts[0] in PURE]
    assert [path for path in inner if roots(parsed(path)) & set(LOGGING)] == []


def test_tests_import_the_package_as_workbell() -> None:
    """Imported as `src`, every module would exist twice."""
    for path in TESTS:
        assert "src" not in roots(ast.parse((ROOT / path).read_text(encoding="utf-8"))), path


def test_the_rules_detect_violations(tmp_path: Path) -> None:
    """Also with import aliases."""
    violating = tmp_path / "violating.py"
    violating.write_text(
        "import os, random\n"
        "import datetime as d\n"
        "from datetime import datetime\n"
        "from time import sleep as nap\n"
        "from uuid import uuid4\n"
        "print(os.environ['A'], random.random(), d.datetime.now(), datetime.now(), uuid4())\n"
        "nap(1)\n"
    )
    found = {place.rpartition(" ")[2] for place in uses(violating, IMPURE)}
    assert found == {
        "os.environ",
        "random",
        "random.random",
        "datetime.datetime.now",
        "uuid.uuid4",
        "time.sleep",
    }
