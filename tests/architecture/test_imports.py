"""Import rules: layers, contexts and frameworks, checked by import-linter."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
INNER = sorted(
    path.relative_to(SOURCE)
    for layer in ("domain", "ports", "services")
    for path in (SOURCE / layer).rglob("*.py")
)
ADAPTERS = sorted(
    path.relative_to(SOURCE)
    for path in (SOURCE / "adapters").rglob("*.py")
    if "migrations" not in path.parts
)
FOLDERS = {path.parts[1] for path in ADAPTERS if len(path.parts) > 2}
SHARED = {"change_counters", "observability", "serialization"}
"""Adapter packages that the others may use: spans and metrics, JSON, counters."""
SQL = "workbell.adapters.sql"
DEEPEST = 5
"""The longest chain of imports, each from one file of adapters/sql to another."""
ALLOWED = sys.stdlib_module_names | {"attrs", "workbell"}


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of every module or member that a file imports."""
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
    """An adapter may use the files beside the adapter packages, and a few shared packages."""
    inside = path.parts[1] if len(path.parts) > 2 else None
    for target in imports(path):
        parts = target.split(".")
        if (
            parts[:2] == ["workbell", "adapters"]
            and len(parts) > 2
            and parts[2] in FOLDERS - SHARED
        ):
            assert parts[2] == inside, target


@pytest.mark.unit
@pytest.mark.parametrize("path", INNER, ids=str)
def test_the_inner_layers_import_the_standard_library_and_attrs_only(path: Path) -> None:
    """The standard library and attrs; cron arithmetic in one file besides."""
    roots = {target.partition(".")[0] for target in imports(path)}
    allowed = ALLOWED | ({"croniter"} if path == Path("domain/cron/rule.py") else set())
    assert roots <= allowed


def module_name(path: Path) -> str:
    """Return the dotted name of a file below src."""
    return ".".join(("workbell", *path.with_suffix("").parts))


def sql_imports() -> dict[str, set[str]]:
    """Return which files of adapters/sql each of them imports, wherever in the file."""
    files = {module_name(path): path for path in ADAPTERS if path.parts[1] == "sql"}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        targets = {part for each in imports(path) for part in (each, each.rpartition(".")[0])}
        graph[name] = targets & files.keys() - {name}
    return graph


@pytest.mark.unit
def test_imports_inside_adapters_sql_are_at_most_five_deep() -> None:
    """
    No chain of imports has more than five, and none is a cycle.

    The store, at the top, is a chain's first file; a chain of five imports has
    six files. Migrations do not count.
    """
    graph = sql_imports()

    @cache
    def longest(name: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
        assert name not in above, f"cycle: {' -> '.join((*above, name))}"
        chains = [longest(target, (*above, name)) for target in graph[name]]
        return (name, *max(chains, key=len, default=()))

    chain = max((longest(name) for name in graph), key=len)
    assert chain[0] == f"{SQL}.store"
    assert len(chain) - 1 <= DEEPEST, " -> ".join(chain)


@pytest.mark.unit
def test_one_table_says_which_database_takes_which_path() -> None:
    """Only types, schema and connections branch on the database, not statements."""
    pattern = re.compile(r"dialect\.name\s*(==|!=|in\b)|is_(postgresql|sqlite|mysql)\(")
    asking = {
        path.as_posix()
        for path in ADAPTERS
        if path.parts[1] == "sql" and pattern.search((SOURCE / path).read_text(encoding="utf-8"))
    }
    assert asking <= {
        "adapters/sql/database/column_types.py",
        "adapters/sql/database/mysql.py",
        "adapters/sql/database/server.py",
        "adapters/sql/schema/indexes.py",
        "adapters/sql/schema/upgrade.py",
    }
