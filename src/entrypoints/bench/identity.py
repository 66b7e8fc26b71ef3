"""Identity benchmark: authentication, logins, reads during a storm."""

import gc
import hashlib
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

from workbell.adapters.http.app import build_app
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import Tier
from workbell.domain.rate_limits.policy import Rate, RateLimitRequest, Route
from workbell.entrypoints.bench.workers import percentiles, run_threads
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.enums import LogFormat
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.processes.all_in_one import API_THREADS, SWITCH_SECONDS

CLIENTS = 50
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a scratch database
DJANGO_ROUNDS = 1_000_000
"""Iterations of PBKDF2-SHA256, the default hasher of Django 5.2; later releases use more."""
ROUNDS = 4
"""Idle and storm alternate: thousands of reads make a stable p99."""
UNREACHED_LIMIT = Rate(100_000, 60)
"""Requests are counted, but the limit is never reached."""
CLIENTS_NICE = 5
"""Niceness of the login clients, which share the CPUs with the measured service."""

Cuts = tuple[float, float]
"""p50 and p99, in ms."""


def measure(
    calls: int, report: Callable[[str], None], *, seconds: float = 2.0
) -> list[dict[str, Any]]:
    """
    Run the benchmark; return its rows.

    Each round of logins, reads or storm lasts for `seconds`.
    """
    rows: list[dict[str, Any]] = []

    def add(what: str, figure: float, unit: str) -> None:
        report(f"{what}: {figure:,.3f} {unit}")
        rows.append({"what": what, "figure": round(figure, 3), "unit": unit})

    with _open_application() as application:
        p50, p99 = _measure_overhead(application, calls)
        add("authentication and rate limits of a request, p50", p50, "ms")
        add("authentication and rate limits of a request, p99", p99, "ms")
        ours, theirs = _compare_with_django(application, seconds)
        add("logins, one after another", ours, "logins/s")
        add("Django's default password hash alone, one after another", theirs, "hashes/s")
        add("ratio of the two", ours / theirs, "x")
        with _serve(application) as port:
            token = _log_in(application)
            idle, busy, logins = _measure_storm(port, token, seconds)
            add("a list of schedules while idle, p50", idle[0], "ms")
            add("a list of schedules while idle, p99", idle[1], "ms")
            add(f"the same while {CLIENTS} clients log in, p50", busy[0], "ms")
            add(f"the same while {CLIENTS} clients log in, p99", busy[1], "ms")
            add("ratio of the two p99", busy[1] / idle[1], "x")
            add(f"logins of {CLIENTS} clients that retry when refused", logins, "logins/s")
    return rows


@contextmanager
def _open_application() -> Generator[Application]:
    with tempfile.TemporaryDirectory(prefix="workbell-bench-") as scratch:
        settings = Settings(
            data_dir=Path(scratch),
            rate_limit_anon=UNREACHED_LIMIT,
            rate_limit_login=UNREACHED_LIMIT,
            rate_limit_user=UNREACHED_LIMIT,
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


def _measure_overhead(application: Application, calls: int) -> Cuts:
    """Return p50 and p99 of authenticating and rate limiting a request, in ms."""
    token = application.login.login("user0", PASSWORD).access
    client_info, times = ClientInfo(address="127.0.0.1"), []
    for _ in range(calls):
        started = time.perf_counter()
        actor = application.login.authenticate(token, client_info)
        application.rate_limits.admit(
            RateLimitRequest(
                address="127.0.0.1",
                route=Route.GENERAL,
                user_id=actor.user_id,
                tier=Tier.FREE,
                session_id=actor.session_id,
            )
        )
        times.append((time.perf_counter() - started) * 1000)
    return _percentiles(times)


def _compare_with_django(application: Application, seconds: float) -> tuple[float, float]:
    """Return our logins/s and Django's hashes/s: one thread each, alternating."""

    def login() -> None:
        application.login.login("user0", PASSWORD)

    def hash_password() -> None:
        hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt" * 6, DJANGO_ROUNDS)

    rounds = [
        (_rate_per_second(login, seconds), _rate_per_second(hash_password, seconds))
        for _ in range(ROUNDS)
    ]
    ours, theirs = zip(*rounds, strict=True)
    return fmean(ours), fmean(theirs)


def _rate_per_second(work: Callable[[], object], seconds: float) -> float:
    """Return how often per second one thread completes `work`."""
    done, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        work()
        done += 1
    return done / (time.perf_counter() - started)


def _log_in(application: Application) -> str:
    return application.login.login("user0", PASSWORD).access


def _another_process() -> ProcessPoolExecutor:
    """Return a pool of one process: clients must not share our GIL."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _measure_storm(port: int, token: str, seconds: float) -> tuple[Cuts, Cuts, float]:
    """Return p50, p99 of reads when idle and in a storm, and its logins/s."""
    idle: list[float] = []
    busy: list[float] = []
    logins: list[float] = []
    with _another_process() as reader, _another_process() as clients:
        reader.submit(_time_reads, port, token, seconds).result()  # starts the process
        clients.submit(os.nice, CLIENTS_NICE).result()
        for _ in range(ROUNDS):
            idle += reader.submit(_time_reads, port, token, seconds).result()
            storm = clients.submit(_run_storm, port, seconds * 1.5)
            time.sleep(seconds / 4)
            busy += reader.submit(_time_reads, port, token, seconds).result()
            logins.append(storm.result())
    return _percentiles(idle), _percentiles(busy), fmean(logins)


def _percentiles(times: Sequence[float]) -> Cuts:
    p50, p99 = percentiles(times, 50, 99)
    return p50, p99


@contextmanager
def _serve(application: Application) -> Generator[int]:
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


def _time_reads(port: int, token: str, seconds: float) -> list[float]:
    """Return the durations of requests for a list of schedules, in ms."""
    times, end = [], time.perf_counter() + seconds
    headers = {"Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while (started := time.perf_counter()) < end:
        connection.request("GET", "/api/v1/schedules", headers=headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.001)
    connection.close()
    return times


def _run_storm(port: int, seconds: float) -> float:
    """Return logins/s of many clients that retry after Retry-After."""
    done, end = [0] * CLIENTS, time.perf_counter() + seconds

    def client(n: int) -> None:
        body = json.dumps({"username": f"user{n}", "password": PASSWORD})
        headers = {"Content-Type": "application/json"}
        while time.perf_counter() < end:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/api/v1/auth/login", body, headers)
            response = connection.getresponse()
            response.read()
            connection.close()
            if response.status == 200:
                done[n] += 1
            else:
                delay = float(response.getheader("Retry-After", "1")) + random.random()  # noqa: S311
                time.sleep(max(0.0, min(delay, end - time.perf_counter())))

    run_threads(CLIENTS, client)
    return sum(done) / seconds
