"""HTTP benchmark: load on one server process."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from attrs import Factory, define, evolve, frozen

from workbell.adapters.http.app import AppDependencies, build_app
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import User
from workbell.entrypoints.bench.load import LoadRequest, LoadResult, generate_load, load_generator
from workbell.entrypoints.bench.rows import Row, report
from workbell.entrypoints.bench.targets import Target, open_application
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.config.settings import Settings
from workbell.services.schedules.requests import NewSchedule

PASSWORD = "correct-horse-battery"  # noqa: S105 - of a scratch database
USERS = 64
"""Users that create in turn, so that each owns a realistic number of rows."""
SCHEDULES = 200
UNLIMITED = 999_999_999
"""Value of all limits, which the benchmark does not reach."""
LIMIT = f"{UNLIMITED}/second"
START_SECONDS = 30
LOGIN_CLIENTS = 2


@frozen
class ApiServer:
    """A running server, and access tokens of its users."""

    url: str
    task_id: int
    tokens: Sequence[str]

    def ping(self) -> LoadRequest:
        """Return a liveness probe."""
        return LoadRequest(url=f"{self.url}/livez")

    def listing(self) -> LoadRequest:
        """Return a request for a list of 20 schedules."""
        return LoadRequest(url=f"{self.url}/api/v1/schedules?page_size=20", tokens=self.tokens[:1])

    def schedule(self) -> LoadRequest:
        """Return a request that creates a schedule."""
        body = {
            "task_definition": self.task_id,
            "cron_expression": "0 9 * * 1-5",
            "name": "A schedule",
            "parameters": {"n": 1},
        }
        return self._post("schedules", body, self.tokens[1:])

    def job(self) -> LoadRequest:
        """Return a request that creates a job."""
        body = {"task_definition": self.task_id, "parameters": {"n": 1}}
        return self._post("jobs", body, self.tokens[1:])

    def login(self) -> LoadRequest:
        """Return a login request."""
        return self._post("auth/login", {"username": "user0", "password": PASSWORD})

    def _post(self, path: str, body: Mapping[str, Any], tokens: Sequence[str] = ()) -> LoadRequest:
        return LoadRequest(
            url=f"{self.url}/api/v1/{path}",
            method="POST",
            headers={"Content-Type": "application/json"},
            body=json.dumps(body),
            tokens=tokens,
        )


@define
class ResultRows:
    """Measured rows."""

    seconds: int
    rows: list[Row] = Factory(list[Row])

    def add(self, label: str, request: LoadRequest, connections: int = 16) -> LoadResult:
        """Measure a request after a second of warm-up, and add a row."""
        generate_load(request, 1, connections)
        result = generate_load(request, self.seconds, connections)
        if not result.rate:
            raise RuntimeError(f"{label}: all requests failed.")
        report(f"{label}: {result.rate:,.0f}/s, p50 {result.p50:.2f} ms, p99 {result.p99:.2f} ms")
        self.rows.append(
            {
                "what": label,
                "requests/s": round(result.rate),
                "p50, ms": round(result.p50, 3),
                "p99, ms": round(result.p99, 3),
                "refused": result.bad,
            }
        )
        return result


def measure(target: Target, seconds: int) -> list[Row]:
    """
    Run the benchmark; return its rows.

    The server validates, authorizes, audits, logs and counts as in production;
    only the limits are raised.
    """
    report(f"load by {load_generator()}")
    rows = ResultRows(seconds)
    with target.settings() as settings, running_api(evolve(settings, redis_url=None)) as server:
        rows.add("ping, unauthenticated", server.ping())
        rows.add("list of 20 schedules", server.listing())
        rows.add("create a schedule", server.schedule())
        rows.add("create a job", server.job())
        rows.add(f"login, {LOGIN_CLIENTS} clients", server.login(), LOGIN_CLIENTS)
    if target.redis is not None:
        _compare_rate_limiters(target, rows)
    return rows.rows


def _compare_rate_limiters(target: Target, rows: ResultRows) -> None:
    """Measure one request with rate limits in the process and in Redis."""
    with target.settings() as settings:
        with running_api(evolve(settings, redis_url=None)) as server:
            local = rows.add("list of 20, limits in the process", server.listing())
        with running_api(settings) as server:
            shared = rows.add("list of 20, limits in Redis", server.listing())
    cost = (1 / shared.rate - 1 / local.rate) * 1000
    report(f"cost of the limits in Redis: {cost:.3f} ms per request")
    empty = {"requests/s": "-", "p99, ms": "-", "refused": "-"}
    rows.rows.append(
        {"what": "cost of limits in Redis, per request", **empty, "p50, ms": round(cost, 3)}
    )


@contextmanager
def running_api(settings: Settings, **others: str) -> Generator[ApiServer]:
    """Run a server process on a store with users and schedules, and other settings."""
    task_id, tokens = _fill_store(settings)
    with running_process(
        "up" if settings.embedded else "api", _variables(settings) | others
    ) as process:
        yield ApiServer(f"http://127.0.0.1:{process.port}", task_id, tokens)


@frozen
class ServerProcess:
    """A running process, its port, and the seconds until it was healthy."""

    id: int
    port: int
    start_seconds: float


@contextmanager
def running_process(command: str, settings: Mapping[str, str]) -> Generator[ServerProcess]:
    """Run `workbell up` or `workbell api` with only these settings; stop it at the end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("WORKBELL_")}
    port, started = free_port(), time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "workbell", command, "--port", str(port)],
        env=own | {f"WORKBELL_{name}": value for name, value in settings.items()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(process, port)
        yield ServerProcess(process.pid, port, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _fill_store(settings: Settings) -> tuple[int, Sequence[str]]:
    """Fill a store if it is empty; return the id of a task, and access tokens."""
    unlimited = evolve(settings, rate_limit_login=None, max_active_schedules=UNLIMITED)
    with open_application(unlimited) as application:
        task_id = next(d.id for d in application.definitions.all() if d.key == "echo")
        with application.store.view() as tx:
            empty = tx.users.by_login("user0") is None
        if empty:
            _add_users(application)
        tokens = [application.login.login(f"user{n}", PASSWORD).access for n in range(USERS)]
    return int(task_id or 0), tokens


def _add_users(application: Application) -> None:
    """Add verified users, and schedules of the first user."""
    now, password_hash = application.clock.now(), application.identity.hasher.hash(PASSWORD)
    with application.store.begin() as tx:
        users = [
            tx.users.add(
                User(
                    username=f"user{n}",
                    email=f"user{n}@example.org",
                    password_hash=password_hash,
                    is_email_verified=True,
                    created_at=now,
                )
            )
            for n in range(USERS)
        ]
    actor = Actor.of(users[0])
    for n in range(SCHEDULES):
        new = NewSchedule(task_definition="echo", cron_expression="0 9 * * 1-5", name=f"daily {n}")
        application.schedules.create(actor, new)


def _variables(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "DATA_DIR": str(settings.data_dir),
        "PUBLIC_URL": settings.public_url,
        "LOG_FORMAT": "json",
        "MAX_ACTIVE_SCHEDULES": str(UNLIMITED),
        "MAX_WAITING_JOBS": str(UNLIMITED),
        "RATE_LIMIT_USER": LIMIT,
        "RATE_LIMIT_ANON": LIMIT,
        "RATE_LIMIT_LOGIN": LIMIT,
        # if unset, the server uses the key file in DATA_DIR
        **({} if settings.secret_key is None else {"SECRET_KEY": settings.secret_key}),
        **({} if settings.redis_url is None else {"REDIS_URL": settings.redis_url}),
    }


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if _is_live(port):
            return
        time.sleep(0.05)
    raise RuntimeError("The server did not start: run `workbell api` by hand to see why.")


def _is_live(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection), suppress(OSError):
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    return False


def log_in(port: int, username: str) -> http.client.HTTPResponse:
    """Log in over a new connection; return the response."""
    body = json.dumps({"username": username, "password": PASSWORD})
    headers = {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/api/v1/auth/login", body, headers)
        response = connection.getresponse()
        response.read()
        return response


@contextmanager
def serving(
    application: Application, dependencies: AppDependencies, threads: int
) -> Generator[int]:
    """Serve HTTP in threads of this process; yield the port."""
    server = HttpServer(
        build_app(dependencies), listen("127.0.0.1", 0), application.ids.new, threads=threads
    )
    server.start()
    try:
        yield server.address[1]
    finally:
        server.stop(2.0)
