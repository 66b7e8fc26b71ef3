"""What a process keeps in memory while it has nothing to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import workbell
from workbell.entrypoints.bench.idle import measure

# the goal is 120, and 90 is aimed at; what developers have beside is in these figures, too
FIRST_START_MIB = 100
LATER_START_MIB = 90
COVERAGE_MIB = 20 if "COVERAGE_PROCESS_CONFIG" in os.environ else 0

pytestmark = pytest.mark.integration


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it in /proc")
def test_a_service_that_has_nothing_to_do_is_small() -> None:
    """After the start that makes its tables, after any later one, and after logins."""
    first, later, used = (row["resident, MiB"] - COVERAGE_MIB for row in measure(print))
    assert first < FIRST_START_MIB
    assert later < LATER_START_MIB
    assert used < FIRST_START_MIB


def test_what_few_starts_need_is_not_imported_by_all() -> None:
    spared = {"alembic", "mako", "opentelemetry", "psycopg", "pymysql", "redis"}
    assert not spared & imported_by("workbell.entrypoints.processes.all_in_one")


def test_the_list_of_commands_waits_for_no_database() -> None:
    assert not {"alembic", "falcon", "sqlalchemy"} & imported_by("workbell.entrypoints.cli.main")


def imported_by(module: str) -> set[str]:
    listed = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(Path(workbell.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.split())
