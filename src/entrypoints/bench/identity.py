"""The identity benchmark: who asks, and what signing in costs the others."""

import gc
import hashlib
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

from workbell.adapters.http.app import build_app
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import Tier
from workbell.domain.rate_limits.policy import Rate, RateLimitRequest, Route
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.enums import LogFormat
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.processes.all_in_one import API_THREADS, SWITCH_SECONDS

CLIENTS = 50
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a scratch database
DJANGO_ROUNDS = 1_000_000
"""Of PBKDF2 with SHA-256, the default hasher of Django 5.2; later releases take more."""
ROUNDS = 4
"""Idle and storm take turns; there are some thousands of reads, so that their p99 is one."""
PLENTY = Rate(100_000, 60)
"""Limits are counted, as everywhere, but do not bite."""
CLIENTS_NICE = 5
"""The crowd yields to the service: it is the service that is measured."""

Cuts = tuple[float, float]
"""The p50 and the p99, in ms."""


def measure(
    calls: int, say: Callable[[str], None], *, seconds: float = 2.0
) -> list[dict[str, Any]]:
    """
    Return the rows of the benchmark; `say` is told what is being measured.

    Each turn of logging in, reading or storming lasts for `seconds`.
    """
    rows: list[dict[str, Any]] = []

    def add(what: str, figure: float, unit: str) -> None:
        say(f"{what}: {figure:,.3f} {unit}")
        rows.append({"what": what, "figure": round(figure, 3), "unit": unit})

    with _application() as application:
        p50, p99 = _overhead(application, calls)
        add("token, session and rate limit of a request, p50", p50, "ms")
        add("token, session and rate limit of a request, p99", p99, "ms")
        ours, theirs = _in_turns(application, seconds)
        add("logins, sequential", ours, "logins/s")
        add("hashes by Django's default hasher, sequential", theirs, "hashes/s")
        add("ratio of logins to these hashes", ours / theirs, "x")
        with _served(application) as port:
            token = _token(application)
            idle, busy, logins = _stormed(port, token, seconds)
            add("list of schedules, idle, p50", idle[0], "ms")
            add("list of schedules, idle, p99", idle[1], "ms")
            add(f"list of schedules while {CLIENTS} clients sign in, p50", busy[0], "ms")
            add(f"list of schedules while {CLIENTS} clients sign in, p99", busy[1], "ms")
            add("ratio of p99", busy[1] / idle[1], "x")
            add(f"logins of {CLIENTS} clients that retry when refused", logins, "logins/s")
    return rows


@contextmanager
def _application() -> Generator[Application]:
    with tempfile.TemporaryDirectory(prefix="workbell-bench-") as scratch:
        settings = Settings(
            data_dir=Path(scratch),
            rate_limit_anon=PLENTY,
            rate_limit_login=PLENTY,
            rate_limit_user=PLENTY,
            log_format=LogFormat.JSON,
            log_file=Path(scratch) / "log",
        )
        configure(settings)
        application = build(settings)
        application.migrate_and_register()
        for n in range(CLIENTS):
            email = f"user{n}@example.org"
            application.identity.register(
                Registration(username=f"user{n}", email=email, password=PASSWORD)
            )
        gc.freeze()
        yield application
        application.close()


def _overhead(application: Application, calls: int) -> Cuts:
    """Return p50 and p99, in ms, of what every authenticated request pays."""
    token = application.signing_in.login("user0", PASSWORD).access
    origin, times = ClientInfo(address="127.0.0.1"), []
    for _ in range(calls):
        begun = time.perf_counter()
        actor = application.signing_in.authenticate(token, origin)
        application.rate_limits.admit(
            RateLimitRequest(
                address="127.0.0.1",
                route=Route.GENERAL,
                user_id=actor.user_id,
                tier=Tier.FREE,
                session_id=actor.session_id,
            )
        )
        times.append((time.perf_counter() - begun) * 1000)
    return _cuts(times)


def _in_turns(application: Application, seconds: float) -> tuple[float, float]:
    """Return our logins and Django's hashes a second: one thread each, in turns."""

    def login() -> None:
        application.signing_in.login("user0", PASSWORD)

    def hashed() -> None:
        hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt" * 6, DJANGO_ROUNDS)

    rounds = [(_rate(login, seconds), _rate(hashed, seconds)) for _ in range(ROUNDS)]
    ours, theirs = zip(*rounds, strict=True)
    return fmean(ours), fmean(theirs)


def _rate(work: Callable[[], object], seconds: float) -> float:
    """Return how often in a second one thread gets something done."""
    done, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + seconds:
        work()
        done += 1
    return done / (time.perf_counter() - begun)


def _token(application: Application) -> str:
    return application.signing_in.login("user0", PASSWORD).access


def _another_process() -> ProcessPoolExecutor:
    """Return where clients run: they are not to share the service's interpreter."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _stormed(port: int, token: str, seconds: float) -> tuple[Cuts, Cuts, float]:
    """Return p50 and p99 of reads while idle and in a storm, in turns, and its logins/s."""
    idle: list[float] = []
    busy: list[float] = []
    logins: list[float] = []
    with _another_process() as reader, _another_process() as crowd:
        reader.submit(_asked, port, token, seconds).result()  # the first call starts the process
        crowd.submit(os.nice, CLIENTS_NICE).result()
        for _ in range(ROUNDS):
            idle += reader.submit(_asked, port, token, seconds).result()
            storm = crowd.submit(_storm, port, seconds * 1.5)
            time.sleep(seconds / 4)
            busy += reader.submit(_asked, port, token, seconds).result()
            logins.append(storm.result())
    return _cuts(idle), _cuts(busy), fmean(logins)


def _cuts(times: Sequence[float]) -> Cuts:
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98]


@contextmanager
def _served(application: Application) -> Generator[int]:
    sys.setswitchinterval(SWITCH_SECONDS)
    listener = listen("127.0.0.1", 0)
    server = HttpServer(
        build_app(application.app_dependencies()),
        listener,
        application.ids.new,
        threads=API_THREADS,
    )
    server.start()
    yield server.address[1]
    server.stop(2.0)


def _asked(port: int, token: str, seconds: float) -> list[float]:
    """Return how long each of many lists of schedules took, in ms."""
    times, until = [], time.perf_counter() + seconds
    headers = {"Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while (begun := time.perf_counter()) < until:
        connection.request("GET", "/api/v1/schedules", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.001)
    connection.close()
    return times


def _storm(port: int, seconds: float) -> float:
    """Return logins/s of many clients, who come again when they were told to."""
    done, until = [0] * CLIENTS, time.perf_counter() + seconds

    def client(n: int) -> None:
        body = json.dumps({"username": f"user{n}", "password": PASSWORD})
        headers = {"Content-Type": "application/json"}
        while time.perf_counter() < until:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/api/v1/auth/login", body, headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status == 200:
                done[n] += 1
            else:
                told = float(answer.getheader("Retry-After", "1")) + random.random()  # noqa: S311
                time.sleep(max(0.0, min(told, until - time.perf_counter())))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / seconds
