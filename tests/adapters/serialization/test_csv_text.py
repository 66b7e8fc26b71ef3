"""CSV cells that no spreadsheet evaluates."""

import pytest

from workbell.adapters.serialization.csv_text import escape_formula

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_what_looks_like_a_formula_gets_an_apostrophe(start: str) -> None:
    assert escape_formula(f"{start}1") == f"'{start}1"


@pytest.mark.parametrize("text", ["", "plain", "a=1", " ü", "'=1"])
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert escape_formula(text) == text
