"""The figures of the guarantees are those of the results, and none is bad."""

import json

import pytest

from benchmarks.guarantees import PAGE, RESULTS, page

pytestmark = pytest.mark.unit


def test_the_page_says_what_was_measured() -> None:
    """`python -m benchmarks.guarantees` writes it."""
    text = PAGE.read_text()
    assert page(text) == text


def test_nothing_was_lost_or_doubled() -> None:
    rows = json.loads((RESULTS / "faults.json").read_text())["rows"]
    assert {row["database"] for row in rows} == {"sqlite", "postgresql", "mariadb"}
    assert [row for row in rows if row["lost"] or row["doubled"] or row["wrong"]] == []
