"""Repositories of webhook delivery, and the transaction over them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

from workbell.domain.delivery.account import Account, AccountId, AccountRole, Membership
from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryAttempt,
    DeliveryId,
    DeliveryState,
)
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.event import Event, EventRowId
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import User, UserId
from workbell.ports.identity.users import IdentityTx
from workbell.ports.jobs.repository import JobsTx

MAX_LISTED_ATTEMPTS: Final = 100
"""How many attempts of a delivery `DeliveryRepository.attempts` returns."""
STATISTICS_SAMPLE: Final = 1_000
"""How many successes the percentiles of a destination are computed from."""


@frozen(kw_only=True)
class Member:
    """A membership and its user."""

    membership: Membership
    user: User


@frozen(kw_only=True)
class DeliveryFilter:
    """
    Conditions of a list of deliveries; None means any. Times are inclusive.

    `received_from` and `received_to` compare `created_at`, which is when the
    event was received. With `before_id` only the deliveries that come after that
    one in the list match; there are none if it does not exist. Such pages by cursor
    are not counted: their number is 0.
    """

    account_id: AccountId | None = None
    destination_id: DestinationId | None = None
    states: Collection[DeliveryState] | None = None
    event_key: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None
    before_id: DeliveryId | None = None


@frozen(kw_only=True)
class ListedDelivery:
    """
    A delivery in a list: with its destination's URL and its event's data.

    `delivery.state` is SENDING while the job of its current turn runs. `data` is
    None once it has been purged.
    """

    delivery: Delivery
    destination_url: str
    data: bytes | None


@frozen(kw_only=True)
class Dispatch:
    """A delivery to be sent, its event and its destination, also a deleted one."""

    delivery: Delivery
    event: Event
    destination: Destination


@frozen(kw_only=True)
class DestinationStatistics:
    """
    Figures of a destination, such as those of the last 24 hours.

    `succeeded` and `failed` count attempts, `pending` deliveries that have not
    ended; counts stop at `COUNT_CAP`. The percentiles are those of the durations
    of the newest 1,000 attempts that succeeded.
    """

    succeeded: int
    failed: int
    p50_ms: int | None
    p95_ms: int | None
    pending: int
    oldest_pending_at: datetime | None

    @property
    def success_rate(self) -> float | None:
        """Successes per ended delivery, from 0 to 1; None if none has ended."""
        ended = self.succeeded + self.failed
        return round(self.succeeded / ended, 4) if ended else None


class AccountRepository(Protocol):
    """
    Accounts that are not deleted.

    A scope covers the accounts of which its owner is a member.
    """

    def add(self, account: Account) -> Account:
        """Insert an account and return it with its id."""

    def get(self, scope: Scope, account_id: AccountId) -> Account:
        """Return an account in the scope, or raise NotFound."""

    def get_for_update(self, scope: Scope, account_id: AccountId) -> Account:
        """Return an account in the scope and lock its row, or raise NotFound."""

    def find_by_token(self, indexes: Sequence[str], now: datetime) -> Account | None:
        """Return the account whose current or valid previous token has one of the indexes."""

    def replace(self, account: Account) -> None:
        """Update an account; the caller holds its row."""

    def list_page(
        self, scope: Scope, *, search: str | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Account], int]:
        """Return a page of accounts by id, and their number up to `COUNT_CAP` + 1."""


class MembershipRepository(Protocol):
    """Members of accounts. Lock the account before changing its members."""

    def add(self, membership: Membership) -> Membership:
        """Insert a membership and return it with its id; Conflict if it exists."""

    def find(self, account_id: AccountId, user_id: UserId) -> Membership | None:
        """Return a user's membership, or None."""

    def roles(
        self, user_id: UserId, account_ids: Sequence[AccountId]
    ) -> Mapping[AccountId, AccountRole]:
        """Return a user's role in each of the accounts of which they are a member."""

    def first_of(self, user_id: UserId) -> Membership | None:
        """Return the user's oldest membership in an account that is not deleted."""

    def replace(self, membership: Membership) -> None:
        """Update the role of a membership."""

    def remove(self, account_id: AccountId, user_id: UserId) -> bool:
        """Delete a membership; return whether there was one."""

    def count_admins(self, account_id: AccountId) -> int:
        """Return the number of Admins of an account."""

    def admins(self, account_id: AccountId) -> Sequence[User]:
        """Return the active users who are Admins, by id, at most 100."""

    def list_page(
        self, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Member], int]:
        """Return a page of members by id, and their number up to `COUNT_CAP` + 1."""

    def shares_account(self, admin_id: UserId, user_id: UserId) -> bool:
        """Whether a user is a member of an account of which `admin_id` is an Admin."""

    def list_visible_users(
        self, admin_id: UserId, *, email: str | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[User], int]:
        """Return a page of `admin_id` and the members of the accounts that they administer."""


