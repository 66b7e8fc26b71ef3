"""The HTTP benchmark: one server process, asked from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import Factory, define, evolve, frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import User
from workbell.entrypoints.bench.load import Load, Request, client, load
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.schedules.requests import NewSchedule

PASSWORD = "correct-horse-battery"  # noqa: S105 - of a scratch database
PEOPLE = 64
"""Create is asked by so many in turn: nobody has more than a person would."""
SCHEDULES = 200
ROOM = 999_999_999
"""So many are allowed of everything that is limited, in these figures."""
LIMIT = f"{ROOM}/second"
START_SECONDS = 30
LOGIN_CLIENTS = 2

Say = Callable[[str], None]


@frozen
class Server:
    """A server that runs, and the tokens of who may ask it."""

    url: str
    task_id: int
    tokens: Sequence[str]

    def ping(self) -> Request:
        """Ask whether the process is there."""
        return Request(url=f"{self.url}/livez")

    def listing(self) -> Request:
        """Ask for twenty schedules."""
        return Request(url=f"{self.url}/api/v1/schedules?page_size=20", tokens=self.tokens[:1])

    def schedule(self) -> Request:
        """Ask for one schedule more."""
        body = {
            "task_definition": self.task_id,
            "cron_expression": "0 9 * * 1-5",
            "name": "A schedule",
            "parameters": {"n": 1},
        }
        return self._post("schedules", body, self.tokens[1:])

    def job(self) -> Request:
        """Ask for one job more."""
        body = {"task_definition": self.task_id, "parameters": {"n": 1}}
        return self._post("jobs", body, self.tokens[1:])

    def login(self) -> Request:
        """Sign in."""
        return self._post("auth/login", {"username": "user0", "password": PASSWORD})

    def _post(self, what: str, body: Mapping[str, Any], tokens: Sequence[str] = ()) -> Request:
        return Request(
            url=f"{self.url}/api/v1/{what}",
            method="POST",
            headers={"Content-Type": "application/json"},
            body=json.dumps(body),
            tokens=tokens,
        )


@define
class Rows:
    """The rows, as they come in."""

    seconds: int
    say: Say
    kept: list[dict[str, Any]] = Factory(list[dict[str, Any]])

    def add(self, what: str, request: Request, connections: int = 16, *, warm: int = 1) -> Load:
        """
        Make the load, and keep what came of it; the first seconds are not counted.

        Raises:
            RuntimeError: The server refuses everything.
        """
        if warm:
            load(request, warm, connections)
        found = load(request, self.seconds, connections)
        if not found.rate:
            raise RuntimeError(f"{what}: every request was refused.")
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


def measure(place: Target, seconds: int, say: Say) -> list[dict[str, Any]]:
    """
    Return the rows of the benchmark; `say` is told what is being measured.

    Everything is on: validation, permissions, audit, the log (to nowhere),
    and limits, which are raised until they do not bite.
    """
    say(f"load by {client()}")
    rows = Rows(seconds, say)
    with place.settings() as settings:
        alone = _without_redis(settings)
        with served(alone) as server:
            rows.add("ping, not signed in", server.ping())
            rows.add("list of 20 schedules", server.listing())
            rows.add("create a schedule", server.schedule())
            rows.add("create a job", server.job())
            rows.add(f"sign in, {LOGIN_CLIENTS} clients", server.login(), LOGIN_CLIENTS)
    if place.redis is not None:
        _limits_in_redis(place, rows)
    return rows.kept


def _limits_in_redis(place: Target, rows: Rows) -> None:
    """Compare the same list with limits in the process and in Redis, one after the other."""
    with place.settings() as settings:
        with served(_without_redis(settings)) as server:
            own = rows.add("list of 20, limits in the process", server.listing())
        with served(settings) as server:
            shared = rows.add("list of 20, limits in Redis", server.listing())
    cost = (1 / shared.rate - 1 / own.rate) * 1000
    rows.say(f"cost of the limits in Redis: {cost:.3f} ms a request")
    empty = {"requests/s": "-", "p99, ms": "-", "refused": "-"}
    rows.kept.append(
        {"what": "cost of limits in Redis, a request", **empty, "p50, ms": round(cost, 3)}
    )


def _without_redis(settings: Settings) -> Settings:
    return evolve(settings, redis_url=None)


@contextmanager
def served(settings: Settings) -> Generator[Server]:
    """Have one server process run over a store with somebody and their schedules in it."""
    task_id, tokens = _filled(settings)
    port = free_port()
    command = ("up" if settings.embedded else "api", "--port", str(port))
    with running(command, _environment(settings), port):
        yield Server(f"http://127.0.0.1:{port}", task_id, tokens)


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], port: int
) -> Generator[subprocess.Popen[bytes]]:
    """Have a server run on a port by a command of ours; its end is asked for and awaited."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "workbell", *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until_ready(process, port)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _filled(settings: Settings) -> tuple[int, Sequence[str]]:
    """Fill a store if it is empty; return the id of a task, and tokens to ask with."""
    application = build(evolve(settings, rate_limit_login=None, max_active_schedules=ROOM))
    application.migrate_and_register()
    task_id = next(d.id for d in application.definitions.all() if d.key == "echo")
    with application.store.view() as tx:
        empty = tx.users.by_login("user0") is None
    if empty:
        _people(application)
    tokens = [application.signing_in.login(f"user{n}", PASSWORD).access for n in range(PEOPLE)]
    application.close()
    return int(task_id or 0), tokens


def _people(application: Application) -> None:
    """Add verified people, the first of them with schedules."""
    now, password_hash = application.clock.now(), application.identity.hasher.hash(PASSWORD)
    with application.store.begin() as tx:
        people = [
            tx.users.add(
                User(
                    username=f"user{n}",
                    email=f"user{n}@example.org",
                    password_hash=password_hash,
                    is_email_verified=True,
                    created_at=now,
                )
            )
            for n in range(PEOPLE)
        ]
    actor = Actor.of(people[0])
    for n in range(SCHEDULES):
        new = NewSchedule(task_definition="echo", cron_expression="0 9 * * 1-5", name=f"daily {n}")
        application.scheduling.create(actor, new)


def _environment(settings: Settings) -> dict[str, str]:
    told = {
        "DATABASE_URL": settings.database_url,
        "DATA_DIR": str(settings.data_dir),
        "PUBLIC_URL": settings.public_url,
        "LOG_FORMAT": "json",
        "MAX_ACTIVE_SCHEDULES": str(ROOM),
        "MAX_WAITING_JOBS": str(ROOM),
        "RATE_LIMIT_USER": LIMIT,
        "RATE_LIMIT_ANON": LIMIT,
        "RATE_LIMIT_LOGIN": LIMIT,
        # without a key, the server finds the one that is kept in its folder
        **({} if settings.secret_key is None else {"SECRET_KEY": settings.secret_key}),
        **({} if settings.redis_url is None else {"REDIS_URL": settings.redis_url}),
    }
    return environment_with(told)


def environment_with(told: Mapping[str, str]) -> dict[str, str]:
    """Return this process' environment, with just these settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("WORKBELL_")}
    return own | {f"WORKBELL_{name}": value for name, value in told.items()}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if _alive(port):
            return
        time.sleep(0.05)
    raise RuntimeError("The server did not start: run `workbell api` by hand to see why.")


def _alive(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
