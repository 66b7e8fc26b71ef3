"""Slow hashes, and tokens that are exactly as we write them or refused."""

import json
import os
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import argon2
import jwt
import pytest
from argon2.exceptions import HashingError, VerificationError
from attrs import define, evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_decode

from workbell.adapters.crypto.password_hasher import Argon2Hasher, JwtTokens
from workbell.domain.errors import Unauthenticated, Unavailable
from workbell.domain.identity.session import Claims, TokenKind
from workbell.domain.identity.user import UserId
from workbell.entrypoints.bootstrap.build import parallel_hashes

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY, OLD_KEY = b"k" * 32, b"o" * 32
CLAIMS = Claims(
    kind=TokenKind.ACCESS,
    user_id=UserId(7),
    session_id="session",
    jti="one",
    version=0,
    issued_at=NOON,
    expires_at=NOON + timedelta(minutes=15),
)


@define
class Clock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


def quick(**fields: Any) -> Argon2Hasher:
    return Argon2Hasher.create(**({"memory_kib": 8, "passes": 1} | fields))


def tokens(*keys: bytes, clock: Clock | None = None, issuer: str = "us") -> JwtTokens:
    return JwtTokens.create(keys or (KEY,), clock or Clock(), issuer=issuer)


def forged(
    header: dict[str, Any] | str | None = None, payload: dict[str, Any] | str | None = None
) -> str:
    """Return a token signed with the right key, but not as we would write it."""
    genuine = tokens().issue(CLAIMS)
    ours, said = (json.loads(part) for part in _parts(genuine))
    texts = [
        new if isinstance(new, str) else json.dumps(old | (new or {}))
        for old, new in ((ours, header), (said, payload))
    ]
    signed = ".".join(urlsafe_b64encode(text.encode()).rstrip(b"=").decode() for text in texts)
    signature = jwt.get_algorithm_by_name("HS256").sign(signed.encode(), KEY)
    return f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _parts(token: str) -> Iterator[bytes]:
    for segment in token.split(".")[:2]:
        yield base64url_decode(segment)


def said(**changes: Any) -> str:
    """Return the payload of a good token with some members changed, or gone if None."""
    payload = json.loads(list(_parts(tokens().issue(CLAIMS)))[1]) | changes
    return json.dumps({name: value for name, value in payload.items() if value is not None})


# ------------------------------------------------------------------------------------ hashes


def test_the_default_is_what_owasp_advises_at_least() -> None:
    made = Argon2Hasher.create().hash("correct horse")
    assert argon2.extract_parameters(made) == argon2.Parameters(
        type=argon2.Type.ID,
        version=19,
        salt_len=16,
        hash_len=32,
        time_cost=2,
        memory_cost=19456,
        parallelism=1,
    )


def test_a_hash_knows_its_password_and_no_other() -> None:
    hasher = quick()
    made = hasher.hash("correct horse")
    assert hasher.verify(made, "correct horse")
    assert not hasher.verify(made, "correct horsf")
    assert made != hasher.hash("correct horse")


def test_passwords_are_not_cut_off() -> None:
    hasher = quick()
    assert not hasher.verify(hasher.hash("x" * 1023 + "a"), "x" * 1023 + "b")


@pytest.mark.parametrize("password", ["", "\0", "\ud800", "nobody"])
def test_the_empty_hash_matches_nothing(password: str) -> None:
    assert not quick().verify("", password)


def test_what_is_no_hash_matches_nothing_and_should_be_made_anew() -> None:
    assert not quick().verify("md5$abc", "correct horse")
    assert quick().needs_rehash("md5$abc")


def test_a_hash_by_other_parameters_still_serves_and_should_be_made_anew() -> None:
    old = quick(passes=2).hash("correct horse")
    assert quick().verify(old, "correct horse")
    assert quick().needs_rehash(old)
    assert not quick().needs_rehash(quick().hash("correct horse"))


def test_who_waits_too_long_for_a_slot_is_refused_and_told_when_to_come_again() -> None:
    """Not all at the same time, or they would come as one crowd again."""
    hasher, told, release = quick(slots=1, patience=0.01), list[float | None](), threading.Event()
    hasher._pool.submit(release.wait)
    for ask in (lambda: hasher.hash("x"), lambda: hasher.verify("", "x")) * 2:
        with pytest.raises(Unavailable) as caught:
            ask()
        told.append(caught.value.retry_after)
    release.set()
    assert told == [1.0, 2.0, 3.0, 1.0]
    assert hasher.hash("x")


def test_who_finds_no_place_to_wait_is_refused_at_once() -> None:
    hasher = quick(slots=1, waiting=0, patience=60.0)
    hasher.check_room()
    with hasher._admitted:
        for ask in (lambda: hasher.hash("x"), hasher.check_room):
            with pytest.raises(Unavailable):
                ask()
    hasher.check_room()
    assert hasher.hash("x")


def test_no_thread_to_hash_in_is_no_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = quick(slots=1)

    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(Unavailable):
            hasher.verify("", "x")
    assert hasher.hash("x")


