"""Fixture: accounts and destinations, a manual clock and receivers that answer."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, define, evolve, frozen

from tests.domain.delivery.factories import OK
from tests.services.engine import CountingIds, EngineFixture, RecordingContext, make_engine
from workbell.adapters.builtin_tasks.delivery_tasks import DeliveryTasks
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.domain.delivery.account import (
    TOKEN_PURPOSE,
    Account,
    AccountRole,
    Membership,
)
from workbell.domain.delivery.delivery import (
    QUEUE,
    Delivery,
    DeliveryAttempt,
    DeliveryId,
    DeliveryState,
    SendResult,
)
from workbell.domain.delivery.destination import (
    HEADER_PURPOSE,
    SECRET_PURPOSE,
    Destination,
)
from workbell.domain.delivery.event import Event
from workbell.domain.delivery.signature import format_secret
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.job import Job
from workbell.ports.delivery.repository import DeliveryFilter
from workbell.ports.webhook_client import OutgoingRequest
from workbell.services.delivery.cancellation import DeliveryCancellation
from workbell.services.delivery.job_outcomes import DeliveryOutcomes, closing_job
from workbell.services.delivery.jobs import release_job
from workbell.services.delivery.outgoing import OutgoingRequests
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.recording import AttemptRecorder
from workbell.services.delivery.release import ParkedDeliveries
from workbell.services.delivery.replay import ReplayService
from workbell.services.delivery.requests import NewEvent, PublishedEvent
from workbell.services.delivery.send import SendService

KEY, OLD_KEY = b"k" * 32, b"o" * 32
TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
Receiver = Callable[[OutgoingRequest], SendResult]


@define(eq=False)
class FakeClient:
    """A client whose results are those of a function per URL."""

    receivers: dict[str, Receiver] = Factory(dict[str, Receiver])
    requests: list[OutgoingRequest] = Factory(list[OutgoingRequest])

    def check_url(self, url: str) -> None:
        """Accept every URL."""

    def send(self, request: OutgoingRequest) -> SendResult:
        """Record a request and return its receiver's result; OK without a receiver."""
        self.requests.append(request)
        receiver = self.receivers.get(request.url)
        return OK if receiver is None else receiver(request)


