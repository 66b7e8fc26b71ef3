"""The page of guarantees shows the stored results, and nothing was lost."""

import json
import re

import pytest

from benchmarks.guarantees import PAGE, RESULTS, page

pytestmark = pytest.mark.unit


def test_the_page_shows_the_stored_results() -> None:
    """Run `python -m benchmarks.guarantees` to write the page."""
    text = PAGE.read_text()
    assert page(text) == text


def test_every_fault_is_injected_or_covered_by_a_test_that_exists() -> None:
    """F1 to F24 have a row each, and every file that the page names exists."""
    text = PAGE.read_text()
    assert {int(n) for n in re.findall(r"^\| F(\d+) ", text, re.MULTILINE)} == set(range(1, 25))
    named = set(re.findall(r"`((?:tests|benchmarks)/[\w/.]+)`", text))
    assert named and [name for name in named if not (PAGE.parents[1] / name).exists()] == []


def test_nothing_was_lost_or_duplicated() -> None:
    rows = json.loads((RESULTS / "faults.json").read_text())["rows"]
    assert {row["database"] for row in rows} == {"sqlite", "postgresql", "mariadb"}
    assert [row for row in rows if row["lost"] or row["doubled"] or row["wrong"]] == []
