"""The figures of the guarantees are those of the results, and none is bad."""

import json
import re

import pytest

from benchmarks.guarantees import PAGE, RESULTS, page

pytestmark = pytest.mark.unit


def test_the_page_says_what_was_measured() -> None:
    """`python -m benchmarks.guarantees` writes it."""
    text = PAGE.read_text()
    assert page(text) == text


def test_every_fault_of_the_list_has_a_proof_that_there_is() -> None:
    """F1 to F24: done to processes, or by a test that the page names."""
    text = PAGE.read_text()
    assert {int(n) for n in re.findall(r"^\| F(\d+) ", text, re.MULTILINE)} == set(range(1, 25))
    named = set(re.findall(r"`((?:tests|benchmarks)/[\w/.]+)`", text))
    assert named and [name for name in named if not (PAGE.parents[1] / name).exists()] == []


def test_nothing_was_lost_or_doubled() -> None:
    rows = json.loads((RESULTS / "faults.json").read_text())["rows"]
    assert {row["database"] for row in rows} == {"sqlite", "postgresql", "mariadb"}
    assert [row for row in rows if row["lost"] or row["doubled"] or row["wrong"]] == []