@frozen(kw_only=True)
class DeliveryFixture:
    """The engine, and all services that publish and send, over one memory store."""

    engine: EngineFixture
    client: FakeClient
    box: SodiumSecretBox
    publishing: PublishService
    sending: SendService
    parked: ParkedDeliveries
    replays: ReplayService
    cancellation: DeliveryCancellation

    # accounts, destinations and events

    def add_account(self, *members: Actor, **fields: Any) -> Account:
        """Add an account; the first member is its Admin, the others are normal users."""
        now = self.engine.clock.now()
        token = fields.pop("app_token", TOKEN)
        values: dict[str, Any] = {
            "name": "Shop",
            "token": self.box.encrypt(token, TOKEN_PURPOSE),
            "token_index": self.box.index(token, TOKEN_PURPOSE),
            "created_at": now,
            "updated_at": now,
        }
        with self.engine.store.begin() as tx:
            account = tx.accounts.add(Account(**values | fields))
            for n, member in enumerate(members):
                role = AccountRole.NORMAL if n else AccountRole.ADMIN
                tx.memberships.add(
                    Membership(
                        account_id=account.id,
                        user_id=member.user_id,
                        role=role,
                        created_at=now,
                        updated_at=now,
                    )
                )
        return account

    def add_destination(
        self,
        account: Account,
        url: str = "https://example.com/hook",
        *,
        plain_headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Destination:
        """Add a destination whose secret is `KEY`."""
        now = self.engine.clock.now()
        values: dict[str, Any] = {
            "account_id": account.id,
            "url": url,
            "secret": self.box.encrypt(format_secret(KEY), SECRET_PURPOSE),
            "headers": {
                name: self.box.encrypt(value, HEADER_PURPOSE)
                for name, value in (plain_headers or {}).items()
            },
            "created_at": now,
            "updated_at": now,
        }
        with self.engine.store.begin() as tx:
            return tx.destinations.add(Destination(**values | fields))

    def publish(
        self, actor: Actor, account: Account, *values: Any, **fields: Any
    ) -> list[PublishedEvent]:
        """Publish events with these values, by default one."""
        events = [new_event(value, **fields) for value in values or ({"total": 5},)]
        return list(self.publishing.publish(actor, account.id, events))

    def answer(self, result: SendResult, url: str = "https://example.com/hook") -> None:
        """Set the result of all requests to a URL."""
        self.client.receivers[url] = lambda _: result

    def answer_in_turn(self, *results: SendResult, url: str = "https://example.com/hook") -> None:
        """Set the results of the next requests to a URL."""
        turns: Iterator[SendResult] = iter(results)
        self.client.receivers[url] = lambda _: next(turns)

    def fail_times(self, times: int, result: SendResult, url: str) -> None:
        """Let the next requests to a URL fail, and later ones succeed."""
        left = [result] * times
        self.client.receivers[url] = lambda _: left.pop() if left else OK

    # the worker

    def claim(self) -> Sequence[Claim]:
        """Stage due jobs, and claim all jobs of deliveries that are ready."""
        with self.engine.store.begin() as tx:
            tx.jobs.stage(self.engine.clock.now())
        return self.engine.claim(QUEUE)

    def work(self, seconds: float = 0, **spans: float) -> int:
        """Advance the clock, and run all jobs that are due; return how many ran."""
        self.engine.advance(seconds, **spans)
        ran = 0
        while claims := self.claim():
            for claim in claims:
                self.engine.run(claim)
            ran += len(claims)
        return ran

    # the stored rows

    def deliveries(self, **filters: Any) -> list[Delivery]:
        """Return deliveries by id."""
        with self.engine.store.view() as tx:
            found, _ = tx.deliveries.list_page(DeliveryFilter(**filters), limit=10_000)
        return sorted((each.delivery for each in found), key=lambda each: each.id)

    def states(self, **filters: Any) -> list[DeliveryState]:
        """Return the states of deliveries by id."""
        return [each.state for each in self.deliveries(**filters)]

    def attempts(self, delivery_id: int = 1) -> list[DeliveryAttempt]:
        """Return the attempts of a delivery."""
        with self.engine.store.view() as tx:
            return list(tx.deliveries.attempts(DeliveryId(delivery_id)))

    def destination(self, destination: Destination) -> Destination:
        """Return the stored destination, also a deleted one."""
        with self.engine.store.begin() as tx:
            return tx.destinations.get_for_update(destination.id)

    def destinations(self, account: Account) -> list[Destination]:
        """Return the destinations of an account."""
        with self.engine.store.view() as tx:
            return list(tx.destinations.all_of(account.id))

    def change(self, destination: Destination, **fields: Any) -> Destination:
        """Change a stored destination."""
        with self.engine.store.begin() as tx:
            changed = evolve(tx.destinations.get_for_update(destination.id), **fields)
            tx.destinations.replace(changed)
        return changed

    def enable(self, destination: Destination) -> None:
        """Enable a destination, with the job that releases what is parked."""
        now = self.engine.clock.now()
        with self.engine.store.begin() as tx:
            tx.destinations.replace(tx.destinations.get_for_update(destination.id).enable(now))
            tx.jobs.add([release_job(destination.id, now, now)], now)

    def events(self, account: Account) -> list[Event]:
        """Return the events of an account, oldest first."""
        with self.engine.store.view() as tx:
            found, _ = tx.events.list_page(account.id, limit=10_000)
        return list(reversed(found))

    def jobs(self, task: str) -> list[Job]:
        """Return the jobs of a task, oldest first."""
        return [job for job in self.engine.list_jobs() if job.task == task]

    def unfinished_jobs(self) -> list[Job]:
        """Return the jobs that have not ended."""
        return [job for job in self.engine.list_jobs() if not job.state.ended]

    def settlement_of(self, claim: Claim) -> Settlement:
        """Run a claimed job, and return its outcome, which is not committed."""
        settlement = self.engine.execution.run(claim, RecordingContext(claim, self.engine.clock))
        assert settlement is not None
        return settlement

    def run_once(self, task: str) -> Job:
        """Run the first due job of a task, and return it; others are not started."""
        claims = self.claim()
        claim = next(each for each in claims if each.task == task)
        self.engine.execution.release([each for each in claims if each is not claim])
        self.engine.run(claim)
        return self.engine.reload_job(claim)


def new_event(value: Any = None, **fields: Any) -> NewEvent:
    """Return a request for an event with a JSON value."""
    value = {"total": 5} if value is None else value
    return NewEvent(**{"data": json.dumps(value).encode(), "value": value} | fields)


def make_delivery(folder: Path) -> DeliveryFixture:
    """Return a fixture at noon with an empty store."""
    engine = make_engine(folder)
    store, clock = engine.store, engine.clock
    client, box = FakeClient(), SodiumSecretBox.create([b"s" * 32])
    ids = CountingIds()
    recorder = AttemptRecorder(store=store, clock=clock, randomness=engine.randomness, ids=ids)
    fixture = DeliveryFixture(
        engine=evolve(
            engine,
            execution=evolve(
                engine.execution,
                on_settled=[
                    *engine.execution.on_settled,
                    DeliveryOutcomes(clock=clock, recorder=recorder),
                ],
            ),
            jobs=evolve(engine.jobs, follow_up=closing_job),
        ),
        client=client,
        box=box,
        publishing=PublishService(store=store, clock=clock, ids=ids, secret_box=box),
        sending=SendService(
            store=store,
            clock=clock,
            client=client,
            requests=OutgoingRequests(secret_box=box),
            recorder=recorder,
        ),
        parked=ParkedDeliveries(store=store, clock=clock),
        replays=ReplayService(store=store, clock=clock),
        cancellation=DeliveryCancellation(store=store, clock=clock),
    )
    tasks = DeliveryTasks(
        sending=fixture.sending,
        parked=fixture.parked,
        replays=fixture.replays,
        cancellation=fixture.cancellation,
    )
    for task in tasks.tasks():
        engine.tasks.add(task)
    engine.definitions.synchronise()
    return fixture
