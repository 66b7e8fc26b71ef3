"""Slow hashes: what makes them, and how many are made at once."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any

import argon2
import pytest
from argon2.exceptions import HashingError, VerificationError
from nacl.exceptions import RuntimeError as SodiumError

from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.domain.errors import Unavailable

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def quick(**fields: Any) -> Argon2Hasher:
    return Argon2Hasher.create(**({"memory_kib": 8, "passes": 1} | fields))


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
    hasher, told = quick(slots=1, patience=0.01), []
    with hasher._slot():
        for ask in (lambda: hasher.hash("x"), lambda: hasher.verify("", "x")) * 2:
            with pytest.raises(Unavailable) as caught:
                ask()
            told.append(caught.value.retry_after)
    assert told == [1.0, 2.0, 3.0, 1.0]
    assert hasher.hash("x")


def test_who_finds_no_place_to_wait_is_refused_at_once() -> None:
    hasher = quick(slots=1, waiting=0, patience=60.0)
    hasher.check_room()
    with hasher._slot():
        for ask in (lambda: hasher.hash("x"), hasher.check_room):
            with pytest.raises(Unavailable):
                ask()
    hasher.check_room()
    assert hasher.hash("x")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority")
def test_who_hashes_yields_to_all_others() -> None:
    class Priority:
        def hash(self, _: bytes) -> str:
            return str(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    watched: Any = Priority()
    hasher = Argon2Hasher(watched, BoundedSemaphore(1), BoundedSemaphore(1), 1.0)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert hasher.hash("x") == str(min(own + 10, 19))
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


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


@pytest.mark.parametrize(
    "error", [HashingError("no memory"), VerificationError("no memory"), SodiumError("no memory")]
)
def test_no_memory_is_no_wrong_password(error: Exception) -> None:
    hasher = quick(slots=1, patience=0.01)
    with pytest.raises(Unavailable), hasher._slot():
        raise error
    assert hasher.hash("x")
