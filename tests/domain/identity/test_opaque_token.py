"""Opaque tokens: format, stored hash, and derived CSRF tokens."""

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.opaque_token import (
    OpaqueToken,
    Prefix,
    csrf_matches,
    csrf_token,
    is_opaque,
)

pytestmark = pytest.mark.unit

TOKEN = OpaqueToken(Prefix.API_KEY, "abc123", "s" * 64)


def test_a_token_round_trips() -> None:
    assert TOKEN.text == f"wbk_abc123_{'s' * 64}"
    assert OpaqueToken.parse(TOKEN.text) == TOKEN
    assert is_opaque(TOKEN.text, Prefix.API_KEY)
    assert not is_opaque(TOKEN.text, Prefix.SESSION)


def test_the_secret_is_hashed_and_not_in_the_repr() -> None:
    assert TOKEN.hashed == hashlib.sha256(b"s" * 64).hexdigest()
    assert "sss" not in repr(TOKEN)
    assert TOKEN.matches(TOKEN.hashed)
    assert not TOKEN.matches(OpaqueToken(Prefix.API_KEY, "abc123", "t" * 64).hashed)
    assert not TOKEN.matches("0" * 64)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wbk_",
        "wbk_a",
        "wbk_a_",
        "wbk__b",
        "wbx_a_b",
        "WBK_a_b",
        "wbk_a_b\n",
        " wbk_a_b",
        "wbk_a_b_c",
        "wbk_a'--_b",
        "wbk_../etc_b",
        "wbk_a_é",
        "wbk_a_٣",
        f"wbk_{'a' * 65}_b",
        f"wbk_a_{'b' * 129}",
        "wbk_a_b\0",
    ],
)
def test_malformed_tokens_are_rejected(text: str) -> None:
    with pytest.raises(Unauthenticated):
        OpaqueToken.parse(text)


@given(st.text())
def test_only_complete_tokens_are_parsed(text: str) -> None:
    with contextlib.suppress(Unauthenticated):
        assert OpaqueToken.parse(text).text == text


def test_a_csrf_token_belongs_to_one_session() -> None:
    token = csrf_token("secret")
    assert csrf_matches("secret", token)
    assert not csrf_matches("other", token)
    assert not csrf_matches("secret", "")
    assert not csrf_matches("secret", "\ud800é")
    assert "secret" not in token
