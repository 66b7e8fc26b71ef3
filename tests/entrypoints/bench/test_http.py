"""The HTTP benchmark, shortened: one server, and a few seconds of load."""

from typing import Self

import pytest

from workbell.entrypoints.bench import http as bench_http
from workbell.entrypoints.bench import load as bench_load
from workbell.entrypoints.bench.targets import Target


def test_a_server_answers_all_requests_of_the_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_http, "USERS", 3)
    monkeypatch.setattr(bench_http, "SCHEDULES", 2)
    with Target().settings() as settings, bench_http.running_api(settings) as server:
        rows = bench_http.ResultRows(1)
        rows.add("list", server.listing(), connections=2)
        monkeypatch.setattr("shutil.which", lambda _: None)
        monkeypatch.setattr(bench_load, "other_process", _InlineExecutor)
        rows.add("create by threads", server.schedule(), connections=2)
    assert [row["what"] for row in rows.rows] == ["list", "create by threads"]
    assert all(row["requests/s"] > 0 and row["refused"] == 0 for row in rows.rows)
    assert len(capsys.readouterr().err.splitlines()) == 2


class _InlineExecutor:
    """An executor that runs in this process, so that coverage is measured."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: object, *arguments: object) -> "_InlineExecutor":
        assert callable(work)
        self.done = work(*arguments)
        return self

    def result(self) -> object:
        return self.done
