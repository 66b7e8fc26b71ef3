"""Password hashes: parameters, and limits of simultaneous hashes."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import argon2
import pytest
from argon2.exceptions import HashingError, VerificationError

from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.domain.errors import Unavailable
from workbell.entrypoints.bootstrap.build import max_parallel_hashes

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def quick(**fields: Any) -> Argon2Hasher:
    return Argon2Hasher.create(**({"memory_kib": 8, "passes": 1} | fields))


def test_the_default_is_at_least_the_minimum_of_owasp() -> None:
    password_hash = Argon2Hasher.create().hash("correct horse")
    assert argon2.extract_parameters(password_hash) == argon2.Parameters(
        type=argon2.Type.ID,
        version=19,
        salt_len=16,
        hash_len=32,
        time_cost=2,
        memory_cost=19456,
        parallelism=1,
    )


def test_a_hash_matches_its_password_only() -> None:
    hasher = quick()
    password_hash = hasher.hash("correct horse")
    assert hasher.verify(password_hash, "correct horse")
    assert not hasher.verify(password_hash, "correct horsf")
    assert password_hash != hasher.hash("correct horse")


def test_passwords_are_not_truncated() -> None:
    hasher = quick()
    assert not hasher.verify(hasher.hash("x" * 1023 + "a"), "x" * 1023 + "b")


@pytest.mark.parametrize("password", ["", "\0", "\ud800", "nobody"])
def test_the_empty_hash_matches_nothing(password: str) -> None:
    assert not quick().verify("", password)


def test_an_invalid_hash_matches_nothing_and_needs_a_rehash() -> None:
    assert not quick().verify("md5$abc", "correct horse")
    assert quick().needs_rehash("md5$abc")


def test_a_hash_with_other_parameters_matches_and_needs_a_rehash() -> None:
    old = quick(passes=2).hash("correct horse")
    assert quick().verify(old, "correct horse")
    assert quick().needs_rehash(old)
    assert not quick().needs_rehash(quick().hash("correct horse"))


def test_a_caller_that_waits_too_long_is_refused_with_retry_after() -> None:
    """The delays differ, to spread the retries."""
    hasher, delays, release = quick(slots=1, timeout=0.01), list[float | None](), threading.Event()
    hasher._pool.submit(release.wait)
    for call in (lambda: hasher.hash("x"), lambda: hasher.verify("", "x")) * 2:
        with pytest.raises(Unavailable) as caught:
            call()
        delays.append(caught.value.retry_after)
    release.set()
    assert delays == [1.0, 2.0, 3.0, 1.0]
    assert hasher.hash("x")


def test_a_caller_beyond_the_waiting_limit_is_refused_at_once() -> None:
    hasher = quick(slots=1, waiting=0, timeout=60.0)
    hasher.check_capacity()
    with hasher._admitted:
        for call in (lambda: hasher.hash("x"), hasher.check_capacity):
            with pytest.raises(Unavailable):
                call()
    hasher.check_capacity()
    assert hasher.hash("x")


def test_a_thread_that_cannot_start_is_not_a_wrong_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasher = quick(slots=1)

    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(Unavailable):
            hasher.verify("", "x")
    assert hasher.hash("x")


def test_a_slot_is_released_after_every_outcome() -> None:
    hasher = quick(slots=1, timeout=5.0)
    password_hash = hasher.hash("right")
    with ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(lambda n: hasher.verify(password_hash, "right" if n % 2 else "x"), range(40))
        )
    assert results == [False, True] * 20


@pytest.mark.parametrize("error", [HashingError("no memory"), VerificationError("no memory")])
def test_a_lack_of_memory_is_not_a_wrong_password(error: Exception) -> None:
    hasher = quick(slots=1, waiting=0)
    failing = mock.Mock(**{"verify.side_effect": error})
    with mock.patch.object(hasher, "_hasher", failing), pytest.raises(Unavailable):
        hasher.verify("", "x")
    assert hasher.hash("x")


def test_a_hash_that_has_started_is_awaited() -> None:
    """It occupies its slot until it ends."""
    hasher = quick(slots=1, timeout=0.01)
    assert hasher._run(lambda: not threading.Event().wait(0.1))


def test_refused_hashes_are_never_computed() -> None:
    hasher, release, computed = quick(slots=1, timeout=0.01), threading.Event(), list[int]()
    hasher._pool.submit(release.wait)
    with pytest.raises(Unavailable):
        hasher._run(lambda: computed.append(1))
    release.set()
    hasher._run(lambda: computed.append(2))
    assert computed == [2]


@pytest.mark.parametrize(("cpus", "hashes"), [(1, 1), (2, 2), (16, 2)])
def test_hashes_occupy_at_most_half_of_the_request_threads(
    cpus: int, hashes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert max_parallel_hashes() == hashes


def test_an_unknown_user_is_compared_with_a_hash_of_the_same_parameters() -> None:
    hasher = Argon2Hasher.create()
    dummy = hasher._dummy_hash
    assert argon2.extract_parameters(dummy) == argon2.extract_parameters(hasher.hash("a password"))
    assert not hasher.needs_rehash(dummy)
    assert not hasher.verify("", "dummy")
