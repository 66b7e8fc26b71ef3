"""Tokens and their encoded form."""

import re
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.search.tokens import (
    MAX_ENCODED,
    encode_text,
    encode_token,
    is_unspaced,
    normalize_text,
    tokenize,
)

_ENCODED = re.compile(rf"[a-z0-9]{{3,{MAX_ENCODED}}}")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Fix the LOGIN-page, please!", ["fix", "the", "login", "page", "please"]),
        ("C++ park. a:b @bob", ["c", "park", "a", "b", "bob"]),
        ("PROJ-12 3.14 v2", ["proj", "12", "3", "14", "v2"]),
        ("u\u0308ber Straße ﬁn", ["über", "strasse", "fin"]),
        ("snake_case", ["snake", "case"]),
        ("東京都", ["東京", "京都", "都"]),
        ("v2東京", ["v2", "東京", "京"]),
        ("한국 x", ["한국", "국", "x"]),
        ("हिन्दी", ["हिन्दी"]),
        ("[[]] \0 \ud800 😀", []),
        ("", []),
    ],
)
def test_words_become_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


def test_a_long_word_is_cut_alike_in_documents_and_queries() -> None:
    long, longer = "ж" * 40, "ж" * 50
    assert tokenize(long) == tokenize(longer) == ["ж" * 15]
    assert tokenize("a" * 500) == ["a" * 62]


def test_a_text_is_encoded_up_to_a_number_of_tokens() -> None:
    assert encode_text("one two three", 2) == "xxone xxtwo"
    assert encode_text("Über q", 5) == "xxz070ber xxz035"


@given(st.text(max_size=60))
def test_encoded_tokens_have_no_meaning_to_an_engine(text: str) -> None:
    for token in encode_text(text, 100).split(" "):
        assert not token or _ENCODED.fullmatch(token)


@given(st.text(max_size=40))
def test_equivalent_texts_have_the_same_tokens(text: str) -> None:
    once = normalize_text(text)
    assert tokenize(normalize("NFD", once)) == tokenize(normalize("NFC", once)) == tokenize(once)


@given(st.text(alphabet="azqü字𠀀0", max_size=6), st.text(alphabet="azqü字𠀀0", max_size=6))
def test_a_token_begins_with_another_exactly_if_their_codes_do(one: str, two: str) -> None:
    assert encode_token(two).startswith(encode_token(one)) is two.startswith(one)


def test_scripts_without_spaces_are_known() -> None:
    assert all(map(is_unspaced, "東ひカ한ภລခក"))
    assert not any(map(is_unspaced, "aжü1हא"))
