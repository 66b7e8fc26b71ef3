"""Query strings of deliveries by GET."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.delivery.query_string import MAX_QUERY_BYTES, add_to_query
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit


def query_of(data: Any, url: str = "http://host/path") -> str:
    """Return the raw query of the URL for some data."""
    url, raw = add_to_query(url, json.dumps(data).encode())
    assert urlsplit(url).query == raw.decode()
    return raw.decode()


def test_members_follow_the_parameters_of_the_url_in_their_order() -> None:
    url, raw = add_to_query("https://host:1/p%20q?z=%41&z=2#part", b'{"b": 1, "a": "x"}')
    assert url == "https://host:1/p%20q?z=%41&z=2&b=1&a=x"
    assert raw == b"z=%41&z=2&b=1&a=x"


def test_a_url_without_a_query_gets_one() -> None:
    assert add_to_query("http://host/p", b'{"a": 1}') == ("http://host/p?a=1", b"a=1")
    assert add_to_query("http://host/p?", b'{"a": 1}') == ("http://host/p?a=1", b"a=1")


def test_an_empty_object_adds_nothing() -> None:
    assert add_to_query("http://host/p?", b"{}") == ("http://host/p", b"")
    assert add_to_query("http://host/p?a=1", b"{}") == ("http://host/p?a=1", b"a=1")


def test_values_other_than_texts_are_compact_json() -> None:
    data: dict[str, Any] = {
        "t": True,
        "n": None,
        "f": 1.5,
        "o": {"k": [1, "é"]},
        "l": [],
        "s": "true",
    }
    assert parse_qsl(query_of(data)) == [
        ("t", "true"), ("n", "null"), ("f", "1.5"), ("o", '{"k":[1,"é"]}'), ("l", "[]"),
        ("s", "true"),
    ]  # fmt: skip


def test_reserved_characters_are_percent_encoded_in_utf_8() -> None:
    assert query_of({"a b&": "=é/+?#"}) == "a%20b%26=%3D%C3%A9%2F%2B%3F%23"


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert query_of({"a": "\ud800"}) == "a=%3F"


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=10))
def test_a_receiver_reads_the_same_members(data: dict[str, str]) -> None:
    assert parse_qsl(query_of(data), keep_blank_values=True) == list(data.items())


@pytest.mark.parametrize("data", [b"[1]", b'"text"', b"1", b"null", b"{", b"\xff\xff\xff"])
def test_data_other_than_an_object_cannot_be_sent(data: bytes) -> None:
    with pytest.raises(Invalid):
        add_to_query("http://host", data)


def test_a_query_may_have_8_kib() -> None:
    longest = {"a": "x" * (MAX_QUERY_BYTES - 2)}
    assert len(query_of(longest)) == MAX_QUERY_BYTES
    with pytest.raises(Invalid) as caught:
        query_of({"a": "x" * (MAX_QUERY_BYTES - 1)})
    assert "8,192" in caught.value.detail
    with pytest.raises(Invalid):
        query_of(longest, "http://host/p?b=1")
