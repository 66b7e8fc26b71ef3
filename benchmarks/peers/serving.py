"""HTTP measurements: the same load on the server of each product."""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import evolve, frozen

from workbell.entrypoints.bench.http import free_port, running_api
from workbell.entrypoints.bench.load import LoadRequest, generate_load
from workbell.entrypoints.config.settings import Settings

from .venvs import PEERS, find_python

LOGIN_CLIENTS, LOGIN_SECONDS = 2, 4
CREATE = {
    "name": "A schedule",
    "task": "noop",
    "cron_expression": "0 9 * * 1-5",
    "parameters": {"n": 1},
}


@frozen
class Requests:
    """Requests to one server, by the name of their figure."""

    ping: LoadRequest
    list: LoadRequest
    create: LoadRequest
    login: LoadRequest | None = None


def measure_http(peer: str, settings: Settings, seconds: int) -> dict[str, float]:
    """
    Return requests/s, p99 and CPU time of each request.

    Raises:
        RuntimeError: The server did not start, or refused requests.
    """
    server = _workbell(settings) if peer == "workbell" else _other(peer, settings)
    figures = {}
    with server as requests:
        for name in ("ping", "list", "create", "login"):
            request: LoadRequest | None = getattr(requests, name)
            if request is None:
                continue
            clients = LOGIN_CLIENTS if name == "login" else 16
            generate_load(request, 1, clients)
            duration = max(seconds, LOGIN_SECONDS) if name == "login" else seconds
            before = _processor_seconds()
            done = generate_load(request, duration, clients)
            spent = _processor_seconds() - before
            if done.bad and name != "login":
                raise RuntimeError(f"{peer} refused {done.bad} of {name}.")
            figures[f"{name}/s"] = done.rate
            figures[f"{name} p99 ms"] = done.p99
            figures[f"{name} cpu us"] = spent / max(done.rate * duration, 1) * 1e6
    return figures


def _processor_seconds() -> float:
    """Return the CPU seconds of our child processes, except the load generator."""
    ticks, ours = 0, {os.getpid()}
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process ended after it was listed
            stats.append(path.read_text().rpartition(")"))
    fields = [(int(head.split()[0]), "wrk" in head, tail.split()) for head, _, tail in stats]
    for pid, is_load, rest in sorted(fields):
        if int(rest[1]) in ours and not is_load:
            ours.add(pid)
            ticks += int(rest[11]) + int(rest[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _workbell(settings: Settings) -> Generator[Requests]:
    with running_api(evolve(settings, redis_url=None)) as server:
        yield Requests(server.ping(), server.listing(), server.schedule(), server.login())


@contextmanager
def _other(peer: str, settings: Settings) -> Generator[Requests]:
    python, port = find_python(peer), free_port()
    database = settings.database_url.replace("+psycopg", "")
    environment = {**os.environ, "DATABASE_URL": database, "PYTHONPATH": "."}
    server = subprocess.Popen(
        [python, "serve.py", str(port)], cwd=PEERS / peer, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_until_up(server, port)
        yield _make_requests(peer, f"http://127.0.0.1:{port}", port, python, environment)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _make_requests(
    peer: str, url: str, port: int, python: Path, environment: dict[str, str]
) -> Requests:
    json_headers = {"Content-Type": "application/json"}
    login = None
    if peer == "django_rest":
        body = json.dumps({"username": "someone", "password": "correct-horse-battery"})
        login = LoadRequest(url=f"{url}/login", method="POST", headers=json_headers, body=body)
        token = json.loads(_call(port, "POST", "/login", body))["access"]
    else:
        command = [str(python), "serve.py", "token"]
        token = subprocess.check_output(command, cwd=PEERS / peer, env=environment, text=True)
    tokens = [token.strip()]
    return Requests(
        ping=LoadRequest(url=f"{url}/ping"),
        list=LoadRequest(url=f"{url}/schedules/", tokens=tokens),
        create=LoadRequest(
            url=f"{url}/schedules/", method="POST", headers=json_headers,
            body=json.dumps(CREATE), tokens=tokens,
        ),
        login=login,
    )  # fmt: skip


def _wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < end:
        try:
            _call(port, "GET", "/ping")
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("The server did not start.")


def _call(port: int, method: str, path: str, body: str | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()
