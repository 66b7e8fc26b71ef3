"""Escaping of CSV cells against formula injection."""

import pytest

from workbell.adapters.serialization.csv_text import escape_formula

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_text_like_a_formula_is_prefixed_with_an_apostrophe(start: str) -> None:
    assert escape_formula(f"{start}1") == f"'{start}1"


@pytest.mark.parametrize("text", ["", "plain", "a=1", " ü", "'=1"])
def test_other_text_is_not_changed(text: str) -> None:
    assert escape_formula(text) == text
