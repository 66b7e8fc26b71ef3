"""Fixture for tests of accounts, members and destinations."""

from collections.abc import Callable
from typing import Any

from attrs import define, field

from tests.services.accounts import AccountFixture, make_accounts
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.system import SystemRandomness
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.delivery import SendResult
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.jobs.job import Job
from workbell.ports.jobs.views import JobFilter
from workbell.ports.webhook_client import OutgoingRequest
from workbell.services.delivery.accounts import AccountService, AccountView
from workbell.services.delivery.destinations import DestinationService, DestinationView
from workbell.services.delivery.members import MemberService
from workbell.services.delivery.requests import NewAccount, NewDestination, NewMember
from workbell.services.delivery.secrets import DeliverySecrets
from workbell.services.delivery.users import AccountUserService

URL = "https://example.com/hook"


@define
class RecordingWebhookClient:
    """A client that records the URLs that it checks and refuses `localhost`."""

    checked: list[str] = field(factory=list[str])
    during_check: list[Callable[[], object]] = field(factory=list[Callable[[], object]])

    def check_url(self, url: str) -> None:
        self.checked.append(url)
        while self.during_check:
            self.during_check.pop()()
        if "localhost" in url:
            raise Invalid.field("url", "must not be localhost or a name below it")

    def send(self, request: OutgoingRequest) -> SendResult:
        return SendResult(status_code=200)


@define
class DeliveryAccountFixture:
    """Users of one memory store, with the services of accounts and destinations."""

    people: AccountFixture
    client: RecordingWebhookClient
    accounts: AccountService
    members: MemberService
    destinations: DestinationService
    users: AccountUserService
    actors: dict[str, Actor] = field(factory=dict[str, Actor])

    def actor(self, name: str, **fields: Any) -> Actor:
        """Return the actor of a user; add the user first if necessary."""
        if name not in self.actors:
            self.actors[name] = Actor.of(self.people.join(name, **fields))
        return self.actors[name]

    def account(self, admin: str = "ana", *normal: str) -> AccountView:
        """Create an account with an Admin and Normal users."""
        view = self.accounts.create(self.actor(admin), NewAccount(name="Shop"))
        for name in normal:
            self.add(admin, view.account, name)
        return view

    def add(self, admin: str, account: Account, name: str, role: Any = "Normal user") -> None:
        """Add a user to an account."""
        new = NewMember(user=self.actor(name).user_id, role=role)
        self.members.add(self.actor(admin), account.id, new)

    def destination(self, account: Account, admin: str = "ana", **fields: Any) -> DestinationView:
        """Create a destination."""
        new = NewDestination(**{"url": URL, **fields})
        return self.destinations.create(self.actor(admin), account.id, new)

    def stored(self, destination_id: DestinationId) -> Destination:
        """Return the row of a destination, also of a deleted one."""
        with self.people.store.view() as tx:
            return tx.destinations.get_for_update(destination_id)

    def replace(self, destination: Destination) -> None:
        """Store a destination."""
        with self.people.store.begin() as tx:
            tx.destinations.replace(destination)

    def jobs(self, task: str) -> list[Job]:
        """Return the jobs of a task, oldest first."""
        with self.people.store.view() as tx:
            return list(tx.jobs.find(ALL_OWNERS, JobFilter(task=task), ordering=["id"], limit=1000))

    def audit(self, model: str) -> list[AuditEntry]:
        """Return the audit entries of a model, oldest first."""
        return [entry for entry in self.people.audit() if entry.model_name == model]


def make_delivery_accounts(store: Any = None, **more: Any) -> DeliveryAccountFixture:
    """Return a fixture without users; `store` wraps the services' store."""
    people = make_accounts(**more)
    used = people.store if store is None else store(people.store)
    clock, client = people.clock, RecordingWebhookClient()
    secrets = DeliverySecrets(
        randomness=SystemRandomness(), box=SodiumSecretBox.create([b"k" * 32])
    )
    accounts = AccountService(store=used, clock=clock, secrets=secrets)
    users = people.services.users
    return DeliveryAccountFixture(
        people=people,
        client=client,
        accounts=accounts,
        members=MemberService(store=used, clock=clock, people=users),
        destinations=DestinationService(
            store=used,
            clock=clock,
            secrets=secrets,
            client=client,
            serializer=JsonSerializer("is not a known field"),
        ),
        users=AccountUserService(
            store=used, registration=people.identity, accounts=accounts, people=users
        ),
    )
