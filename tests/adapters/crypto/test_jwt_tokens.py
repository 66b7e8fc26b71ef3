"""Signed tokens: only tokens of this service are accepted."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_decode

from tests.adapters.crypto.claims import CLAIMS, KEY, NOON, OTHER_KEY, Clock
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.session import TokenKind

pytestmark = pytest.mark.unit


def tokens(*keys: bytes, clock: Clock | None = None, issuer: str = "us") -> JwtTokens:
    return JwtTokens.create(keys or (KEY,), clock or Clock(), issuer=issuer)


def forged(
    header: dict[str, Any] | str | None = None, payload: dict[str, Any] | str | None = None
) -> str:
    """Return a token signed with the right key, in any form."""
    valid = tokens().issue(CLAIMS)
    valid_header, valid_payload = (json.loads(part) for part in _parts(valid))
    texts = [
        new if isinstance(new, str) else json.dumps(old | (new or {}))
        for old, new in ((valid_header, header), (valid_payload, payload))
    ]
    signed = ".".join(urlsafe_b64encode(text.encode()).rstrip(b"=").decode() for text in texts)
    signature = jwt.get_algorithm_by_name("HS256").sign(signed.encode(), KEY)
    return f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _parts(token: str) -> Iterator[bytes]:
    for segment in token.split(".")[:2]:
        yield base64url_decode(segment)


def payload(**changes: Any) -> str:
    """Return a valid payload with some members changed, or removed if None."""
    payload = json.loads(list(_parts(tokens().issue(CLAIMS)))[1]) | changes
    return json.dumps({name: value for name, value in payload.items() if value is not None})


@pytest.mark.parametrize("kind", list(TokenKind))
def test_a_token_has_the_claims_it_was_issued_with(kind: TokenKind) -> None:
    claims = evolve(CLAIMS, kind=kind)
    assert tokens().read(tokens().issue(claims), kind) == claims


def test_the_same_claims_make_the_same_token() -> None:
    assert tokens().issue(CLAIMS) == tokens().issue(CLAIMS)


def test_times_are_whole_seconds() -> None:
    claims = evolve(CLAIMS, expires_at=CLAIMS.expires_at + timedelta(microseconds=9))
    assert tokens().read(tokens().issue(claims), TokenKind.ACCESS) == CLAIMS


def test_a_token_of_one_kind_is_refused_as_the_other() -> None:
    with pytest.raises(Unauthenticated):
        tokens().read(tokens().issue(CLAIMS), TokenKind.REFRESH)


def test_a_token_expires_by_the_clock_of_the_service() -> None:
    clock = Clock(CLAIMS.expires_at - timedelta(microseconds=1))
    checking = tokens(clock=clock)
    token = checking.issue(CLAIMS)
    assert checking.read(token, TokenKind.ACCESS) == CLAIMS
    clock.at = CLAIMS.expires_at
    with pytest.raises(Unauthenticated, match="expired"):
        checking.read(token, TokenKind.ACCESS)


def test_a_token_stays_valid_when_the_clock_is_set_back() -> None:
    earlier = tokens(clock=Clock(NOON - timedelta(days=1)))
    assert earlier.read(tokens().issue(CLAIMS), TokenKind.ACCESS) == CLAIMS


def test_an_older_key_verifies_and_does_not_sign() -> None:
    old = tokens(OTHER_KEY).issue(CLAIMS)
    both = tokens(KEY, OTHER_KEY)
    assert both.read(old, TokenKind.ACCESS) == CLAIMS
    assert both.issue(CLAIMS) == tokens(KEY).issue(CLAIMS)
    with pytest.raises(Unauthenticated):
        tokens(KEY).read(old, TokenKind.ACCESS)


@pytest.mark.parametrize("keys", [[], [b"k" * 31], [KEY, b"short"]])
def test_short_keys_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        JwtTokens.create(keys, Clock(), issuer="us")


def test_the_repr_does_not_contain_keys() -> None:
    assert "kkkk" not in repr(tokens())


def test_the_forged_helper_also_makes_valid_tokens() -> None:
    assert tokens().read(forged(), TokenKind.ACCESS) == CLAIMS
    assert tokens().read(forged(payload=payload()), TokenKind.ACCESS) == CLAIMS


def test_a_token_of_another_issuer_or_audience_is_refused() -> None:
    for payload in ({"iss": "them"}, {"aud": "them"}):
        with pytest.raises(Unauthenticated, match="not issued by this service"):
            tokens().read(forged(payload=payload), TokenKind.ACCESS)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "hs256", "RS256", "", [], 1])
def test_other_algorithms_are_refused(algorithm: Any) -> None:
    with pytest.raises(Unauthenticated):
        tokens().read(forged(header={"alg": algorithm}), TokenKind.ACCESS)


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://example.com"},
        {"jwk": {}},
        {"crit": ["b64"]},
        {"kid": "../../etc/passwd"},
        {"kid": ["x"]},
        {"typ": "JWT"},
        "[]",
        "{}",
        "{",
        '{"alg":"none","alg":"HS256"}',
        "[" * 2900,
        "\ud7ff",
    ],
)
def test_other_headers_are_refused(header: Any) -> None:
    with pytest.raises(Unauthenticated):
        tokens().read(forged(header=header), TokenKind.ACCESS)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": "1924992000"},
        {"exp": 1924992000.5},
        {"exp": True},
        {"exp": 10**17},
        {"exp": 10**30},
        {"iat": "now"},
        {"iat": -(10**17)},
        {"ver": "0"},
        {"sub": 7},
        {"sub": "0"},
        {"sub": "-7"},
        {"sub": "007"},
        {"sub": "9" * 30},
        {"jti": ""},
        {"jti": "a b"},
        {"jti": "a" * 65},
        {"sid": 5},
        {"sid": "../x"},
        {"role": "ADMIN"},
        {"nbf": 0},
    ],
)
def test_other_claims_are_refused_despite_a_valid_signature(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens().read(forged(payload=payload(**changes)), TokenKind.ACCESS)


def test_a_duplicate_claim_is_refused() -> None:
    twice = payload().replace("{", '{"sub": "1", ', 1)
    with pytest.raises(Unauthenticated):
        tokens().read(forged(payload=twice), TokenKind.ACCESS)


def test_only_canonical_base64_is_accepted() -> None:
    token = tokens().issue(CLAIMS)
    head, body, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = last[last.index(signature[-1]) ^ 1]
    for changed in (
        f"{token}=",
        f"{token}\n",
        f" {token}",
        f"{token}.",
        f"{head}.{body}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-1]}{sibling}",
        f"{head}.{body}.{signature[:-1]}",
        f"{head}.{body}.{signature}ä",
        f"{head}..{signature}",
        f"{head}.{body}.{'A' * 43}",
        f"{head}.{body}.{'A' * 4096}",
        "",
        "..",
        "\ud800.a.b",
    ):
        with pytest.raises(Unauthenticated):
            tokens().read(changed, TokenKind.ACCESS)


@given(st.text(), st.integers(0, 400))
@settings(deadline=None)
def test_a_changed_token_is_refused(text: str, position: int) -> None:
    token = tokens().issue(CLAIMS)
    for changed in (text, token[:position] + text + token[position + len(text) :]):
        if changed != token:
            with pytest.raises(Unauthenticated):
                tokens().read(changed, TokenKind.ACCESS)
