"""The identity benchmark: who asks, and what signing in costs the others."""

import gc
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import Any

from ..adapters.http.app import build_app
from ..adapters.http.server import EmbeddedServer
from ..domain.identity import Origin, Tier
from ..domain.registration import Registration
from ..domain.throttling import Asked, Route
from .face import parts
from .settings import Settings
from .wiring import House, build

CLIENTS = 50
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a scratch database
SECONDS = 3.0


def measure(calls: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the rows of the benchmark; `say` is told what is being measured."""
    rows: list[dict[str, Any]] = []

    def add(what: str, figure: float, unit: str) -> None:
        say(f"{what}: {figure:,.3f} {unit}")
        rows.append({"what": what, "figure": round(figure, 3), "unit": unit})

    with _house() as house:
        p50, p99 = _overhead(house, calls)
        add("token, session and throttle of a request, p50", p50, "ms")
        add("token, session and throttle of a request, p99", p99, "ms")
        add("logins, as many as may hash", _logins(house), "logins/s")
        with _served(house) as port, _another_process() as clients:
            clients.submit(_asked, port, 0.5).result()  # the first call starts the process
            idle = clients.submit(_asked, port, SECONDS).result()
            logins, busy = clients.submit(_storm, port).result()
        add("other requests while idle, p99", idle, "ms")
        add(f"other requests while {CLIENTS} clients log in, p99", busy, "ms")
        add(f"logins of {CLIENTS} clients who come again when refused", logins, "logins/s")
    return rows


@contextmanager
def _house() -> Generator[House]:
    with tempfile.TemporaryDirectory(prefix="workbell-bench-") as scratch:
        settings = Settings(
            data_dir=Path(scratch),
            rate_limit_anon=None,
            rate_limit_login=None,
            rate_limit_user=None,
        )
        house = build(settings)
        house.prepare()
        for n in range(CLIENTS):
            email = f"user{n}@example.org"
            house.identity.register(
                Registration(username=f"user{n}", email=email, password=PASSWORD)
            )
        gc.freeze()
        yield house
        house.close()


def _overhead(house: House, calls: int) -> tuple[float, float]:
    """Return p50 and p99, in ms, of what every authenticated request pays."""
    token = house.signing_in.login("user0", PASSWORD).access
    origin, times = Origin(address="127.0.0.1"), []
    for _ in range(calls):
        begun = time.perf_counter()
        actor = house.signing_in.authenticate(token, origin)
        house.throttling.admit(
            Asked(
                address="127.0.0.1",
                route=Route.GENERAL,
                user_id=actor.user_id,
                tier=Tier.FREE,
                session_id=actor.session_id,
            )
        )
        times.append((time.perf_counter() - begun) * 1000)
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98]


def _logins(house: House) -> float:
    """Return how many logins a second two threads get through."""
    done, until = [0, 0], time.perf_counter() + SECONDS

    def login(n: int) -> None:
        while time.perf_counter() < until:
            house.signing_in.login(f"user{n}", PASSWORD)
            done[n] += 1

    threads = [threading.Thread(target=login, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / SECONDS


def _another_process() -> ProcessPoolExecutor:
    """Return where clients run: they are not to share the service's interpreter."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


@contextmanager
def _served(house: House) -> Generator[int]:
    server = EmbeddedServer(build_app(parts(house)), "127.0.0.1", 0)
    server.bind()
    threading.Thread(target=server.serve, daemon=True).start()
    yield server.address[1]
    server.stop(2.0)


def _asked(port: int, seconds: float) -> float:
    """Return the p99, in ms, of small requests that come every 5 ms."""
    times, until = [], time.perf_counter() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        connection.request("GET", "/livez")
        connection.getresponse().read()
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.005)
    connection.close()
    return quantiles(times, n=100)[98]


def _storm(port: int) -> tuple[float, float]:
    """Return logins/s of many clients, and the p99 of other requests meanwhile."""
    done, stop = [0] * CLIENTS, threading.Event()

    def client(n: int) -> None:
        body = json.dumps({"username": f"user{n}", "password": PASSWORD})
        headers = {"Content-Type": "application/json"}
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/api/v1/auth/login", body, headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status == 200:
                done[n] += 1
            else:
                stop.wait(float(answer.getheader("Retry-After", "1")))

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    busy = _asked(port, SECONDS)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(done) / SECONDS, busy
