"""API processes: several on one port, and under gunicorn."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.contract.servers import address, new_database
from tests.processes.fleet import (
    PASSWORD,
    SECRET,
    Fleet,
    OwnRedis,
    Part,
    parse_metrics,
    until,
)
from workbell.adapters.http.server.server import listen
from workbell.domain.errors import Unavailable
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.processes.api import run_worker_process
from workbell.entrypoints.processes.lifecycle import Lifecycle
from workbell.entrypoints.processes.supervisor import Supervisor

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize("kind", ["postgresql"]),  # nothing here depends on the database
]

GUNICORN = """
import os, sys
from gunicorn.app.wsgiapp import run
bind = f"127.0.0.1:{os.environ['WORKBELL_PORT']}"
sys.argv = ["gunicorn", "--bind", bind, "--no-control-socket", *sys.argv[2:]]
sys.exit(run())
"""
METRICS_TOKEN = "token-of-prometheus"
COUNTER = "workbell_cache_requests_total"
SUMMARY = "/api/v1/summary/weekly"
LOGIN = {"username": "admin", "password": PASSWORD}

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")


def children_of(pid: int) -> set[int]:
    """Return the process ids of the API processes of a supervisor."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(each) for each in listed if "spawn_main" in command_of(int(each))}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def started(api: Part) -> int:
    """Return how many children have become ready so far."""
    return api.log.read_text().count("child_ready")


def has_started(api: Part, count: int) -> bool:
    """Whether `count` children have become ready so far."""
    return started(api) == count


def is_free(port: int) -> bool:
    with suppress(Unavailable), listen("127.0.0.1", port):
        return True
    return False


@on_linux
def test_several_processes_serve_one_port(fleet: Fleet) -> None:
    """A child that is killed or terminated is replaced."""
    api = fleet.start("api", "--workers", "2")
    supervisor = api.process.pid
    until(lambda: started(api) == 2)
    first = children_of(supervisor)
    for count, number in ((3, signal.SIGKILL), (4, signal.SIGTERM)):
        os.kill(min(children_of(supervisor)), number)
        until(partial(has_started, api, count))
        assert len(children_of(supervisor)) == 2
        assert api.is_ready()
    assert api.call("POST", "/api/v1/auth/login", body=LOGIN)[0] == 200
    last = children_of(supervisor)
    assert len(last | first) > 2
    assert api.terminate() == 0
    assert not any(map(command_of, last))


@on_linux
def test_the_processes_end_with_their_supervisor(fleet: Fleet) -> None:
    """Even if it is killed; then the port is free."""
    api = fleet.start("api", "--workers", "2")
    until(lambda: started(api) == 2)
    children = children_of(api.process.pid)
    assert len(children) == 2
    api.process.kill()
    api.process.wait()
    until(lambda: not any(map(command_of, children)))
    until(lambda: is_free(api.port))


def test_the_supervisor_exits_if_children_cannot_start(tmp_path: Path, kind: str) -> None:
    """The database has no schema, so each child exits."""
    settings = Settings(
        database_url=address(new_database(kind)), secret_key=SECRET, data_dir=tmp_path
    )
    with listen("127.0.0.1", 0) as listener, capture_logs() as logs:
        supervisor = Supervisor(
            target=run_worker_process, arguments=(settings, listener), count=2, grace_seconds=5
        )
        assert supervisor.run(Lifecycle()) == 1
    died = [entry for entry in logs if entry["event"] == "child_died"]
    assert {(entry["exit_code"], entry["was_ready"]) for entry in died} == {(2, False)}


def test_gunicorn_serves_the_application(fleet: Fleet, redis: OwnRedis) -> None:
    """The module is loaded before gunicorn forks; connections are closed at exit."""
    login = {"username": "admin", "password": fleet.application.ensure_administrator()}
    with Redis.from_url(redis.url) as here:
        before = len(here.client_list())
        arguments = ("--workers", "2", "--threads", "2", "--preload", "workbell.wsgi:application")
        server = fleet.start("api", *arguments, code=GUNICORN)
        status, response = server.call("POST", "/api/v1/auth/login", body=login)
        assert status == 200, response
        status, found = server.call("GET", "/api/v1/schedules", response["access"])
        assert (status, found["results"]) == (200, [])
        assert server.call("GET", "/api/v1/schedules")[0] == 401
        assert server.terminate() == 0
        until(lambda: len(here.client_list()) <= before)


@on_linux
def test_metrics_have_the_counts_of_all_processes(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the counts of a process that has died."""
    monkeypatch.setenv("TMPDIR", str(fleet.folder))  # the processes share their values there
    api = fleet.start("api", "--workers", "2", metrics_token=METRICS_TOKEN)
    until(lambda: started(api) == 2)
    children = children_of(api.process.pid)
    login = api.call("POST", "/api/v1/auth/login", body=LOGIN)[1]["access"]
    count = 0
    with ThreadPoolExecutor(8) as pool:
        while not all(has_counted(fleet.folder, child) for child in children):
            assert count < 2000
            statuses = pool.map(lambda _: api.get(SUMMARY, login)[0], range(20))
            assert set(statuses) == {200}
            count += 20
    assert summaries_requested(api) == count
    os.kill(min(children), signal.SIGKILL)
    until(lambda: started(api) == 3)
    assert summaries_requested(api) == count


def has_counted(folder: Path, pid: int) -> bool:
    """Whether a process has counted a request for a summary."""
    files = folder.glob(f"workbell-metrics-*/counter_{pid}.db")
    return any(COUNTER.encode() in path.read_bytes() for path in files)


def summaries_requested(api: Part) -> float:
    """Return the number of requests for a summary in the metrics."""
    status, metrics = api.get("/metrics", METRICS_TOKEN)
    assert status == 200
    series = parse_metrics(metrics)
    return sum(series[name] for name in series if name.startswith(f"{COUNTER}{{"))
