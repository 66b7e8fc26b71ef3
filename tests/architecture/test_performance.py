"""PERFORMANCE.md is generated from the stored results."""

from pathlib import Path

import pytest

from workbell.entrypoints.bench.cli import PAGE, render

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    """`workbell bench page` writes it."""
    assert (ROOT / PAGE).read_text() == render(ROOT / "benchmarks" / "results")
