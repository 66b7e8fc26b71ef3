"""Attacks on tokens, by the list of RFC 8725."""

import hashlib
import hmac
import json
import tracemalloc
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from attrs import evolve

from tests.adapters.crypto.claims import CLAIMS, KEY, OTHER_KEY, Clock
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.session import TokenKind

TOKENS = JwtTokens.create([KEY], Clock(), issuer="us")
GOOD = TOKENS.issue(CLAIMS)


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def part(token: str, number: int) -> dict[str, Any]:
    text = token.split(".")[number]
    return dict(json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def signed(
    header: dict[str, Any] | str,
    payload: dict[str, Any] | str,
    key: bytes = KEY,
    how: str = "sha256",
) -> str:
    """Return a token with a valid signature over any header and payload."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in (header, payload)]
    body = ".".join(b64(text.encode("utf-8", "surrogatepass")) for text in texts)
    return f"{body}.{b64(hmac.new(key, body.encode(), how).digest())}"


HEADER, PAYLOAD = part(GOOD, 0), part(GOOD, 1)


def is_refused(token: str, kind: TokenKind = TokenKind.ACCESS) -> bool:
    try:
        TOKENS.read(token, kind)
    except Unauthenticated:
        return True
    return False


def test_a_valid_token_is_accepted() -> None:
    """Checks the helpers of these tests."""
    assert signed(HEADER, PAYLOAD) != ""
    assert TOKENS.read(GOOD, TokenKind.ACCESS) == CLAIMS
    assert TOKENS.read(signed(HEADER, PAYLOAD), TokenKind.ACCESS) == CLAIMS


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "NONE", "nOnE", "none ", "", " ", "\0", "nonе", "hs256", "HS256 ", "HS256\0",
     None, 0, True, [], ["HS256"], {"a": 1}],
    ids=repr,
)  # fmt: skip
def test_no_spelling_of_the_algorithm_none_is_accepted(algorithm: Any) -> None:
    header = HEADER | {"alg": algorithm}
    assert is_refused(signed(header, PAYLOAD))
    unsigned = ".".join(b64(json.dumps(one).encode()) for one in (header, PAYLOAD))
    assert is_refused(f"{unsigned}.")
    assert is_refused(unsigned)
    assert is_refused(f"{unsigned}.{b64(b'x')}")


@pytest.mark.parametrize(
    ("algorithm", "how"),
    [("HS384", "sha384"), ("HS512", "sha512"), ("RS256", "sha256"), ("ES256", "sha256"),
     ("PS256", "sha256"), ("EdDSA", "sha256"), ("HS1", "sha1"), ("dir", "sha256")],
)  # fmt: skip
def test_another_algorithm_is_not_accepted(algorithm: str, how: str) -> None:
    """Even if the signature uses the right key."""
    assert is_refused(signed(HEADER | {"alg": algorithm}, PAYLOAD, how=how))
    if how != "sha256":
        assert is_refused(signed(HEADER, PAYLOAD, how=how))


@pytest.mark.parametrize(
    "key_id",
    ["../../../../dev/null", "/dev/null", "file:///etc/passwd", "' OR '1'='1", "x' UNION SELECT 'k",
     "http://evil.example/key", "", "\0", "a" * 3000, None, 0, [], {}, True, "$(id)", "%00"],
    ids=repr,
)  # fmt: skip
def test_a_key_id_is_only_looked_up(key_id: Any) -> None:
    for key in (KEY, b"", b"\0", OTHER_KEY):
        assert is_refused(signed(HEADER | {"kid": key_id}, PAYLOAD, key=key))


@pytest.mark.parametrize(
    "more",
    [
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "oct", "k": b64(KEY)}},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A256GCM"},
        {"anything": 1},
    ],
)
def test_a_header_of_more_members_is_refused(more: dict[str, Any]) -> None:
    assert is_refused(signed(HEADER | more, PAYLOAD))


@pytest.mark.parametrize("member", list(HEADER))
def test_a_header_of_fewer_members_is_refused(member: str) -> None:
    assert is_refused(signed({k: v for k, v in HEADER.items() if k != member}, PAYLOAD))


def test_a_token_of_one_kind_is_refused_in_place_of_another() -> None:
    refresh = TOKENS.issue(evolve(CLAIMS, kind=TokenKind.REFRESH))
    assert is_refused(refresh, TokenKind.ACCESS)
    assert is_refused(GOOD, TokenKind.REFRESH)
    for kind in ("JWT", "jwt", "at+JWT", "AT+JWT", "application/at+jwt", "", None, 1, ["at+jwt"]):
        assert is_refused(signed(HEADER | {"typ": kind}, PAYLOAD))


SOON = int(CLAIMS.expires_at.timestamp())


@pytest.mark.parametrize("name", ["exp", "iat", "ver"])
@pytest.mark.parametrize(
    "value",
    [str(SOON), float(SOON), SOON + 0.5, None, True, [], {}, "", 10**30, -(10**30), "1e12"],
    ids=repr,
)
def test_numbers_are_integers(name: str, value: Any) -> None:
    if name == "ver" and type(value) is int:
        return
    assert is_refused(signed(HEADER, PAYLOAD | {name: value}))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_nan_and_infinity_are_refused(value: str) -> None:
    text = json.dumps(PAYLOAD).replace(str(SOON), value)
    assert is_refused(signed(HEADER, text))


@pytest.mark.parametrize("name", list(PAYLOAD))
def test_every_claim_is_required(name: str) -> None:
    assert is_refused(signed(HEADER, {k: v for k, v in PAYLOAD.items() if k != name}))


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": 7}, {"sub": "07"}, {"sub": "0"}, {"sub": "-7"}, {"sub": "7 "}, {"sub": "٧"},
        {"sub": "7" * 30}, {"sub": None}, {"sub": ["7"]}, {"sid": ""}, {"sid": "a b"},
        {"sid": "x" * 65}, {"sid": None}, {"sid": "'; DROP TABLE sessions"}, {"jti": 1}, {"jti": ""},
        {"iss": "them"}, {"iss": ["us"]}, {"iss": None}, {"aud": "them"}, {"aud": ["workbell", "x"]},
        {"aud": None}, {"nbf": 0}, {"role": "ADMIN"}, {"is_super_user": True},
    ],
    ids=str,
)  # fmt: skip
def test_claims_in_another_form_are_refused(changes: dict[str, Any]) -> None:
    assert is_refused(signed(HEADER, PAYLOAD | changes))


def test_duplicate_members_are_refused() -> None:
    """Parsers disagree about which one counts."""
    for name in PAYLOAD:
        twice = json.dumps(PAYLOAD)[:-1] + f', "{name}": {json.dumps(PAYLOAD[name])}}}'
        assert is_refused(signed(HEADER, twice)), name
    for name in HEADER:
        twice = json.dumps(HEADER)[:-1] + f', "{name}": {json.dumps(HEADER[name])}}}'
        assert is_refused(signed(twice, PAYLOAD)), name


@pytest.mark.parametrize(
    "text", ["[]", "null", "1", '"x"', "{", "", "{}", "[" * 2000, '{"a":' * 600, "\ud800", "\xff"]
)
def test_a_payload_that_is_not_an_object_is_refused(text: str) -> None:
    assert is_refused(signed(text, PAYLOAD))
    assert is_refused(signed(HEADER, text))


def test_a_token_has_one_encoding() -> None:
    for spoilt in (
        GOOD + "=",
        GOOD + "==",
        GOOD + ".",
        GOOD + ".x",
        GOOD + "\n",
        GOOD + "\0",
        " " + GOOD,
        GOOD + " ",
        GOOD + "A",
        GOOD[:-1],
        GOOD.replace(".", ".."),
        GOOD.replace(".", ",", 1),
        GOOD.replace("-", "+").replace("_", "/") + "~",
        "Bearer " + GOOD,
        GOOD.swapcase(),
        GOOD.split(".", 1)[1],
        "",
        "..",
        "a.b.c",
        "\ud800.\ud800.\ud800",
        GOOD.replace(".", "\u3002"),
    ):
        assert is_refused(spoilt), spoilt


def test_the_last_character_of_the_signature_is_checked() -> None:
    """Base64 has unused bits there, which must be 0."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = [last for last in alphabet if not is_refused(GOOD[:-1] + last)]
    assert accepted == [GOOD[-1]]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_huge_token_is_refused_before_it_is_read(number: int) -> None:
    """A token of 200 KB is not decoded."""
    segments = GOOD.split(".")
    segments[number] = "A" * 200_000
    assert is_refused("." * 200_000)
    assert is_refused(signed(HEADER | {"kid": "x" * 200_000}, PAYLOAD))
    huge = ".".join(segments)
    tracemalloc.start()
    assert is_refused(huge)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_a_signature_with_another_key_is_refused() -> None:
    for key in (
        OTHER_KEY,
        b"",
        KEY[:-1],
        KEY + b"x",
        KEY.hex().encode(),
        hashlib.sha256(KEY).digest(),
    ):
        assert is_refused(signed(HEADER, PAYLOAD, key=key))


def test_a_token_of_another_service_is_refused() -> None:
    for issuer, audience in (("them", "workbell"), ("us", "other")):
        other_tokens = JwtTokens.create([KEY], Clock(), issuer=issuer, audience=audience)
        assert is_refused(other_tokens.issue(CLAIMS))
