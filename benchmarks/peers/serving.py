"""HTTP measures: each product's server under the same load."""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve, frozen

from workbell.entrypoints.bench.http import free_port, served
from workbell.entrypoints.bench.load import Request, load
from workbell.entrypoints.config.settings import Settings

from .venvs import PEERS, python_of

LOGIN_CLIENTS, LOGIN_SECONDS = 2, 4
CREATE = {
    "name": "A schedule",
    "task": "noop",
    "cron_expression": "0 9 * * 1-5",
    "parameters": {"n": 1},
}


@frozen
class Asked:
    """The requests to one server, by the names of the figures."""

    ping: Request
    list: Request
    create: Request
    login: Request | None = None


def figures(peer: str, settings: Settings, seconds: int) -> dict[str, float]:
    """
    Return requests a second of each kind.

    Raises:
        RuntimeError: The server did not start, or refused requests.
    """
    opened = _workbell(settings) if peer == "workbell" else _other(peer, settings)
    found = {}
    with opened as asked:
        for name in ("ping", "list", "create", "login"):
            request: Request | None = getattr(asked, name)
            if request is None:
                continue
            clients = LOGIN_CLIENTS if name == "login" else 16
            load(request, 1, clients)
            asked_for = max(seconds, LOGIN_SECONDS) if name == "login" else seconds
            before = _processor_seconds()
            done = load(request, asked_for, clients)
            spent = _processor_seconds() - before
            if done.bad and name != "login":
                raise RuntimeError(f"{peer} refused {done.bad} of {name}.")
            found[f"{name}/s"] = done.rate
            found[f"{name} p99 ms"] = done.p99
            found[f"{name} cpu us"] = spent / max(done.rate * asked_for, 1) * 1e6
    return found


def _processor_seconds() -> float:
    """Return the processor time of the servers, steadier than rates on a busy machine."""
    ticks, mine = 0, {os.getpid()}
    found = [path.read_text().rpartition(")") for path in Path("/proc").glob("[0-9]*/stat")]
    fields = [(int(head.split()[0]), "wrk" in head, tail.split()) for head, _, tail in found]
    for pid, is_load, rest in sorted(fields):
        if int(rest[1]) in mine and not is_load:
            mine.add(pid)
            ticks += int(rest[11]) + int(rest[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _workbell(settings: Settings) -> Generator[Asked]:
    with served(evolve(settings, redis_url=None)) as server:
        yield Asked(server.ping(), server.listing(), server.schedule(), server.login())


@contextmanager
def _other(peer: str, settings: Settings) -> Generator[Asked]:
    python, port = python_of(peer), free_port()
    database = settings.database_url.replace("+psycopg", "")
    environment = {**os.environ, "DATABASE_URL": database, "PYTHONPATH": "."}
    server = subprocess.Popen(
        [python, "serve.py", str(port)], cwd=PEERS / peer, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _until_up(server, port)
        yield _asked(peer, f"http://127.0.0.1:{port}", port, python, environment)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _asked(peer: str, url: str, port: int, python: Path, environment: dict[str, str]) -> Asked:
    typed = {"Content-Type": "application/json"}
    login = None
    if peer == "django_rest":
        body = json.dumps({"username": "someone", "password": "correct-horse-battery"})
        login = Request(url=f"{url}/login", method="POST", headers=typed, body=body)
        token = json.loads(_exchange(port, "POST", "/login", body))["access"]
    else:
        command = [str(python), "serve.py", "token"]
        token = subprocess.check_output(command, cwd=PEERS / peer, env=environment, text=True)
    tokens = [token.strip()]
    return Asked(
        ping=Request(url=f"{url}/ping"),
        list=Request(url=f"{url}/schedules/", tokens=tokens),
        create=Request(
            url=f"{url}/schedules/", method="POST", headers=typed,
            body=json.dumps(CREATE), tokens=tokens,
        ),
        login=login,
    )  # fmt: skip


def _until_up(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < end:
        try:
            _exchange(port, "GET", "/ping")
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("The server did not start.")


def _exchange(port: int, method: str, path: str, body: str | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()
