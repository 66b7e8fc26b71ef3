"""Use cases of destinations: create, change, enable and delete them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from workbell.domain.audit.entry import changed_since
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.destination import (
    MAX_DESTINATIONS,
    Destination,
    DestinationId,
    check_destination_limit,
    check_headers,
)
from workbell.domain.delivery.event import check_type_patterns
from workbell.domain.delivery.retry_policy import check_retry_delays
from workbell.domain.errors import Invalid, StaleVersion
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, Relation, check, may
from workbell.domain.validation import check_request
from workbell.ports.delivery.repository import DeliveryTx, DestinationStatistics
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.ports.webhook_client import WebhookClient
from workbell.services.audit.entries import audit_command, changed_values
from workbell.services.delivery.access import get_account, get_destination, get_relations_to
from workbell.services.delivery.jobs import cancel_job, release_job
from workbell.services.delivery.requests import COPIED_FIELDS, NewDestination
from workbell.services.delivery.secrets import DeliverySecrets, check_masks, masked_names
from workbell.services.transaction_retry import retry_on_contention

STATISTICS_PERIOD: Final = timedelta(days=1)


@frozen(kw_only=True)
class DestinationView:
    """A destination, with its secret if the actor is an Admin of its account."""

    destination: Destination
    secret: str | None = field(repr=False)


@frozen(kw_only=True)
class DestinationService:
    """
    Creates, lists, changes, enables and deletes destinations.

    Methods that take an id raise `NotFound` unless the actor may see the
    account, and `NotAllowed` if they may only see it. `version` is the version
    that the actor has seen (None: any); they raise `StaleVersion` if the
    destination has another. URLs are checked outside of transactions.
    """

    store: Store[DeliveryTx]
    clock: Clock
    secrets: DeliverySecrets
    client: WebhookClient
    serializer: Serializer

    def create(self, actor: Actor, account_id: AccountId, new: NewDestination) -> DestinationView:
        """
        Create a destination with a new secret.

        Raises:
            Invalid: A field is wrong, or the URL leads to a private address.
            LimitReached: The account has 100 destinations.
        """
        with self.store.view() as tx:
            get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT)
        check_request(new)
        check_fields(new, {})
        self.client.check_url(new.url)
        return self._add(actor, account_id, new)

    def list(
        self, actor: Actor, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[DestinationView], int]:
        """Return a page of an account's destinations, and their number."""
        with self.store.view() as tx:
            get_account(tx, actor, account_id, Action.READ_ACCOUNT)
            relations = get_relations_to(tx, actor, account_id)
            found, total = tx.destinations.list_page(account_id, offset=offset, limit=limit)
        return [self._view(actor, destination, relations) for destination in found], total

    def get(self, actor: Actor, destination_id: DestinationId) -> DestinationView:
        """Return a destination."""
        destination, relations = self._read(actor, destination_id, Action.READ_ACCOUNT)
        return self._view(actor, destination, relations)

    def check_access(self, actor: Actor, destination_id: DestinationId, action: Action) -> None:
        """Raise NotFound or NotAllowed unless the actor may perform the action."""
        self._read(actor, destination_id, action)

    def statistics(
        self, actor: Actor, destination_id: DestinationId
    ) -> tuple[Destination, DestinationStatistics]:
        """Return a destination and its figures over the last 24 hours."""
        since = self.clock.now() - STATISTICS_PERIOD
        with self.store.view() as tx:
            destination = get_destination(tx, actor, destination_id, Action.READ_DELIVERIES)
            return destination, tx.destinations.statistics(destination_id, since)

    def change(
        self,
        actor: Actor,
        destination_id: DestinationId,
        updates: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> DestinationView:
        """
        Change the given fields; `is_active` pauses and resumes.

        A masked header value leaves the stored one. Only Admins resume a
        destination that Workbell has disabled, or leave header values while they
        change the host of the URL: a member who may not see the values must not
        send them to another host either.

        Raises:
            Invalid: A field is wrong, or the URL leads to a private address.
        """
        before, relations = self._read(actor, destination_id, Action.CHANGE_DESTINATIONS)
        current = self.serializer.unstructure(NewDestination.of(before))
        new = self.serializer.structure({**current, **updates}, NewDestination)
        check_fields(new, before.headers)
        if before.disabled_reason is not None and new.is_active:
            check(actor, Action.CHANGE_ACCOUNT, also=relations)
        if new.url != before.url:
            self.client.check_url(new.url)
        if not may(actor, Action.CHANGE_ACCOUNT, also=relations):
            check_same_host(before, new)
        versions = {before.version, before.version if version is None else version}
        return self._save(actor, destination_id, new, versions)

    def enable(self, actor: Actor, destination_id: DestinationId) -> DestinationView:
        """Activate a destination, close its breaker and release what is parked."""
        return self._command(actor, destination_id, "ENABLE", Destination.enable, release=True)

    def rotate_secret(self, actor: Actor, destination_id: DestinationId) -> DestinationView:
        """Give a destination a new secret; for 24 hours both sign."""
        secret = self.secrets.make_secret()
        return self._command(
            actor,
            destination_id,
            "ROTATE_SECRET",
            lambda before, now: before.rotate_secret(secret, now),
        )

    @retry_on_contention
    def delete(
        self, actor: Actor, destination_id: DestinationId, *, version: int | None = None
    ) -> None:
        """Delete a destination; a job cancels its unfinished deliveries."""
        versions = set[int]() if version is None else {version}
        now = self.clock.now()
        with self.store.begin() as tx:
            lock_version(tx, actor, destination_id, Action.CHANGE_ACCOUNT, versions)
            delete_destinations(tx, actor, [destination_id], now)

    @retry_on_contention
    def _add(self, actor: Actor, account_id: AccountId, new: NewDestination) -> DestinationView:
        now = self.clock.now()
        destination = Destination(
            account_id=account_id,
            method=new.http_method,
            headers=self.secrets.encrypt_headers(new.headers, {}),
            is_active=new.is_active,
            secret=self.secrets.make_secret(),
            created_at=now,
            updated_at=now,
            **{name: getattr(new, name) for name in COPIED_FIELDS},
        )
        with self.store.begin() as tx:
            get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT, lock=True)
            check_destination_limit(tx.destinations.count(account_id, limit=MAX_DESTINATIONS))
            destination = tx.destinations.add(destination)
            changes = {"account": [None, account_id], "url": [None, new.url]}
            audit_command(tx.audit, actor, "CREATE", "destination", destination.id, now, changes)
            relations = get_relations_to(tx, actor, account_id)
        return self._view(actor, destination, relations)

    @retry_on_contention
    def _save(
        self,
        actor: Actor,
        destination_id: DestinationId,
        new: NewDestination,
        versions: Collection[int],
    ) -> DestinationView:
        """Store a validated change and its audit entry."""
        now = self.clock.now()
        with self.store.begin() as tx:
            before = lock_version(tx, actor, destination_id, Action.CHANGE_DESTINATIONS, versions)
            after = self._apply(before, new).touch(now)
            tx.destinations.replace(after)
            if after.is_active and not before.is_active:
                tx.jobs.add([release_job(destination_id, now, now)], now)
            changes = self._changes(before, new) | {"version": [before.version, after.version]}
            audit_command(tx.audit, actor, "UPDATE", "destination", destination_id, now, changes)
            relations = get_relations_to(tx, actor, after.account_id)
        return self._view(actor, after, relations)

    def _apply(self, before: Destination, new: NewDestination) -> Destination:
        after = evolve(
            before,
            method=new.http_method,
            headers=self.secrets.encrypt_headers(new.headers, before.headers),
            **{name: getattr(new, name) for name in COPIED_FIELDS},
        )
        if new.is_active == before.is_active:
            return after
        return after.resume() if new.is_active else after.pause()

    def _changes(self, before: Destination, new: NewDestination) -> dict[str, Any]:
        """Return the changed fields; of headers only the names, never the values."""
        old = self.serializer.unstructure(NewDestination.of(before))
        changes = changed_values(old, self.serializer.unstructure(new))
        if "headers" in changes:
            changes["headers"] = [sorted(before.headers), sorted(new.headers)]
        return changes

    @retry_on_contention
    def _command(
        self,
        actor: Actor,
        destination_id: DestinationId,
        action: str,
        change: Callable[[Destination, datetime], Destination],
        *,
        release: bool = False,
    ) -> DestinationView:
        """Apply a command of Admins; with `release` parked deliveries are sent."""
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_destination(tx, actor, destination_id, Action.CHANGE_ACCOUNT, lock=True)
            after = change(before, now)
            tx.destinations.replace(after)
            if release:
                tx.jobs.add([release_job(destination_id, now, now)], now)
            names = ("is_active", "version")
            changes = changed_values(*[{n: getattr(d, n) for n in names} for d in (before, after)])
            audit_command(tx.audit, actor, action, "destination", destination_id, now, changes)
            relations = get_relations_to(tx, actor, after.account_id)
        return self._view(actor, after, relations)

    def _read(
        self, actor: Actor, destination_id: DestinationId, action: Action
    ) -> tuple[Destination, Collection[Relation]]:
        with self.store.view() as tx:
            destination = get_destination(tx, actor, destination_id, action)
            return destination, get_relations_to(tx, actor, destination.account_id)

    def _view(
        self, actor: Actor, destination: Destination, relations: Collection[Relation]
    ) -> DestinationView:
        secret = self.secrets.secret_for(actor, destination, relations)
        return DestinationView(destination=destination, secret=secret)


