"""Delivery benchmark: ingest, throughput, isolation and signing."""

import gc
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import evolve, field, frozen
from urllib3 import HTTPConnectionPool

from workbell.domain.delivery.account import TOKEN_PURPOSE, Account, AccountRole, Membership
from workbell.domain.delivery.delivery import DeliveryId
from workbell.domain.delivery.destination import SECRET_PURPOSE, Destination
from workbell.domain.delivery.signature import format_secret, signature_headers
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.registration import Registration
from workbell.entrypoints.bench.http import PASSWORD, serving
from workbell.entrypoints.bench.rows import FigureRows, Row
from workbell.entrypoints.bench.sink import HANG_PATH, SLOW_PATH, SinkClient, sink_process
from workbell.entrypoints.bench.targets import Target, open_application
from workbell.entrypoints.bench.workers import (
    Measurement,
    is_finished,
    other_process,
    percentiles,
    run_threads,
    running,
    wait_until,
)
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import API_THREADS
from workbell.entrypoints.config.enums import LogFormat
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.processes.all_in_one import SWITCH_SECONDS
from workbell.services.delivery.requests import NewEvent

DESTINATIONS = 10
USERNAME = "sender"
PAYLOAD_BYTES = 2_000
KEY = b"k" * 32
WORKER_THREADS = (8, 32)
ROUNDS = 2
"""Alternate measurements of urllib3 and of deliveries."""
EVENTS_PER_SECOND = 10
HANG_SECONDS = 30
SIGNATURES = 20_000
POLL_SECONDS = 0.05


