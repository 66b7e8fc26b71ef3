"""Parts of a JSON text, exactly as they are written in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.adapters.serialization.json_codec import (
    dumps,
    loads,
    raw_items,
    raw_member,
    verbatim,
)

pytestmark = pytest.mark.unit

TEXT = r'{ "f" : 1.0,"s":"\/é\u00e9" }'.encode()
SPACES = st.text(" \t\r\n", max_size=3).map(str.encode)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text('a\u00e9"\\/{}[]:,'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:"), inner, max_size=3),
    max_leaves=8,
)


def test_a_member_is_not_changed() -> None:
    assert raw_member(b' {"data"\n: ' + TEXT + b' , "account":1}', "data") == TEXT
    assert raw_member(b'{"d\\u0061ta":[1.0e2 ,-0]}', "data") == b"[1.0e2 ,-0]"
    assert raw_items(b"\n[ 1.0 , " + TEXT + b",[ ]]") == [b"1.0", TEXT, b"[ ]"]


@given(value=VALUES, indent=st.sampled_from([None, 1]), ascii_only=st.booleans(), around=SPACES)
def test_any_text_is_found_as_it_was_written(
    value: Any, indent: int | None, ascii_only: bool, around: bytes
) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    body = b'{"a":[],"data":' + around + written + around + b',"z":{"data":0}}'
    assert raw_member(body, "data") == written
    assert loads(raw_member(body, "data")) == value
    batch = b"[" + body + around + b"," + around + body + b"]"
    assert raw_items(batch) == [body, body]


def test_a_verbatim_text_is_written_unchanged() -> None:
    assert dumps({"data": verbatim(TEXT), "more": [verbatim(b"1.0")]}) == (
        b'{"data":' + TEXT + b',"more":[1.0]}'
    )