def delete_destinations(
    tx: DeliveryTx, actor: Actor, ids: Iterable[DestinationId], now: datetime
) -> None:
    """Mark destinations as deleted; jobs cancel their unfinished deliveries."""
    for destination_id in ids:
        destination = tx.destinations.get_for_update(destination_id)
        tx.destinations.replace(destination.delete(now))
        tx.jobs.add([cancel_job(destination_id, now)], now)
        changes = {"account": [destination.account_id, None], "url": [destination.url, None]}
        audit_command(tx.audit, actor, "DELETE", "destination", destination_id, now, changes)


def lock_version(
    tx: DeliveryTx,
    actor: Actor,
    destination_id: DestinationId,
    action: Action,
    versions: Collection[int],
) -> Destination:
    """Lock a destination; raise StaleVersion unless it has each of the versions."""
    destination = get_destination(tx, actor, destination_id, action, lock=True)
    if any(version != destination.version for version in versions):
        entries = tx.audit.list_for_object("destination", str(destination_id))
        raise StaleVersion(destination.version, changed_since(entries, min(versions)))
    return destination


def check_fields(new: NewDestination, stored_headers: Mapping[str, str]) -> None:
    """Raise Invalid if headers, event types or retry delays are wrong."""
    check_headers(new.headers)
    check_masks(new.headers, stored_headers)
    check_type_patterns(new.event_types)
    check_retry_delays(new.retry_delays)


def check_same_host(before: Destination, new: NewDestination) -> None:
    """Raise Invalid if stored header values would be sent to another host."""
    if _origin(new.url) == _origin(before.url):
        return
    if names := masked_names(new.headers):
        message = "give the value again, because the host of the URL changes"
        raise Invalid(field_errors={f"headers.{name}": [message] for name in names})


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
