"""Rows of delivery in bulk, and the queries whose plans are tested."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, Table, insert, select

from tests.adapters.sql.server_plans import Ask
from tests.contract.factories import NOON
from workbell.adapters.sql.schema.delivery import (
    accounts,
    deliveries,
    delivery_attempts,
    destinations,
    events,
    memberships,
)
from workbell.adapters.sql.schema.tables import users
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.delivery import UNFINISHED, DeliveryId, DeliveryState
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.delivery.event import Event, EventRowId
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.ports.delivery.repository import DeliveryFilter

ACCOUNTS, USERS, EVENTS, DELIVERIES = 3_000, 6_000, 1_500, 5_000
BIG = AccountId(1)
"""The account that has every second row."""
HOOK = DestinationId(2)
"""The destination that has every tenth delivery."""
OWNER = UserId(1)
FAILED = DeliveryState.FAILED
_STATES = [*[DeliveryState.SUCCEEDED] * 15, FAILED, *UNFINISHED, DeliveryState.CANCELLED]


def _spread(n: int) -> int:
    """Return the number of an account: every second row is of the big one."""
    return 1 if n % 2 else n % ACCOUNTS + 1


def _rows() -> Iterable[tuple[Any, list[dict[str, Any]]]]:
    made = {"created_at": NOON, "updated_at": NOON}
    yield (
        users,
        [
            {
                **dict.fromkeys(("username", "username_key"), f"user{n}"),
                **dict.fromkeys(("email", "email_key"), f"user{n}@example.com"),
                **dict.fromkeys(("first_name", "last_name", "password_hash", "time_zone"), ""),
                "id": n,
                "role": "MEMBER",
                "tier": "free",
                "is_super_user": False,
                "is_active": True,
                "is_email_verified": True,
                "token_version": 0,
                "created_at": NOON,
            }
            for n in range(1, USERS + 1)
        ],
    )
    yield (
        accounts,
        [
            {**made, "id": n, "name": f"name {n}", "token": "", "token_index": f"token {n}"}
            | {"previous_token_index": f"previous {n}"}
            for n in range(1, ACCOUNTS + 1)
        ],
    )
    pairs = {(_spread(n), n) for n in range(1, USERS + 1)} | {(n, 1) for n in range(1, 100)}
    yield (
        memberships,
        [
            {**made, "account_id": account, "user_id": user, "role": 1 + user % 2}
            for account, user in sorted(pairs)
        ],
    )
    yield (
        destinations,
        [
            {
                **made,
                "id": n,
                "account_id": 1 if n <= 5 else n % ACCOUNTS + 1,
                "url": "https://a.example",
                "method": "POST",
                "headers": {},
                "event_types": [],
                "is_active": True,
                "timeout_seconds": 15,
                "retry_delays": [],
                "concurrency": 4,
                "secret": "",
                "breaker_state": "closed",
                "failures": 0,
                "openings": 0,
                "version": 1,
                "deleted_at": NOON if n % 3 == 0 else None,
            }
            for n in range(1, 2 * ACCOUNTS)
        ],
    )
    yield (
        events,
        [
            {
                "id": n,
                "account_id": _spread(n),
                "event_key": f"evt_{n}",
                "data": b"{}",
                "event_type": f"type {n % 7}",
                "fingerprint": "",
                "created_by": 0,
                "created_at": NOON + timedelta(seconds=n),
                "has_data": n > EVENTS // 2,
            }
            for n in range(1, EVENTS + 1)
        ],
    )
    yield (
        deliveries,
        [
            {
                "id": n,
                "account_id": _spread(n),
                "event_id": n % EVENTS + 1,
                "event_key": "e",
                "event_type": "t",
                "destination_id": 1 + n % 10 if n % 2 else 5 + n % 500,
                "state": int(_STATES[n // 10 % len(_STATES)]),
                "is_test": n % 100 == 0,
                "attempts": 1,
                "schedule_start": 0,
                "turn": 1,
                "updated_at": NOON,
                "created_at": NOON + timedelta(seconds=n),
                "completed_at": NOON + timedelta(seconds=n + 1),
            }
            for n in range(1, DELIVERIES + 1)
        ],
    )
    yield (
        delivery_attempts,
        [
            {
                "delivery_id": n,
                "number": 1,
                "destination_id": 1 + n % 10 if n % 2 else 5 + n % 500,
                "is_test": n % 100 == 0,
                "is_success": n % 9 != 0,
                "duration_ms": n % 1000,
                "started_at": NOON + timedelta(seconds=n),
                "detail": "",
                "address": "",
                "timings": {},
                "request_headers": {},
                "response_headers": {},
                "snippet": "",
            }
            for n in range(1, DELIVERIES + 1)
        ],
    )


TABLES = [table.name for table, _ in _rows()]


COPIES = 16
"""Each row of events, deliveries and attempts is stored this many times."""


def fill(db: Connection) -> None:
    """Insert rows into every table of delivery: enough that planners prefer indexes."""
    for table, rows in _rows():
        db.execute(insert(table), rows)
    _copy(db, events, EVENTS, id=events.c.id, event_key=events.c.event_key)
    ids = {"id": deliveries.c.id, "event_id": deliveries.c.event_id}
    _copy(db, deliveries, DELIVERIES, **ids)
    _copy(db, delivery_attempts, DELIVERIES, delivery_id=delivery_attempts.c.delivery_id)


def _copy(db: Connection, table: Table, count: int, **different: ColumnElement[Any]) -> None:
    """Double the rows of a table until there are `COPIES` of the first `count`."""
    names = [column.name for column in table.columns]
    copies = 1
    while copies < COPIES:
        offset = count * copies
        changed = {
            name: column.concat(f"+{copies}")
            if isinstance(column.type, String)
            else column + (EVENTS * copies if name == "event_id" else offset)
            for name, column in different.items()
        }
        rows = select(*[changed.get(name, table.c[name]) for name in names])
        db.execute(insert(table).from_select(names, rows))
        copies *= 2


def _listing(**filters: Any) -> Ask:
    return lambda tx: tx.deliveries.list_page(DeliveryFilter(**filters), offset=20)


LATE = NOON + timedelta(seconds=DELIVERIES - 500)
EARLY = NOON + timedelta(seconds=200)
STORED = Event(
    id=EventRowId(7),
    account_id=BIG,
    key="evt_7",
    type="",
    data=None,
    fingerprint="",
    created_at=NOON,
)
MEMBER = Scope(owner=OWNER)

PAGES: dict[str, tuple[Ask, set[str]]] = {
    "events": (lambda tx: tx.events.list_page(BIG), {"workbell_events_account_idx"}),
    "events of a type": (
        lambda tx: tx.events.list_page(BIG, event_type="type 3"),
        {"workbell_events_type_idx"},
    ),
    "events from a cursor": (
        lambda tx: tx.events.list_page(BIG, before_id=EventRowId(EVENTS // 2)),
        {"workbell_events_account_idx"},
    ),
    "purging": (lambda tx: tx.events.purge(EARLY, limit=9), {"workbell_events_data_idx"}),
    "deliveries of an account": (
        _listing(account_id=BIG),
        {"workbell_deliveries_account_idx"},
    ),
    "deliveries received in a time": (
        _listing(account_id=BIG, received_from=EARLY, received_to=LATE),
        {"workbell_deliveries_account_idx"},
    ),
    "deliveries from a cursor": (
        _listing(account_id=BIG, before_id=DeliveryId(DELIVERIES // 2)),
        {"workbell_deliveries_account_idx"},
    ),
    "deliveries in a state": (
        _listing(account_id=BIG, states=[FAILED]),
        {"workbell_deliveries_account_state_idx"},
    ),
    "deliveries in states": (
        _listing(account_id=BIG, states=[FAILED, DeliveryState.PARKED], received_to=LATE),
        {"workbell_deliveries_account_state_idx"},
    ),
    "deliveries to a destination": (
        _listing(account_id=BIG, destination_id=HOOK),
        {"workbell_deliveries_destination_idx"},
    ),
    "deliveries to a destination in a state": (
        _listing(account_id=BIG, destination_id=HOOK, states=[FAILED]),
        {"workbell_deliveries_destination_state_idx"},
    ),
    "deliveries to a destination in a time": (
        _listing(account_id=BIG, destination_id=HOOK, received_from=EARLY, received_to=LATE),
        {"workbell_deliveries_destination_idx"},
    ),
    "all deliveries": (_listing(), {"workbell_deliveries_state_idx"}),
    "a batch": (
        lambda tx: tx.deliveries.lock_batch(HOOK, [DeliveryState.PARKED], limit=5),
        {"workbell_deliveries_batch_idx", "workbell_deliveries_pkey"},
    ),
    "the next batch that was completed in a time": (
        lambda tx: tx.deliveries.lock_batch(
            HOOK, [FAILED], completed_from=EARLY, completed_to=LATE, after=DeliveryId(9), limit=5
        ),
        {"workbell_deliveries_batch_idx", "workbell_deliveries_pkey"},
    ),
    "pruning": (
        lambda tx: tx.deliveries.prune(EARLY, limit=5),
        {"workbell_deliveries_state_idx", "workbell_deliveries_pkey"},
    ),
}
"""Queries that read rows in the order of an index, without a sort."""

ROWS: dict[str, tuple[Ask, set[str]]] = {
    "an account": (
        lambda tx: tx.accounts.get(MEMBER, BIG),
        {"workbell_accounts_pkey"},
    ),
    "an account by its token": (
        lambda tx: tx.accounts.find_by_token(["token 9"], NOON),
        {"workbell_accounts_token_index_key"},
    ),
    "an account by its previous token": (
        lambda tx: tx.accounts.find_by_token(["previous 9"], NOON),
        {"workbell_accounts_previous_token_idx"},
    ),
    "accounts of a member": (
        lambda tx: tx.accounts.list_page(MEMBER),
        {"workbell_memberships_user_idx"},
    ),
    "a membership": (lambda tx: tx.memberships.find(BIG, OWNER), set()),
    "the first membership": (
        lambda tx: tx.memberships.first_of(UserId(USERS)),
        {"workbell_memberships_user_idx"},
    ),
    "members": (
        lambda tx: tx.memberships.list_page(AccountId(9)),
        {"workbell_memberships_account_idx", "workbell_users_pkey"},
    ),
    "admins": (
        lambda tx: (tx.memberships.count_admins(AccountId(9)), tx.memberships.admins(AccountId(9))),
        {"workbell_memberships_role_idx", "workbell_users_pkey"},
    ),
    "a shared account": (
        lambda tx: tx.memberships.shares_account(UserId(USERS), UserId(USERS - 1)),
        {"workbell_memberships_user_idx"},
    ),
    "visible users": (
        lambda tx: tx.memberships.list_visible_users(UserId(USERS - 1)),
        {"workbell_memberships_user_idx", "workbell_users_pkey"},
    ),
    "a destination": (
        lambda tx: tx.destinations.get(MEMBER, HOOK),
        {"workbell_destinations_pkey", "workbell_accounts_pkey"},
    ),
    "destinations of an account": (
        lambda tx: (tx.destinations.list_page(BIG), tx.destinations.all_of(BIG)),
        {"workbell_destinations_account_idx"},
    ),
    "statistics": (
        lambda tx: tx.destinations.statistics(HOOK, LATE),
        {"workbell_delivery_attempts_destination_idx"},
    ),
    "an event by its key": (
        lambda tx: tx.events.find_by_key(BIG, "evt_9"),
        {"workbell_events_account_id_event_key_key"},
    ),
    "a delivery to be sent": (
        lambda tx: tx.deliveries.load(DeliveryId(9)),
        {"workbell_deliveries_pkey", "workbell_events_pkey", "workbell_destinations_pkey"},
    ),
    "a visible delivery": (
        lambda tx: tx.deliveries.get(ALL_OWNERS, DeliveryId(9)),
        {"workbell_deliveries_pkey", "workbell_events_pkey", "workbell_destinations_pkey"},
    ),
    "deliveries of an event": (
        lambda tx: tx.deliveries.of_event(STORED),
        {"workbell_deliveries_event_idx"},
    ),
    "deliveries of an event key": (
        _listing(account_id=BIG, event_key="evt_9"),
        {"workbell_events_account_id_event_key_key", "workbell_deliveries_event_idx"},
    ),
    "deliveries of an event key to a destination": (
        _listing(account_id=BIG, destination_id=HOOK, event_key="evt_9", states=[FAILED]),
        {"workbell_events_account_id_event_key_key", "workbell_deliveries_event_idx"},
    ),
    "the number of deliveries": (
        lambda tx: tx.deliveries.count(HOOK, UNFINISHED, completed_from=LATE),
        {"workbell_deliveries_batch_idx"},
    ),
    "deliveries that are being sent": (
        _listing(account_id=BIG, states=[DeliveryState.SENDING]),
        {"workbell_jobs_lease_idx"},
    ),
    "attempts": (
        lambda tx: tx.deliveries.attempts(DeliveryId(9)),
        {"workbell_delivery_attempts_pkey"},
    ),
}
"""Queries for few rows, which the database may sort."""
