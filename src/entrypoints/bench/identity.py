"""Identity benchmark: authentication, logins, reads during a storm."""

import gc
import hashlib
import http.client
import os
import random
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import fmean

from attrs import evolve

from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import Tier
from workbell.domain.rate_limits.policy import Rate, RateLimitRequest, Route
from workbell.entrypoints.bench.http import PASSWORD, log_in, serving
from workbell.entrypoints.bench.rows import FigureRows, Row
from workbell.entrypoints.bench.targets import Target, open_application
from workbell.entrypoints.bench.workers import other_process, percentiles, run_threads
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import API_THREADS
from workbell.entrypoints.config.enums import LogFormat
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.processes.all_in_one import SWITCH_SECONDS

CLIENTS = 50
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


def measure(calls: int, seconds: float) -> list[Row]:
    """
    Run the benchmark; return its rows.

    Each round of logins, reads or storm lasts for `seconds`.
    """
    figures = FigureRows(digits=3)
    with _open_application() as application:
        overhead = _measure_overhead(application, calls)
        figures.add_latency("authentication and rate limits of a request", *overhead)
        ours, theirs = _compare_with_django(application, seconds)
        figures.add("logins, one after another", ours, "logins/s")
        figures.add("Django's default password hash alone, one after another", theirs, "hashes/s")
        figures.add("ratio of the two", ours / theirs, "x")
        sys.setswitchinterval(SWITCH_SECONDS)
        with serving(application, application.app_dependencies(), API_THREADS) as port:
            token = application.login.login("user0", PASSWORD).access
            idle, busy, logins = _measure_storm(port, token, seconds)
            figures.add_latency("a list of schedules while idle", *idle)
            figures.add_latency(f"the same while {CLIENTS} clients log in", *busy)
            figures.add("ratio of the two p99", busy[1] / idle[1], "x")
            figures.add(f"logins of {CLIENTS} clients that retry when refused", logins, "logins/s")
    return figures.rows


@contextmanager
def _open_application() -> Generator[Application]:
    with Target().settings() as settings:
        limited = evolve(
            settings,
            rate_limit_anon=UNREACHED_LIMIT,
            rate_limit_login=UNREACHED_LIMIT,
            rate_limit_user=UNREACHED_LIMIT,
            log_format=LogFormat.JSON,
            log_file=settings.data_dir / "log",
        )
        configure(limited)
        with open_application(limited) as application:
            for n in range(CLIENTS):
                name, email = f"user{n}", f"user{n}@example.org"
                application.identity.register(
                    Registration(username=name, email=email, password=PASSWORD)
                )
            gc.freeze()
            yield application


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
    return percentiles(times)


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


def _measure_storm(port: int, token: str, seconds: float) -> tuple[Cuts, Cuts, float]:
    """Return p50, p99 of reads when idle and in a storm, and its logins/s."""
    idle: list[float] = []
    busy: list[float] = []
    logins: list[float] = []
    with other_process() as reader, other_process() as clients:
        reader.submit(_time_reads, port, token, seconds).result()  # starts the process
        clients.submit(os.nice, CLIENTS_NICE).result()
        for _ in range(ROUNDS):
            idle += reader.submit(_time_reads, port, token, seconds).result()
            storm = clients.submit(_run_storm, port, seconds * 1.5)
            time.sleep(seconds / 4)
            busy += reader.submit(_time_reads, port, token, seconds).result()
            logins.append(storm.result())
    return percentiles(idle), percentiles(busy), fmean(logins)


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
        while time.perf_counter() < end:
            response = log_in(port, f"user{n}")
            if response.status == 200:
                done[n] += 1
            else:
                delay = float(response.getheader("Retry-After", "1")) + random.random()  # noqa: S311
                time.sleep(max(0.0, min(delay, end - time.perf_counter())))

    run_threads(CLIENTS, client)
    return sum(done) / seconds