def measure(target: Target, events: int, deliveries: int, seconds: int) -> list[Row]:
    """
    Run the benchmark; return its rows.

    `events` are published one after another, `deliveries` sent from a backlog;
    each measurement of latencies lasts for `seconds`.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    figures = FigureRows(digits=3)
    figures.add("signing 2 KB", _sign(), "us")
    with tempfile.TemporaryDirectory() as folder, sink_process() as sink:
        configure(Settings(log_format=LogFormat.JSON, log_file=Path(folder) / "log"))
        bench = _Bench(target, sink)
        figures.add("building a signed request, 1 secret", bench.build(), "us")
        figures.add_latency("acknowledgement, 10 destinations", *bench.acknowledge(events))
        loaded = bench.acknowledge_while_delivering(seconds)
        figures.add_latency("the same, 10 events/s and their deliveries", *loaded)
        over_http = bench.acknowledge_over_http(seconds)
        figures.add_latency("the same over HTTP", *over_http)
        _compare_rates(bench, figures, deliveries, "")
        _compare_rates(bench, figures, deliveries // 4, SLOW_PATH)
        alone = bench.latency(seconds, hanging=False)
        beside = bench.latency(seconds, hanging=True)
        figures.add("latency of 9 destinations, p95", alone, "ms")
        figures.add("the same beside one that hangs for 30 s, p95", beside, "ms")
        figures.add("ratio of the two", beside / alone, "x")
    return figures.rows


def _compare_rates(bench: "_Bench", figures: FigureRows, deliveries: int, path: str) -> None:
    """Compare a worker process with urllib3 alone in as many threads, which stores nothing."""
    receiver = "a receiver that takes 5 ms" if path else "an instant receiver"
    for threads in WORKER_THREADS:
        bare, delivering = Measurement(), Measurement()
        for _ in range(ROUNDS):
            bare += bench.bare(deliveries, threads, path)
            delivering += bench.deliver(deliveries // ROUNDS, threads, path)
        by = f"to {receiver}, {threads} threads"
        figures.add(f"urllib3 alone {by}", bare.per_second, "requests/s")
        figures.add("processor time of a request", bare.cpu_us, "us")
        figures.add(f"deliveries {by}", delivering.per_second, "deliveries/s")
        figures.add("processor time of a delivery", delivering.cpu_us, "us")
        figures.add("ratio of the two rates", delivering.per_second / bare.per_second, "x")


def _sign() -> float:
    """Return the microseconds of one signature."""
    payload = _payload(0)
    started = time.perf_counter()
    for n in range(SIGNATURES):
        signature_headers([KEY], "evt_0123456789abcdef", n, payload)
    return (time.perf_counter() - started) / SIGNATURES * 1e6


@frozen
class _Bench:
    """Measurements, each on a new store."""

    target: Target
    sink: SinkClient

    def build(self) -> float:
        """Return the microseconds of building a request, with the decryption of its secret."""
        with self._sender(1) as sender:
            sender.publish()
            with sender.application.store.view() as tx:
                dispatch = tx.deliveries.load(DeliveryId(1))
            assert dispatch is not None
            requests = sender.application.delivery.tasks.sending.requests
            now, rounds = sender.application.clock.now(), SIGNATURES // 10
            started = time.perf_counter()
            for _ in range(rounds):
                requests.make(dispatch, now)
            return (time.perf_counter() - started) / rounds * 1e6

    def acknowledge(self, events: int) -> tuple[float, float]:
        """Return p50 and p99 in ms of publishing, one event after another."""
        with self._sender(DESTINATIONS) as sender:
            return percentiles([sender.publish() for _ in range(events)])

    def acknowledge_while_delivering(self, seconds: int) -> tuple[float, float]:
        """Return p50 and p99 in ms of publishing while this process delivers."""
        with self._sender(DESTINATIONS) as sender, running(sender.application):
            times = _at_rate(seconds, sender.publish)
            sender.wait_until_sent()
        return percentiles(times)

    def acknowledge_over_http(self, seconds: int) -> tuple[float, float]:
        """Return p50 and p99 in ms of `POST /events` while this process delivers."""
        with self._sender(DESTINATIONS, rate_limit_ingest=None) as sender:
            application = sender.application
            token = application.login.login(USERNAME, PASSWORD, ClientInfo()).access
            dependencies = application.app_dependencies()
            with (
                running(application),
                serving(application, dependencies, API_THREADS) as port,
                other_process() as client,
            ):
                client.submit(_post_events, port, token, sender.account.id, 1).result()
                times = client.submit(_post_events, port, token, sender.account.id, seconds)
                cuts = percentiles(times.result())
                sender.wait_until_sent()
        return cuts

    def bare(self, requests: int, threads: int, path: str) -> Measurement:
        """Measure urllib3, on as many connections as threads."""
        body, each = _payload(0), requests // threads
        headers = {"Content-Type": "application/json", "webhook-id": "bare"}
        with HTTPConnectionPool("127.0.0.1", self.sink.port, maxsize=threads) as pool:

            def send(_: int) -> None:
                for _ in range(each):
                    assert pool.urlopen("POST", f"{path}/bare", body, headers).status == 200

            cpu = time.process_time()
            elapsed = run_threads(threads, send)
            cpu = time.process_time() - cpu
        self.sink.arrivals()
        return Measurement(each * threads, elapsed, cpu)

    def deliver(self, deliveries: int, threads: int, path: str) -> Measurement:
        """Measure one process that works off a backlog."""
        with self._sender(DESTINATIONS, path, worker_threads=threads) as sender:
            for _ in range(max(1, deliveries // DESTINATIONS // 100)):
                sender.publish(100)
            started, cpu = time.perf_counter(), time.process_time()
            with running(sender.application):
                sender.wait_until_sent()
                elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
            return Measurement(sender.published * DESTINATIONS, elapsed, cpu)

    def latency(self, seconds: int, *, hanging: bool) -> float:
        """Return the p95 in ms from publishing to arrival at the nine healthy destinations."""
        self.sink.arrivals()
        with self._sender(DESTINATIONS - 1) as sender:
            if hanging:
                sender.add_destination(self.sink.url(HANG_PATH), timeout_seconds=HANG_SECONDS)
            called: dict[str, float] = {}

            def publish() -> None:
                key, now = uuid4().hex, time.monotonic()
                sender.publish(event_id=key)
                called[key] = now

            with running(sender.application):
                _at_rate(seconds, publish)
                expected = len(called) * (DESTINATIONS - 1)
                arrived: list[tuple[str, float]] = []
                wait_until(lambda: _extend(arrived, self.sink.arrivals()) >= expected, 60)
        _, p95 = percentiles([(at - called[key]) * 1_000 for key, at in arrived], 95)
        return p95

    @contextmanager
    def _sender(self, destinations: int, path: str = "", **fields: Any) -> Generator["_Sender"]:
        with self.target.settings() as plain:
            settings = evolve(plain, allow_private_destinations=True, **fields)
            with open_application(settings) as application:
                sender = _Sender.create(application)
                for n in range(destinations):
                    sender.add_destination(self.sink.url(f"{path}/{n}"))
                gc.freeze()
                yield sender


@frozen
class _Sender:
    """An account with an Admin that publishes."""

    application: Application
    actor: Actor
    account: Account
    _numbers: "count[int]" = field(factory=count)
    _times: list[float] = field(factory=list[float])

    @classmethod
    def create(cls, application: Application) -> "_Sender":
        """Add a user and an account."""
        now, box = application.clock.now(), application.delivery.secret_box
        times: dict[str, Any] = {"created_at": now, "updated_at": now}
        token = str(uuid4())
        user = application.identity.register(
            Registration(username=USERNAME, email="sender@example.org", password=PASSWORD)
        )
        with application.store.begin() as tx:
            account = tx.accounts.add(
                Account(
                    name="Bench",
                    token=box.encrypt(token, TOKEN_PURPOSE),
                    token_index=box.index(token, TOKEN_PURPOSE),
                    **times,
                )
            )
            tx.memberships.add(
                Membership(account_id=account.id, user_id=user.id, role=AccountRole.ADMIN, **times)
            )
        return cls(application, Actor.of(user), account)

    @property
    def published(self) -> int:
        """The number of published events."""
        return len(self._times)

    def add_destination(self, url: str, **fields: Any) -> None:
        """Add a destination."""
        now = self.application.clock.now()
        secret = self.application.delivery.secret_box.encrypt(format_secret(KEY), SECRET_PURPOSE)
        with self.application.store.begin() as tx:
            tx.destinations.add(
                Destination(
                    account_id=self.account.id,
                    url=url,
                    secret=secret,
                    created_at=now,
                    updated_at=now,
                    **fields,
                )
            )

    def publish(self, size: int = 1, **fields: Any) -> float:
        """Publish events in one transaction; return the ms that it took."""
        events = [_new_event(next(self._numbers), **fields) for _ in range(size)]
        started = time.perf_counter()
        self.application.delivery.publishing.publish(self.actor, self.account.id, events)
        elapsed = (time.perf_counter() - started) * 1_000
        self._times.extend([elapsed] * size)
        return elapsed

    def wait_until_sent(self) -> None:
        """Wait until all deliveries have been recorded as sent."""
        while not is_finished(self.application):
            time.sleep(POLL_SECONDS)


def _payload(number: int) -> bytes:
    data = {"n": number, "text": ""}
    data["text"] = "x" * (PAYLOAD_BYTES - len(json.dumps(data)))
    return json.dumps(data).encode()


def _new_event(number: int, **fields: Any) -> NewEvent:
    data = _payload(number)
    return NewEvent(data=data, value=json.loads(data), event_type="bench.event", **fields)


def _post_events(port: int, token: str, account_id: int, seconds: int) -> list[float]:
    """Post events at the rate on one connection; return how many ms each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    numbers = count()

    def post() -> float:
        data = _payload(next(numbers)).decode()
        body = f'{{"account": {account_id}, "event_type": "bench.event", "data": {data}}}'
        started = time.perf_counter()
        connection.request("POST", "/api/v1/events", body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status // 100 == 2, response.status
        return (time.perf_counter() - started) * 1_000

    times = _at_rate(seconds, post)
    connection.close()
    return times


def _at_rate(seconds: int, call: Callable[[], Any]) -> list[Any]:
    """Call a function ten times a second; return the results."""
    results: list[Any] = []
    started = time.monotonic()
    for n in range(seconds * EVENTS_PER_SECOND):
        time.sleep(max(0.0, started + n / EVENTS_PER_SECOND - time.monotonic()))
        results.append(call())
    return results


def _extend(arrived: list[tuple[str, float]], more: Sequence[tuple[str, float]]) -> int:
    arrived.extend(more)
    return len(arrived)
