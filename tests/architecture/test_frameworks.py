"""Frameworks are used as their authors intend; see decision 0001."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import falcon
import pytest

from tests.adapters.http.conftest import build_api
from workbell.adapters.http.app import build_app

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FILES = sorted(
    path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if "migrations" not in path.parts
)
REMOVED = {"cffi", "cheroot", "ctypes", "granian", "hypercorn", "psycopg.pq", "uvicorn"}
"""Packages that earlier bypasses and servers needed."""
PRCTL = "adapters/child_processes/fork_server.py: ctypes"
"""The standard library has no prctl(2), by which children end with their fork server."""


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a source file."""
    return ast.parse((SOURCE / path).read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted path of each module or member that a file imports."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path, name: str) -> int:
    """Count the calls of a function or method in a file."""
    return sum(
        isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name
        for node in ast.walk(parsed(path))
    )


def test_removed_packages_are_neither_imported_nor_required() -> None:
    importing = {
        f"{path}: {name}"
        for path in FILES
        for name in imported(path)
        if any(name == each or name.startswith(f"{each}.") for each in REMOVED)
    }
    assert importing == {PRCTL}
    required = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    for package in ("cheroot", "granian"):
        assert package not in required + pinned


def test_no_thread_is_bound_to_a_processor() -> None:
    assert [path for path in FILES if calls(path, "sched_setaffinity")] == []


def test_falcon_answers_every_request() -> None:
    """The application is Falcon's own class; nothing is in front of it."""
    assert type(build_app(build_api(Path()).deps)) is falcon.App


def test_redis_py_sends_every_command() -> None:
    """No file packs commands or uses redis-py's connections itself."""
    private = ("redis.connection", "redis._parsers")
    assert [p for p in FILES for name in imported(p) if name.startswith(private)] == []
    packing = ("pack_command", "send_packed_command", "execute_command")
    assert [p for p in FILES for name in packing if calls(p, name)] == []


def test_sqlalchemy_builds_every_statement_of_repositories() -> None:
    """SQL text is only in inserts, and in single statements of PostgreSQL."""
    contexts = [
        path
        for path in FILES
        if path.parts[:2] == ("adapters", "sql")
        and len(path.parts) > 3
        and path.parts[2] not in {"database", "schema"}
    ]
    written = {p.stem for p in contexts if calls(p, "text") or calls(p, "exec_driver_sql")}
    assert "settle_and_claim_postgresql" in written
    allowed = ("insert", "_postgresql")
    assert {n for n in written if not (n.startswith(allowed[0]) or n.endswith(allowed[1]))} == set()


def test_csv_is_written_in_one_place() -> None:
    """Every cell is escaped there."""
    writing = [path.as_posix() for path in FILES if calls(path, "writer")]
    assert writing == ["adapters/serialization/csv_text.py"]
