"""An embedded installation with an account, whose receivers are real servers."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from workbell.adapters.dramatiq.runtime import Runtime
from workbell.domain.delivery.account import (
    TOKEN_PURPOSE,
    Account,
    AccountRole,
    Membership,
)
from workbell.domain.delivery.delivery import Delivery, DeliveryAttempt, DeliveryState
from workbell.domain.delivery.destination import SECRET_PURPOSE, Destination
from workbell.domain.delivery.signature import format_secret
from workbell.domain.errors import Conflict
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import User
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.ports.delivery.repository import DeliveryFilter
from workbell.services.delivery.jobs import cancel_job, release_job
from workbell.services.delivery.requests import NewEvent, PublishedEvent

SECRET = format_secret(b"k" * 32)
TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
PATIENCE = 20.0


@define(eq=False)
class DeliveryClient:
    """
    Accounts, destinations and events of an application, written by its services.

    `actor` is the Admin of `account`.
    """

    application: Application
    actor: Actor
    account: Account

    @classmethod
    def create(cls, application: Application, name: str = "sender") -> "DeliveryClient":
        """Add a user with an account; several applications may share one database."""
        now, box = application.clock.now(), application.delivery.secret_box
        with application.store.begin() as tx:
            user = tx.users.add(User(username=name, email=f"{name}@example.com", created_at=now))
            account = tx.accounts.add(
                Account(
                    name=name,
                    token=box.encrypt(TOKEN, TOKEN_PURPOSE),
                    token_index=box.index(f"{TOKEN}{name}", TOKEN_PURPOSE),
                    created_at=now,
                    updated_at=now,
                )
            )
            tx.memberships.add(
                Membership(
                    account_id=account.id,
                    user_id=user.id,
                    role=AccountRole.ADMIN,
                    created_at=now,
                    updated_at=now,
                )
            )
        return cls(application, Actor.of(user), account)

    def add_destination(self, url: str, **fields: Any) -> Destination:
        """Add a destination that retries after a second, twenty times."""
        now, box = self.application.clock.now(), self.application.delivery.secret_box
        values: dict[str, Any] = {
            "account_id": self.account.id,
            "url": url,
            "secret": box.encrypt(SECRET, SECRET_PURPOSE),
            "retry_delays": [1] * 20,
            "created_at": now,
            "updated_at": now,
        }
        with self.application.store.begin() as tx:
            return tx.destinations.add(Destination(**values | fields))

    def publish(self, *data: bytes, **fields: Any) -> Sequence[PublishedEvent]:
        """Publish events with this data."""
        events = [NewEvent(data=each, value=json.loads(each), **fields) for each in data]
        publishing = self.application.delivery.publishing
        return publishing.publish(self.actor, self.account.id, events)

    def enable(self, destination: Destination) -> None:
        """Enable a destination, with the job that releases what is parked."""
        now = self.application.clock.now()
        with self.application.store.begin() as tx:
            tx.destinations.replace(tx.destinations.get_for_update(destination.id).enable(now))
            tx.jobs.add([release_job(destination.id, now, now)], now)

    def delete(self, destination: Destination) -> None:
        """Delete a destination, with the job that cancels its deliveries."""
        now = self.application.clock.now()
        with self.application.store.begin() as tx:
            tx.destinations.replace(tx.destinations.get_for_update(destination.id).delete(now))
            tx.jobs.add([cancel_job(destination.id, now)], now)

    def retry(self, delivery: Delivery) -> None:
        """Retry a delivery, as a member does."""
        now = self.application.clock.now()
        with self.application.store.begin() as tx:
            destination = tx.destinations.get_for_update(delivery.destination_id)
            before = tx.deliveries.get_for_update(delivery.id)
            after = before.retry(now)
            if not tx.deliveries.replace(before, after):
                raise Conflict
            tx.jobs.add([after.job(destination, now)], now)

    def destination(self, destination: Destination) -> Destination:
        """Return the stored destination."""
        with self.application.store.begin() as tx:
            return tx.destinations.get_for_update(destination.id)

    def purge_events(self) -> int:
        """Delete the data of all events."""
        with self.application.store.begin() as tx:
            later = self.application.clock.now() + timedelta(days=1)
            return tx.events.purge(later, limit=1_000_000)

    def deliveries(self, **filters: Any) -> list[Delivery]:
        """Return the account's deliveries by id."""
        wanted = DeliveryFilter(account_id=self.account.id, **filters)
        with self.application.store.view() as tx:
            found, _ = tx.deliveries.list_page(wanted, limit=1_000_000)
        return sorted((each.delivery for each in found), key=lambda each: each.id)

    def states(self, **filters: Any) -> list[DeliveryState]:
        """Return the states of the account's deliveries by id."""
        return [each.state for each in self.deliveries(**filters)]

    def attempts(self, delivery: Delivery) -> list[DeliveryAttempt]:
        """Return the attempts of a delivery."""
        with self.application.store.view() as tx:
            return list(tx.deliveries.attempts(delivery.id))


@define(eq=False)
class Installation:
    """One process on SQLite with four worker threads; it can be restarted."""

    folder: Path
    settings: dict[str, Any] = Factory(dict[str, Any])
    client: DeliveryClient = field(init=False)
    runtime: Runtime = field(init=False)
    _is_new: bool = True

    def start(self) -> None:
        """Build the application and start its worker."""
        application = build(Settings(data_dir=self.folder, **self.settings))
        application.migrate_and_register()
        if self._is_new:
            self.client, self._is_new = DeliveryClient.create(application), False
        self.client.application = application
        self.runtime = application.runtime(threads=4)
        self.runtime.start()

    def stop(self) -> None:
        """Stop the worker and close the application."""
        self.runtime.stop(5.0)
        self.client.application.close()

    def restart(self) -> None:
        """Stop and start the process."""
        self.stop()
        self.start()


def wait_for(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition does not hold in time"
        time.sleep(0.01)
