"""The HTTP benchmark: one server process, asked from outside."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from attrs import define, frozen

from ..domain.identity import UserId
from .bench_load import Load, Request, client, load
from .bench_places import Place
from .settings import Settings
from .wiring import House, build

PASSWORD = "correct-horse-battery"  # noqa: S105 - of a scratch database
USER = "someone"
SCHEDULES = 200
ROOM = 999_999_999
"""So many are allowed of everything that is limited, in these figures."""
LIMIT = f"{ROOM}/second"
START_SECONDS = 30
LOGIN_CLIENTS = 2

Say = Callable[[str], None]


@frozen
class Server:
    """A server that runs, and somebody who may ask it."""

    url: str
    headers: dict[str, str]
    task_id: int

    def ping(self) -> Request:
        """Ask whether the process is there."""
        return Request(url=f"{self.url}/livez")

    def listing(self) -> Request:
        """Ask for twenty schedules."""
        return Request(url=f"{self.url}/api/v1/schedules?page_size=20", headers=self.headers)

    def schedule(self) -> Request:
        """Ask for one schedule more."""
        body = {
            "task_definition": self.task_id,
            "cron_expression": "0 9 * * 1-5",
            "name": "A schedule",
            "parameters": {"n": 1},
        }
        return self._post("schedules", body)

    def job(self) -> Request:
        """Ask for one job more."""
        return self._post("jobs", {"task_definition": self.task_id, "parameters": {"n": 1}})

    def login(self) -> Request:
        """Sign in."""
        body = {"username": USER, "password": PASSWORD}
        headers = {"Content-Type": "application/json"}
        return Request(
            url=f"{self.url}/api/v1/auth/login",
            method="POST",
            headers=headers,
            body=json.dumps(body),
        )

    def _post(self, what: str, body: dict[str, Any]) -> Request:
        return Request(
            url=f"{self.url}/api/v1/{what}",
            method="POST",
            headers={**self.headers, "Content-Type": "application/json"},
            body=json.dumps(body),
        )


@define
class _Rows:
    """The rows, as they come in."""

    seconds: float
    say: Say
    kept: list[dict[str, Any]]

    def add(self, what: str, request: Request, connections: int = 16) -> Load:
        """Make the load, and keep what came of it."""
        load(request, 1, connections)
        found = load(request, self.seconds, connections)
        self.say(f"{what}: {found.rate:,.0f}/s, p50 {found.p50:.2f} ms, p99 {found.p99:.2f} ms")
        self.kept.append(
            {
                "what": what,
                "requests/s": round(found.rate),
                "p50, ms": round(found.p50, 3),
                "p99, ms": round(found.p99, 3),
                "refused": found.bad,
            }
        )
        return found


def measure(place: Place, seconds: float, say: Say) -> list[dict[str, Any]]:
    """
    Return the rows of the benchmark; `say` is told what is being measured.

    Everything is on: validation, permissions, audit, the log (to nowhere),
    and limits, which are raised until they do not bite.
    """
    say(f"load by {client()}")
    rows = _Rows(seconds, say, [])
    with place.settings() as settings:
        alone = _without_redis(settings)
        with served(alone) as server:
            rows.add("ping, nobody signed in", server.ping())
            rows.add("list of 20 schedules", server.listing())
            rows.add("create a schedule", server.schedule())
            rows.add("create a job", server.job())
            rows.add(f"sign in, {LOGIN_CLIENTS} clients", server.login(), LOGIN_CLIENTS)
    if place.redis is not None:
        _limits_in_redis(place, rows)
    return rows.kept


def _limits_in_redis(place: Place, rows: _Rows) -> None:
    """Compare the same list with limits in the process and in Redis, one after the other."""
    with place.settings() as settings:
        with served(_without_redis(settings)) as server:
            own = rows.add("list of 20, limits in the process", server.listing())
        with served(settings) as server:
            shared = rows.add("list of 20, limits in Redis", server.listing())
    cost = (1 / shared.rate - 1 / own.rate) * 1000
    rows.say(f"cost of the limits in Redis: {cost:.3f} ms a request")
    rows.kept.append({"what": "cost of limits in Redis, ms a request", "p50, ms": round(cost, 3)})


def _without_redis(settings: Settings) -> Settings:
    from attrs import evolve

    return evolve(settings, redis_url=None)


@contextmanager
def served(settings: Settings) -> Generator[Server]:
    """Have one server process run over a store with somebody and their schedules in it."""
    task_id = _filled(settings)
    port = _free_port()
    embedded = settings.embedded
    command = [sys.executable, "-m", "workbell", "up" if embedded else "api", "--port", str(port)]
    environment = _environment(settings)
    process = subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_ready(process, port)
        url = f"http://127.0.0.1:{port}"
        yield Server(url, {"Authorization": f"Bearer {_token(port)}"}, task_id)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _filled(settings: Settings) -> int:
    """Fill an empty store; return the id of a task."""
    house = build(settings)
    house.prepare()
    task_id = next(d.id for d in house.definitions.all() if d.key == "echo")
    with house.store.view() as tx:
        known = tx.users.by_login(USER)
    if known is None:
        user = house.identity.create_superuser(USER, f"{USER}@example.org", PASSWORD)
        _schedules(house, user.id)
    house.close()
    return int(task_id)


def _schedules(house: House, owner: UserId) -> None:
    from ..domain.identity import Actor
    from ..services.asked import NewSchedule

    actor = Actor(user_id=owner, username=USER, is_superuser=True)
    for n in range(SCHEDULES):
        new = NewSchedule(task_definition="echo", cron_expression="0 9 * * 1-5", name=f"daily {n}")
        house.scheduling.create(actor, new)


def _environment(settings: Settings) -> dict[str, str]:
    told = {
        "DATABASE_URL": settings.database_url,
        "DATA_DIR": str(settings.data_dir),
        "SECRET_KEY": settings.secret_key or secrets.token_hex(32),
        "MAX_ACTIVE_SCHEDULES": str(ROOM),
        "MAX_WAITING_JOBS": str(ROOM),
        "RATE_LIMIT_USER": LIMIT,
        "RATE_LIMIT_ANON": LIMIT,
        "RATE_LIMIT_LOGIN": LIMIT,
        **({} if settings.redis_url is None else {"REDIS_URL": settings.redis_url}),
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("WORKBELL_")}
    return own | {f"WORKBELL_{name}": value for name, value in told.items()}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            if _ask(port, "GET", "/livez")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("The server did not start: run `workbell api` by hand to see why.")


def _token(port: int) -> str:
    body = json.dumps({"username": USER, "password": PASSWORD})
    status, answer = _ask(port, "POST", "/api/v1/auth/login", body)
    if status != 200:
        raise RuntimeError(f"Signing in was answered by {status}: {answer.decode()}")
    return str(json.loads(answer)["access_token"])


def _ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    read = answer.status, answer.read()
    connection.close()
    return read
