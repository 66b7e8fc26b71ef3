"""docs/guarantees.md is generated from the stored results, which are clean."""

import json
import re

import pytest

from benchmarks.guarantees import PAGE, RESULTS, page

pytestmark = pytest.mark.unit


def test_the_page_is_current() -> None:
    """`python -m benchmarks.guarantees` writes it."""
    text = PAGE.read_text()
    assert page(text) == text


def test_every_fault_has_a_result_or_a_test() -> None:
    """F1 to F24: injected into processes, or covered by a test that the page names."""
    text = PAGE.read_text()
    assert {int(n) for n in re.findall(r"^\| F(\d+) ", text, re.MULTILINE)} == set(range(1, 25))
    named = set(re.findall(r"`((?:tests|benchmarks)/[\w/.]+)`", text))
    assert named and [name for name in named if not (PAGE.parents[1] / name).exists()] == []


@pytest.mark.parametrize("title", ["Delivery of events", "Projects"])
def test_every_guarantee_names_tests_that_exist(title: str) -> None:
    section = PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    for row in rows:
        proofs = re.findall(r"`(tests/[\w/.]+)`: ((?:`test_\w+`(?:, )?)+)", row)
        assert proofs, row
        for file, names in proofs:
            source = (PAGE.parents[1] / file).read_text()
            for name in re.findall(r"\w+", names):
                assert f"def {name}(" in source, (file, name)


def test_no_job_was_lost_or_doubled() -> None:
    rows = json.loads((RESULTS / "faults.json").read_text())["rows"]
    assert {row["database"] for row in rows} == {"sqlite", "postgresql", "mariadb"}
    assert [row for row in rows if row["lost"] or row["doubled"] or row["wrong"]] == []