class DestinationRepository(Protocol):
    """
    Destinations of accounts; only `get_for_update` returns deleted ones.

    A scope covers the destinations of the accounts of which its owner is a member.
    """

    def add(self, destination: Destination) -> Destination:
        """Insert a destination and return it with its id."""

    def get(self, scope: Scope, destination_id: DestinationId) -> Destination:
        """Return a destination in the scope, or raise NotFound."""

    def get_for_update(self, destination_id: DestinationId) -> Destination:
        """Return a destination, also a deleted one, and lock its row, or raise NotFound."""

    def replace(self, destination: Destination) -> None:
        """Update a destination; the caller holds its row."""

    def all_of(self, account_id: AccountId) -> Sequence[Destination]:
        """Return all destinations of an account by id."""

    def count(self, account_id: AccountId, *, limit: int) -> int:
        """Return the number of destinations of an account, counting up to `limit`."""

    def list_page(
        self, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Destination], int]:
        """Return a page of destinations by id, and their number up to `COUNT_CAP` + 1."""

    def statistics(self, destination_id: DestinationId, since: datetime) -> DestinationStatistics:
        """Return the figures of a destination since a time; tests are left out."""


class EventRepository(Protocol):
    """Events; append-only, except that their data is purged."""

    def add(self, event: Event) -> Event | None:
        """Insert an event and return it with its id; None if its key exists."""

    def find_by_key(self, account_id: AccountId, key: str) -> Event | None:
        """Return the event of an account with a key, or None."""

    def list_page(
        self,
        account_id: AccountId,
        *,
        event_type: str | None = None,
        key: str | None = None,
        before_id: EventRowId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[Event], int]:
        """
        Return a page of events, newest first, and their number up to `COUNT_CAP` + 1.

        With `before_id` only events with lower ids are listed, and not counted.
        """

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete the data, not the rows, of events received before a time; return how many."""


class DeliveryRepository(Protocol):
    """
    Deliveries and their attempts.

    Lock order: destination, delivery, then what `JobRepository` says. A scope
    covers the deliveries of the accounts of which its owner is a member.
    """

    def add_many(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Insert deliveries and return them with ids, in the same order."""

    def load(self, delivery_id: DeliveryId) -> Dispatch | None:
        """Return a delivery with its event and destination, or None."""

    def get(self, scope: Scope, delivery_id: DeliveryId) -> ListedDelivery:
        """Return a delivery in the scope, or raise NotFound."""

    def get_for_update(self, delivery_id: DeliveryId) -> Delivery:
        """Return a delivery and lock its row, or raise NotFound."""

    def lock_turns(self, delivery_ids: Collection[DeliveryId]) -> Mapping[DeliveryId, int]:
        """Lock deliveries in order of id, and return the turns of those that exist."""

    def replace(self, before: Delivery, after: Delivery) -> bool:
        """Update a delivery unless its turn has changed; return whether it was updated."""

    def replace_many(self, changed: Sequence[Delivery]) -> None:
        """Update deliveries; the caller holds their rows."""

    def list_page(
        self, filters: DeliveryFilter, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[ListedDelivery], int]:
        """Return a page of deliveries, newest first, and their number up to `COUNT_CAP` + 1."""

    def of_event(self, event: Event) -> Sequence[Delivery]:
        """Return the deliveries of an event by id."""

    def lock_batch(
        self,
        destination_id: DestinationId,
        states: Collection[DeliveryState],
        *,
        completed_from: datetime | None = None,
        completed_to: datetime | None = None,
        after: DeliveryId | None = None,
        limit: int = 500,
    ) -> Sequence[Delivery]:
        """Lock and return deliveries of a destination in some states, by id."""

    def count(
        self,
        destination_id: DestinationId,
        states: Collection[DeliveryState],
        *,
        completed_from: datetime | None = None,
        completed_to: datetime | None = None,
    ) -> int:
        """Return how many deliveries `lock_batch` would return in all, up to `COUNT_CAP` + 1."""

    def add_attempt(self, *attempts: DeliveryAttempt) -> None:
        """Insert one or more attempts."""

    def attempts(self, delivery_id: DeliveryId) -> Sequence[DeliveryAttempt]:
        """Return the newest 100 attempts of a delivery, oldest first."""

    def prune(self, before: datetime, *, limit: int) -> int:
        """Delete ended deliveries created before a time, with attempts; return how many."""


class DeliveryTx(JobsTx, IdentityTx, Protocol):
    """A transaction over deliveries, jobs and users."""

    @property
    def accounts(self) -> AccountRepository:
        """The accounts."""

    @property
    def memberships(self) -> MembershipRepository:
        """The members of accounts."""

    @property
    def destinations(self) -> DestinationRepository:
        """The destinations."""

    @property
    def events(self) -> EventRepository:
        """The events."""

    @property
    def deliveries(self) -> DeliveryRepository:
        """The deliveries."""
