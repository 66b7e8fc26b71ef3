"""The documented examples run and print the documented output."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PRINTS = {
    "first_job.py": "Hello, Ada!\n",
    "schedule.py": "succeeded 08:01\nsucceeded 16:01, covers 480 ticks\n",
    "with_your_transaction.py": "succeeded {'welcomed': 'Ada'}\n",
    "retries.py": (
        "good: succeeded done at attempt 1\n"
        "snooze: retrying in a minute\n"
        "wrong: failed these parameters are not supported\n"
        "broken: retrying RuntimeError: the server is busy\n"
    ),
    "files_and_progress.py": (
        "succeeded {'rows': 100} Progress(done=100, total=100, note='writing')\n"
    ),
}


def test_every_example_is_run() -> None:
    """Every file of the examples folder is tested here."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("name", PRINTS)
def test_an_example_prints_the_documented_output(name: str, tmp_path: Path) -> None:
    """It runs in a separate process, in an empty folder."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    # the migration of a new database is logged
    logged = [line for line in done.stderr.splitlines() if "schema_migrated" not in line]
    assert (logged, done.stdout) == ([], PRINTS[name])
