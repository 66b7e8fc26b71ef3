"""The HTTP benchmark, cut short: one server, and a few seconds of load."""

from typing import Self

import pytest

from workbell.entrypoints.bench import http as bench_http
from workbell.entrypoints.bench import load as bench_load
from workbell.entrypoints.bench.targets import Target


def test_a_server_is_asked_by_many_and_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_http, "PEOPLE", 3)
    monkeypatch.setattr(bench_http, "SCHEDULES", 2)
    said: list[str] = []
    with Target().settings() as settings, bench_http.running_api(settings) as server:
        rows = bench_http.ResultRows(1, said.append)
        rows.add("list", server.listing(), connections=2, warm=0)
        monkeypatch.setattr("shutil.which", lambda _: None)
        monkeypatch.setattr(bench_load, "ProcessPoolExecutor", _Here)
        rows.add("create by threads", server.schedule(), connections=2, warm=0)
    assert [row["what"] for row in rows.kept] == ["list", "create by threads"]
    assert all(row["requests/s"] > 0 and row["refused"] == 0 for row in rows.kept)
    assert len(said) == 2


class _Here:
    """A pool whose work is done in this process, where it is counted."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: object, *arguments: object) -> "_Here":
        assert callable(work)
        self.done = work(*arguments)
        return self

    def result(self) -> object:
        return self.done
