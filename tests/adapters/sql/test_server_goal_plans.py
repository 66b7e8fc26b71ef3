"""Summaries and reminders use their indexes on servers, too."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import create_engine, insert, literal, select

from tests.adapters.sql.server_plans import Ask, plans_of
from tests.contract.factories import ALICE, NOON, ManualClock
from tests.contract.servers import SERVERS, address, new_database
from workbell.adapters.sql.schema.goals import goal_reminders, goals, reminder_preferences
from workbell.adapters.sql.schema.tables import users
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.adapters.system import SystemClock
from workbell.domain.goals.goal import GoalId
from workbell.domain.goals.reminder import ReminderHistory
from workbell.domain.identity.user import UserId
from workbell.entrypoints.bench.summaries import _fill
from workbell.ports.goals.repository import EntryFilter, GoalFilter

pytestmark = pytest.mark.integration

BUSY, IDLE = 500, 7_500
FEW = [UserId(n) for n in range(BUSY + 1, BUSY + 6)]
TABLES = (
    "workbell_users",
    "workbell_goal_ledgers",
    "workbell_goals",
    "workbell_progress_entries",
    "workbell_progress_days",
    "workbell_reminder_preferences",
    "workbell_goal_reminders",
)
_NAMES = "|".join(TABLES)
SCANS = re.compile(
    rf'"Seq Scan"[^{{}}]*"Relation Name": "({_NAMES})"'
    rf'|"table_name": "({_NAMES})",\s+"access_type": "ALL"'
)


@pytest.fixture(scope="module", params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of server."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def store(kind: str) -> Iterator[SqlStore]:
    """Return a store of its own with 8,000 people, and 10,000 entries of the busy ones."""
    url = new_database(kind)
    store = open_store(address(url), ManualClock(), pool_size=4)
    store.migrate()
    _fill(address(url), BUSY, 10_000, IDLE)
    now, day = SystemClock().now(), date(2030, 1, 1)
    people = select(users.c.id, users.c.is_active, literal("UTC"), literal(now))
    told = select(goals.c.id, literal(day), goals.c.number, literal(day))
    engine = create_engine(url)
    with engine.begin() as db:
        columns = ["owner", "reminders", "zone", "next_at"]
        db.execute(insert(reminder_preferences).from_select(columns, people))
        columns = ["goal_id", "since", "count", "last"]
        db.execute(insert(goal_reminders).from_select(columns, told))
    engine.dispose()
    with store._connections.migrating() as db:
        for table in TABLES:
            db.exec_driver_sql(f"ANALYZE {'' if kind == 'postgresql' else 'TABLE '}{table}")
    yield store
    store.close()


NOBODYS = 10**9
"""An unknown goal, because EXPLAIN ANALYZE executes the statement."""
TOLD = ReminderHistory(date(2030, 1, 1), 1, date(2030, 1, 2))
OLD = SystemClock().now() - timedelta(days=5)
QUESTIONS: dict[str, tuple[Ask, set[str]]] = {
    "days of a person": (lambda tx: tx.entries.days(ALICE), {"workbell_progress_days_pkey"}),
    "days of a goal": (
        lambda tx: tx.entries.days(ALICE, GoalId(1)),
        {"workbell_progress_days_pkey"},
    ),
    "search of progress": (
        lambda tx: tx.entries.find(ALICE, EntryFilter(search="none")),
        {"workbell_progress_entries_owner_idx"},
    ),
    "search of a goal": (
        lambda tx: tx.entries.find(ALICE, EntryFilter(goal_id=GoalId(1), search="none")),
        {"workbell_progress_entries_goal_id_number_key"},
    ),
    "number of entries": (
        lambda tx: tx.entries.count(ALICE, EntryFilter()),
        {"workbell_progress_entries_owner_idx"},
    ),
    "longest entries": (
        lambda tx: tx.entries.find(ALICE, EntryFilter(), ordering=["-logged"]),
        {"workbell_progress_entries_owner_idx"},
    ),
    "newest progress": (
        lambda tx: tx.entries.find(ALICE, EntryFilter()),
        {"workbell_progress_entries_owner_idx"},
    ),
    "export": (
        lambda tx: tx.entries.export(ALICE, after=tx.entries.export(ALICE)[9].entry),
        {"workbell_progress_entries_owner_idx", "workbell_goals_pkey"},
    ),
    "span before": (
        lambda tx: tx.entries.latest_before(ALICE, NOON),
        {"workbell_progress_entries_started_idx"},
    ),
    "revision": (lambda tx: tx.ledgers.get(ALICE), {"workbell_goal_ledgers_pkey"}),
    "goals of a person": (
        lambda tx: tx.goals.find(ALICE, GoalFilter()),
        {"workbell_goals_owner_number_key"},
    ),
    "who is idle": (
        lambda tx: tx.reminders.idle(UserId(BUSY), OLD, limit=5),
        {"workbell_goals_idle_idx"},
    ),
    "own times due": (
        lambda tx: tx.reminders.due(NOON, limit=5),
        {"workbell_reminder_preferences_next_at_idx"},
    ),
    "who is to be told what": (
        lambda tx: tx.reminders.lock(FEW, OLD),
        {
            "workbell_goal_ledgers_pkey",
            "workbell_goals_idle_idx",
            "workbell_goal_reminders_pkey",
            "workbell_users_pkey",
        },
    ),
    "who was told": (
        lambda tx: tx.reminders.mark_reminded({FEW[0]: TOLD.last}, {NOBODYS: TOLD}),
        {
            "workbell_reminder_preferences_pkey",
            "workbell_goal_reminders_pkey",
            "workbell_goals_pkey",
        },
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_uses_its_indexes(store: SqlStore, kind: str, question: str) -> None:
    ask, indexes = QUESTIONS[question]
    plans = "".join(plans_of(store, ask, kind))
    if kind == "mariadb":  # it calls all primary keys the same
        indexes = {"PRIMARY" if name.endswith("_pkey") else name for name in indexes}
    assert {name for name in indexes if name in plans} == indexes, plans
    assert not SCANS.search(plans), plans


def test_an_export_sorts_nothing(store: SqlStore, kind: str) -> None:
    plans = "".join(plans_of(store, QUESTIONS["export"][0], kind))
    assert '"Sort"' not in plans, plans
    assert "filesort" not in plans, plans
