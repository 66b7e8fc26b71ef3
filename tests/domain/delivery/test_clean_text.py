"""Texts of responses that every database can store."""

import pytest

from workbell.domain.delivery.delivery import SendResult, clean_text

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain ünï 日本 😀\r\n\t", "plain ünï 日本 😀\r\n\t"),
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\ud800x\udfff", "\N{REPLACEMENT CHARACTER}x\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_nul_and_lone_surrogates_are_replaced(text: str, expected: str) -> None:
    assert clean_text(text) == expected
    result = SendResult(error="e", detail=text, snippet=text, response_headers={text: text})
    assert (result.detail, result.snippet) == (expected, expected)
    assert result.response_headers == {expected: expected}