def test_a_slot_is_given_back_after_every_outcome() -> None:
    hasher = quick(slots=1, patience=5.0)
    made = hasher.hash("right")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: hasher.verify(made, "right" if n % 2 else "x"), range(40)))
    assert found == [False, True] * 20


@pytest.mark.parametrize("error", [HashingError("no memory"), VerificationError("no memory")])
def test_no_memory_is_no_wrong_password(error: Exception) -> None:
    hasher = quick(slots=1, waiting=0)
    failing = mock.Mock(**{"verify.side_effect": error})
    with mock.patch.object(hasher, "_hasher", failing), pytest.raises(Unavailable):
        hasher.verify("", "x")
    assert hasher.hash("x")


def test_a_hash_that_has_started_is_awaited() -> None:
    """However long it takes: it occupies its slot anyway."""
    hasher = quick(slots=1, patience=0.01)
    assert hasher._run(lambda: not threading.Event().wait(0.1))


def test_hashes_that_gave_up_waiting_are_never_computed() -> None:
    hasher, release, computed = quick(slots=1, patience=0.01), threading.Event(), list[int]()
    hasher._pool.submit(release.wait)
    with pytest.raises(Unavailable):
        hasher._run(lambda: computed.append(1))
    release.set()
    hasher._run(lambda: computed.append(2))
    assert computed == [2]


@pytest.mark.parametrize(("cpus", "hashes"), [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)])
def test_half_of_the_cpus_hash(cpus: int, hashes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert parallel_hashes() == hashes


# ------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("kind", list(TokenKind))
def test_a_token_says_what_was_put_into_it(kind: TokenKind) -> None:
    claims = evolve(CLAIMS, kind=kind)
    assert tokens().read(tokens().issue(claims), kind) == claims


def test_the_same_claims_make_the_same_token() -> None:
    assert tokens().issue(CLAIMS) == tokens().issue(CLAIMS)


def test_times_are_whole_seconds() -> None:
    claims = evolve(CLAIMS, expires_at=CLAIMS.expires_at + timedelta(microseconds=9))
    assert tokens().read(tokens().issue(claims), TokenKind.ACCESS) == CLAIMS


def test_a_token_of_one_kind_does_not_serve_as_the_other() -> None:
    with pytest.raises(Unauthenticated):
        tokens().read(tokens().issue(CLAIMS), TokenKind.REFRESH)


def test_a_token_expires_by_our_clock() -> None:
    clock = Clock(CLAIMS.expires_at - timedelta(microseconds=1))
    checking = tokens(clock=clock)
    token = checking.issue(CLAIMS)
    assert checking.read(token, TokenKind.ACCESS) == CLAIMS
    clock.at = CLAIMS.expires_at
    with pytest.raises(Unauthenticated, match="expired"):
        checking.read(token, TokenKind.ACCESS)


def test_a_clock_that_was_set_back_signs_nobody_out() -> None:
    earlier = tokens(clock=Clock(NOON - timedelta(days=1)))
    assert earlier.read(tokens().issue(CLAIMS), TokenKind.ACCESS) == CLAIMS


def test_an_older_key_still_checks_but_signs_no_more() -> None:
    old = tokens(OLD_KEY).issue(CLAIMS)
    both = tokens(KEY, OLD_KEY)
    assert both.read(old, TokenKind.ACCESS) == CLAIMS
    assert both.issue(CLAIMS) == tokens(KEY).issue(CLAIMS)
    with pytest.raises(Unauthenticated):
        tokens(KEY).read(old, TokenKind.ACCESS)


@pytest.mark.parametrize("keys", [[], [b"k" * 31], [KEY, b"short"]])
def test_short_keys_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        JwtTokens.create(keys, Clock(), issuer="us")


def test_keys_are_not_shown() -> None:
    assert "kkkk" not in repr(tokens())


def test_the_forger_of_these_tests_makes_good_tokens_too() -> None:
    assert tokens().read(forged(), TokenKind.ACCESS) == CLAIMS
    assert tokens().read(forged(payload=said()), TokenKind.ACCESS) == CLAIMS


def test_a_token_of_other_issuers_or_for_others_is_refused() -> None:
    for payload in ({"iss": "them"}, {"aud": "them"}):
        with pytest.raises(Unauthenticated, match="not ours"):
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
def test_other_claims_are_refused_though_they_are_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens().read(forged(payload=said(**changes)), TokenKind.ACCESS)


def test_a_claim_that_stands_there_twice_is_refused() -> None:
    twice = said().replace("{", '{"sub": "1", ', 1)
    with pytest.raises(Unauthenticated):
        tokens().read(forged(payload=twice), TokenKind.ACCESS)


def test_only_one_spelling_of_a_token_is_taken() -> None:
    token = tokens().issue(CLAIMS)
    head, body, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = last[last.index(signature[-1]) ^ 1]
    for other in (
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
            tokens().read(other, TokenKind.ACCESS)


@given(st.text(), st.integers(0, 400))
@settings(deadline=None)
def test_no_other_text_passes(text: str, position: int) -> None:
    token = tokens().issue(CLAIMS)
    for other in (text, token[:position] + text + token[position + len(text) :]):
        if other != token:
            with pytest.raises(Unauthenticated):
                tokens().read(other, TokenKind.ACCESS)
