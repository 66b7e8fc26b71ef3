"""CSV text: lines, and escaping of cells against formula injection."""

import pytest

from workbell.adapters.serialization.csv_text import csv_lines, to_csv

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "＝", "＋", "－", "＠"])
def test_text_like_a_formula_is_prefixed_with_an_apostrophe(start: str) -> None:
    assert to_csv(["a", "b"], [(f"{start}1", 2)]).decode() == f"a,b\r\n'{start}1,2\r\n"


@pytest.mark.parametrize("start", ["\r", "\n"])
def test_a_line_break_before_a_formula_is_escaped_and_quoted(start: str) -> None:
    assert to_csv(["a"], [(f"{start}1",)]).decode() == f'a\r\n"\'{start}1"\r\n'


@pytest.mark.parametrize("text", ["", "plain", "a=1", " ü", "'=1"])
def test_other_text_is_not_changed(text: str) -> None:
    assert to_csv(["a", "b"], [(text, -1)]).decode() == f"a,b\r\n{text},-1\r\n"


def test_a_table_is_yielded_line_by_line() -> None:
    assert list(csv_lines(["a"], [("1",), ("2",)])) == [b"a\r\n", b"1\r\n", b"2\r\n"]
