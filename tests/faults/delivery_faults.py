"""Faults of delivery: kills, flushes and deletions while deliveries are under way."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

from attrs import define, field
from sqlalchemy import NullPool, create_engine, func, select

from tests.faults.cluster import SECRET_KEY, Cluster
from tests.faults.faults import CASES, fault, kill_in_turn, open_application
from tests.faults.installation import SECRET, DeliveryClient
from tests.faults.ledger import Row
from tests.faults.private import wait_until
from workbell import webhooks
from workbell.adapters.sql.schema.delivery import deliveries, delivery_attempts, events
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.delivery.delivery import QUEUE, DeliveryState
from workbell.domain.delivery.destination import Destination
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.job import JobState
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.delivery.requests import NewEvent

__all__ = ["CASES"]

DESTINATIONS = 5
EVENTS = 200
"""Events of the first batch; with five destinations, these are 1,000 deliveries."""
PATIENCE = 180.0
DATA = b'{"n": %d, "text": "' + b"x" * 500 + b'"}'


@define(eq=False)
class Sink:
    """A receiver that counts verified deliveries by path and webhook id."""

    seconds: float = 0.03
    received: dict[str, Counter[str]] = field(factory=lambda: defaultdict(Counter))
    bodies: dict[str, set[bytes]] = field(factory=lambda: defaultdict(set))
    refused: int = 0
    _server: ThreadingHTTPServer = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the client was killed while it sent
                    return
                self.send_response(sink.receive(self.path, self.headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def receive(self, path: str, headers: Any, body: bytes) -> int:
        """Record a request after some time; return the status of the response."""
        time.sleep(self.seconds)
        try:
            key = webhooks.verify(SECRET, headers, body).id
        except webhooks.VerificationError:
            self.refused += 1
            return 400
        with self._lock:
            self.received[path][key] += 1
            self.bodies[key].add(body)
        return 200

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


@define(eq=False)
class DeliveryLedger:
    """Compares the published events with the rows and with what the sink received."""

    cluster: Cluster
    client: DeliveryClient
    sink: Sink
    destinations: Sequence[Destination] = ()
    published: list[str] = field(factory=list[str])

    def add_destinations(self, number: int = DESTINATIONS, **fields: Any) -> None:
        """Add destinations at paths of the sink."""
        self.destinations = [
            self.client.add_destination(self.sink.url(f"/{n}"), **fields) for n in range(number)
        ]

    def publish(self, number: int) -> None:
        """Publish events in batches of 50."""
        for start in range(0, number, 50):
            size = min(50, number - start)
            first = len(self.published)
            made = self.client.publish(*[DATA % (first + n) for n in range(size)])
            self.published += [each.event.key for each in made]

    @contextmanager
    def publishing(self, pause: float) -> Iterator[None]:
        """Publish an event after each pause, during the block."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(pause):
                self.publish(1)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def unfinished(self) -> int:
        """Return how many deliveries have not ended, and jobs of their queue."""
        with self._connect() as db:
            waiting = select(func.count()).where(
                deliveries.c.account_id == self.client.account.id,
                deliveries.c.state < int(DeliveryState.SUCCEEDED),
            )
            unended = select(func.count()).where(
                jobs.c.queue == QUEUE, jobs.c.state < int(JobState.SUCCEEDED)
            )
            return int(db.execute(waiting).scalar_one() + db.execute(unended).scalar_one())

    def drain(self) -> float:
        """Wait until all deliveries have ended; return the seconds waited."""
        return wait_until(lambda: not self.unfinished(), "deliveries to end", PATIENCE)

    def account(self, row: Row) -> Row:
        """
        Fill a row: lost deliveries, those recorded as sent twice, and repeats.

        A repeat is a request that a receiver recognises by its webhook id.
        """
        row.database = self.cluster.database.kind
        row.jobs = len(self.published) * len(self.destinations)
        states = Counter(self.client.states())
        row.lost += row.jobs - states[DeliveryState.SUCCEEDED]
        for n in range(len(self.destinations)):
            received = self.sink.received[f"/{n}"]
            row.lost += sum(key not in received for key in self.published)
            row.repeated += sum(received.values()) - len(received)
            row.expect(received.keys() <= set(self.published), "an unknown webhook id arrived")
        twice = (
            select(func.count())
            .select_from(delivery_attempts)
            .where(delivery_attempts.c.is_success)
            .group_by(delivery_attempts.c.delivery_id)
            .having(func.count() > 1)
        )
        with self._connect() as db:
            row.doubled += len(db.execute(twice).all())
        row.expect(not self.sink.refused, f"{self.sink.refused} requests did not verify")
        row.expect(
            all(len(bodies) == 1 for bodies in self.sink.bodies.values()), "a body has changed"
        )
        row.note = f"{row.repeated} requests were repeated, with the same webhook id"
        return row

    def check_whole(self, row: Row, acknowledged: Sequence[str]) -> None:
        """Check that each stored event has all deliveries, and each acknowledged one exists."""
        counts = (
            select(events.c.event_key, func.count(deliveries.c.id))
            .outerjoin(deliveries, deliveries.c.event_id == events.c.id)
            .where(events.c.account_id == self.client.account.id)
            .group_by(events.c.event_key)
        )
        with self._connect() as db:
            stored = dict(db.execute(counts).all())
        row.lost += sum(key not in stored for key in acknowledged)
        whole = {len(self.destinations)}
        row.expect(set(stored.values()) <= whole, "an event has a part of its deliveries")

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        engine = create_engine(
            self.cluster.database.url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            yield connection


@contextmanager
def accounted(cluster: Cluster, **sink: Any) -> Iterator[DeliveryLedger]:
    """Open an application beside the processes of an installation, with a new account."""
    application, receiver = open_application(cluster), Sink(**sink)
    name = f"sender-{time.monotonic_ns()}"
    try:
        yield DeliveryLedger(cluster, DeliveryClient.create(application, name), receiver)
    finally:
        receiver.close()
        application.close()


@fault("D1", by_name=True)
def workers_killed_during_deliveries(cluster: Cluster, kills: int) -> Row:
    """Kill workers while 1,000 and more deliveries are under way; flush Redis too."""
    flushed = "" if cluster.redis is None else ", Redis flushed each time"
    row = Row("D1", "SIGKILL of a worker during 1,000 deliveries", f"{kills} kills{flushed}")
    with accounted(cluster) as ledger:
        ledger.add_destinations(concurrency=2)
        ledger.publish(EVENTS)
        with ledger.publishing(pause=0.2):
            for part in islice(cycle(cluster.with_role("worker")), kills):
                if cluster.redis is not None:
                    cluster.redis.flush()
                kill_in_turn(cluster, [part], 1, 0.0, 0.3)
        row.drain = ledger.drain()
        cluster.settle()
        return ledger.account(row)


@fault("D2", by_name=True)
def deleted_while_queued(cluster: Cluster, kills: int) -> Row:
    """Delete destinations, and the data of events, while their deliveries wait."""
    row = Row("D2", "destination and event data deleted while deliveries wait", f"{kills} times")
    row.database = cluster.database.kind
    for _ in range(kills):
        with accounted(cluster, seconds=0.1) as ledger:
            ledger.add_destinations(2, concurrency=1)
            ledger.publish(50)
            wait_until(lambda: len(ledger.sink.received) == 2, "both to receive")
            deleted, other = ledger.destinations
            ledger.client.delete(deleted)
            if cluster.redis is not None:
                cluster.redis.flush()
            wait_until(
                lambda: DeliveryState.PENDING not in _states(ledger, deleted),  # noqa: B023
                "the deliveries to be cancelled",
            )
            ledger.client.purge_events()
            row.drain = max(row.drain, ledger.drain())
            row.jobs += 100
            states = _states(ledger, deleted)
            sent = sum(ledger.sink.received["/0"].values())
            row.expect(states.keys() <= {DeliveryState.SUCCEEDED, DeliveryState.CANCELLED}, "state")
            # one delivery was under way when the destination was deleted
            row.expect(sent <= states[DeliveryState.SUCCEEDED] + 1, f"{sent} were sent")
            rest = _states(ledger, other)
            row.expect(rest.keys() <= {DeliveryState.SUCCEEDED, DeliveryState.FAILED}, "purged")
            row.expect(rest[DeliveryState.FAILED] > 0, "no delivery waited for purged data")
            row.lost += 100 - states.total() - rest.total()
    return row


def _states(ledger: DeliveryLedger, destination: Destination) -> Counter[DeliveryState]:
    return Counter(ledger.client.states(destination_id=destination.id))


def publish_forever(url: str, folder: Path, username: str) -> None:
    """Publish events one by one; print each id before, and after it was acknowledged."""
    application = build(
        Settings(database_url=url, data_dir=folder, secret_key=SECRET_KEY, database_pool_size=2)
    )
    with application.store.view() as tx:
        user = tx.users.by_login(username)
        assert user is not None
        membership = tx.memberships.first_of(user.id)
        assert membership is not None
    print("ready", flush=True)
    for n in count(1):
        key = f"{application.ids.new()[:8]}-{n}"
        print("sent", key, flush=True)
        new = NewEvent(data=DATA % n, value=json.loads(DATA % n), event_id=key)
        application.delivery.publishing.publish(Actor.of(user), membership.account_id, [new])
        print("done", key, flush=True)


@fault("D3", by_name=True)
def publishers_killed(cluster: Cluster, kills: int) -> Row:
    """Kill a process in the middle of publishing: an event is whole, or not there."""
    row = Row("D3", "SIGKILL of a process that publishes", f"{kills} kills")
    row.database = cluster.database.kind
    chance = random.Random(3)
    with accounted(cluster, seconds=0.0) as ledger:
        ledger.add_destinations(10)
        arguments = (cluster.database.url, cluster.folder / "data", ledger.client.actor.username)
        command = [sys.executable, "-m", "tests.faults.delivery_faults", *map(str, arguments)]
        for _ in range(kills):
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                time.sleep(chance.uniform(0.02, 0.3))
                child.kill()
                lines = [line.split() for line in child.stdout.read().splitlines()]
            done = [key for word, *rest in lines for key in rest if word == "done"]
            tried = [key for word, *rest in lines for key in rest if word == "sent"]
            ledger.check_whole(row, done)
            again = [key for key in tried if key not in done]
            for key in again:  # the id does not block a second try
                n = int(key.partition("-")[2])
                (published,) = ledger.client.publish(DATA % n, event_id=key)
                row.expect(published.deliveries == 10, f"{key} has no deliveries")
            ledger.published += done + again
        row.jobs = len(ledger.published) * 10
        row.drain = ledger.drain()
        ledger.account(row)
        row.note = f"{len(ledger.published)} events"
        return row


if __name__ == "__main__":
    publish_forever(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
