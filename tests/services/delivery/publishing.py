"""Fixture: an account with an Admin and a normal user, destinations and events."""

from typing import Any

from attrs import Factory, define, evolve

from tests.contract.factories import NOON, ManualClock, a_user
from tests.services.engine import CountingIds
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.delivery.account import (
    TOKEN_PURPOSE,
    Account,
    AccountId,
    AccountRole,
    Membership,
)
from workbell.domain.delivery.delivery import Delivery, DeliveryId, DeliveryState
from workbell.domain.delivery.destination import SECRET_PURPOSE, Destination
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.job import Job
from workbell.services.delivery.ingest import IngestService, SubmittedEvent
from workbell.services.delivery.log import DeliveryLog
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.requests import PublishedEvent

TEXT = r'{ "f" : 1.0,"s":"\/é\u00e9" }'.encode()
VALUE = {"f": 1.0, "s": "/\u00e9\u00e9"}


@define
class PublishFixture:
    """The services that publish and list events, over one memory store."""

    clock: ManualClock = Factory(ManualClock)
    box: SodiumSecretBox = Factory(lambda: SodiumSecretBox.create([b"k" * 32]))
    store: MemoryStore = Factory(lambda self: MemoryStore(self.clock), takes_self=True)
    publishing: PublishService = Factory(
        lambda self: PublishService(
            store=self.store, clock=self.clock, ids=CountingIds(), secret_box=self.box
        ),
        takes_self=True,
    )
    ingest: IngestService = Factory(
        lambda self: IngestService(publishing=self.publishing), takes_self=True
    )
    log: DeliveryLog = Factory(
        lambda self: DeliveryLog(store=self.store, clock=self.clock), takes_self=True
    )

    def add_user(self, name: str, **fields: Any) -> Actor:
        with self.store.begin() as tx:
            return Actor.of(tx.users.add(a_user(name, **fields)))

    def add_account(self, *members: Actor) -> AccountId:
        """Add an account; the first member is its Admin, the others are normal users."""
        with self.store.view() as tx:
            token = token_of(len(tx.tables.accounts) + 1)
        account = Account(
            name="Mine", token=self.box.encrypt(token, TOKEN_PURPOSE),
            token_index=self.box.index(token, TOKEN_PURPOSE), created_at=NOON, updated_at=NOON,
        )  # fmt: skip
        with self.store.begin() as tx:
            account_id = tx.accounts.add(account).id
            for n, member in enumerate(members):
                role = AccountRole.NORMAL if n else AccountRole.ADMIN
                tx.memberships.add(
                    Membership(
                        account_id=account_id,
                        user_id=member.user_id,
                        role=role,
                        created_at=NOON,
                        updated_at=NOON,
                    )
                )
        return account_id

    def add_destination(self, account_id: AccountId, **fields: Any) -> Destination:
        destination = Destination(
            account_id=account_id, url="https://example.com/hook",
            secret=self.box.encrypt("whsec_", SECRET_PURPOSE), created_at=NOON, updated_at=NOON,
        )  # fmt: skip
        with self.store.begin() as tx:
            return tx.destinations.add(evolve(destination, **fields))

    def submit(self, actor: Actor, account_id: int, **fields: Any) -> PublishedEvent:
        return self.ingest.submit(actor, event(account_id, **fields), TEXT)

    def deliveries(self) -> list[Delivery]:
        with self.store.view() as tx:
            return list(tx.tables.deliveries)

    def delivery(self, delivery_id: DeliveryId) -> Delivery:
        with self.store.view() as tx:
            return tx.deliveries.get_for_update(delivery_id)

    def put(self, delivery: Delivery, state: DeliveryState, **fields: Any) -> Delivery:
        """Store a delivery in another state, as if it had been attempted."""
        changed = evolve(delivery, state=state, turn=delivery.turn + 1, **fields)
        with self.store.begin() as tx:
            tx.deliveries.replace_many([changed])
        return changed

    def jobs(self) -> list[Job]:
        with self.store.view() as tx:
            return list(tx.tables.jobs)


def token_of(account_id: int) -> str:
    """Return the token of the account with this id."""
    return f"00000000-0000-4000-8000-{account_id:012}"


def event(account_id: int, **fields: Any) -> SubmittedEvent:
    return SubmittedEvent(
        **{"account": account_id, "event_type": "order.paid", "data": VALUE, **fields}
    )
