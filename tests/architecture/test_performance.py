"""The page of performance shows the stored results."""

from pathlib import Path

import pytest

from workbell.entrypoints.bench.cli import PAGE, render

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_stored_results() -> None:
    """Run `workbell bench page` to write the page."""
    assert (ROOT / PAGE).read_text() == render(ROOT / "benchmarks" / "results")
