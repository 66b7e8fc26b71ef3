"""Processors: hashes run on some, and answers keep off these as long as one does."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import falcon
import pytest
from falcon.testing import TestClient

from workbell.adapters import cpu_affinity as processors
from workbell.adapters.cpu_affinity import PROCESSORS, Processors
from workbell.adapters.http.web.middleware import Face, FaceSettings
from workbell.adapters.system import UuidIds

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads cannot be bound"),
]


def where() -> set[int]:
    return os.sched_getaffinity(0)


def in_a_thread(work: Callable[[], set[int]]) -> set[int]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def kept_off(shared: Processors) -> set[int]:
    shared.keep_off()
    return where()


@pytest.mark.parametrize(
    ("everywhere", "hashing"),
    [({3}, set()), ({0, 1}, {1}), ({0, 2, 5}, {5}), ({1, 2, 3, 4}, {3, 4})],
)
def test_the_upper_half_hashes(everywhere: set[int], hashing: set[int]) -> None:
    assert Processors(frozenset(everywhere)).hashing == hashing


def test_who_answers_keeps_off_who_hashes_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Processors(PROCESSORS.everywhere)
    if not shared.hashing:
        pytest.skip("there is one processor")
    at, rest = [100.0], shared.everywhere - shared.hashing
    monkeypatch.setattr(processors, "monotonic", lambda: at[0])
    seen: list[set[int]] = []

    def answer() -> set[int]:
        seen.append(kept_off(shared))
        assert shared.yielding(where) == shared.hashing
        seen.append(kept_off(shared))
        at[0] += 1
        return kept_off(shared)

    assert in_a_thread(answer) == shared.everywhere
    assert seen == [shared.everywhere, rest]


def test_a_hash_that_takes_long_is_kept_off_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, begun, over = Processors(PROCESSORS.everywhere), threading.Event(), threading.Event()
    if not shared.hashing:
        pytest.skip("there is one processor")
    at = [100.0]
    monkeypatch.setattr(processors, "monotonic", lambda: at[0])

    def hashed() -> bool:
        begun.set()
        return over.wait(10)

    with ThreadPoolExecutor(1) as pool:
        hashing = pool.submit(shared.yielding, hashed)
        begun.wait(10)
        at[0] += 60
        assert in_a_thread(lambda: kept_off(shared)) == shared.everywhere - shared.hashing
        over.set()
        assert hashing.result()


def test_where_binding_is_forbidden_all_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    monkeypatch.setattr(os, "setpriority", forbidden)
    shared = Processors()
    assert shared.yielding(lambda: 7) == 7
    shared.keep_off()


def test_one_processor_is_everybodys() -> None:
    shared, own = Processors(frozenset({0})), where()
    assert shared.yielding(where) == own
    assert kept_off(shared) == own


def test_whoever_answers_a_request_keeps_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever server runs the application."""
    asked: list[Processors] = []
    monkeypatch.setattr(Processors, "keep_off", lambda shared: asked.append(shared))
    app = falcon.App(middleware=[Face.of(FaceSettings(), UuidIds())])
    TestClient(app).simulate_get("/")
    assert asked == [PROCESSORS]
