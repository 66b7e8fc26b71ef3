"""Clocks in bulk, and the queries whose plans are tested."""

from datetime import timedelta

from sqlalchemy import Connection, insert

from tests.adapters.sql.server_plans import Ask
from tests.contract.factories import NOON
from workbell.adapters.sql.projects.rows import item_values
from workbell.adapters.sql.projects.sla.rows import clock_values, event_values
from workbell.adapters.sql.schema.projects import work_items
from workbell.adapters.sql.schema.sla import clocks, sla_events
from workbell.domain.identity.user import UserId
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.clock import (
    ClockId,
    ClockKind,
    ClockPhase,
    Segment,
    SlaClock,
    SlaEvent,
    SlaEventKind,
)
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.ports.projects.sla import StoredEvent

ITEMS = 20_000
BIG = ProjectId(1)
"""The project that has every second task."""
TABLES = ["workbell_sla_clocks", "workbell_sla_events", "workbell_work_items"]
PHASES = (ClockPhase.RUNNING, ClockPhase.STOPPED, ClockPhase.STOPPED, ClockPhase.PAUSED)


def fill(db: Connection) -> None:
    """Insert 40,000 clocks, half of them of one project, and 20,000 events."""
    for begin in range(1, ITEMS + 1, 2_000):
        numbers = range(begin, begin + 2_000)
        db.execute(insert(work_items), [item_values(_item(n)) | {"id": n} for n in numbers])
        made = [_clock(n, kind) for n in numbers for kind in ClockKind if kind is not ClockKind.DUE]
        db.execute(insert(clocks), [clock_values(clock) | {"id": clock.id} for clock in made])
        db.execute(insert(sla_events), [event_values(_event(2 * n)) for n in numbers])


def _project(n: int) -> ProjectId:
    return BIG if n % 2 else ProjectId(n % 500 + 2)


def _item(n: int) -> WorkItem:
    return WorkItem(
        id=WorkItemId(n),
        project_id=_project(n),
        board_id=_project(n),
        title="Task",
        reporter_id=UserId(1),
        rank=f"{n:09}1",
        created_at=NOON,
        updated_at=NOON,
    )


def _clock(n: int, kind: ClockKind) -> SlaClock:
    phase = PHASES[n // 2 % len(PHASES)]
    is_running = phase is ClockPhase.RUNNING
    due = NOON + timedelta(seconds=n - 20)
    return SlaClock(
        id=ClockId(2 * n + (kind is ClockKind.RESOLUTION)),
        work_item_id=WorkItemId(n),
        project_id=_project(n),
        kind=kind,
        phase=phase,
        target=timedelta(hours=1),
        started_at=NOON,
        segments=(Segment(NOON, None, True, "counting"),),
        deadline=due if is_running else None,
        next_event_at=due if is_running else None,
    )


def _event(clock_id: int) -> StoredEvent:
    return StoredEvent(
        clock_id=ClockId(clock_id),
        cycle=1,
        event=SlaEvent(SlaEventKind.WARNING, 0, NOON),
        detected_at=NOON,
    )


QUESTIONS: dict[str, tuple[Ask, set[str]]] = {
    "idle tick": (lambda tx: tx.sla_clocks.next_due(), {"workbell_sla_clocks_due_idx"}),
    "due clocks": (
        lambda tx: tx.sla_clocks.lock_due_items(NOON, limit=500),
        {"workbell_sla_clocks_due_idx", "workbell_work_items_pkey"},
    ),
    "clocks of a task": (
        lambda tx: tx.sla_clocks.of_items([WorkItemId(7)]),
        {"workbell_sla_clocks_cycle_key"},
    ),
    "open clocks of a big project": (
        lambda tx: tx.sla_clocks.lock_items_of_project(BIG, after=WorkItemId(9_000), limit=100),
        {"workbell_sla_clocks_open_idx", "workbell_work_items_pkey"},
    ),
    "events of a task": (
        lambda tx: tx.sla_clocks.events_of(WorkItemId(7)),
        {"workbell_sla_clocks_cycle_key", "workbell_sla_events_pkey"},
    ),
}
