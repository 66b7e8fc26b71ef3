"""Faulty rows of schedules, alerts, SLA clocks and the audit log harm no other row."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from attrs import Factory, define, evolve
from sqlalchemy import Table, Text, literal_column, type_coerce, update

from tests.contract.factories import NOON, AnyStore, ManualClock, a_schedule, after
from tests.contract.projects.sla_rows import Team, a_clock
from tests.services.engine import FixedRandomness
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.sql.schema.audit import audit
from workbell.adapters.sql.schema.sla import clocks as sla_clocks
from workbell.adapters.sql.schema.tables import schedules
from workbell.adapters.sql.store import SqlStore
from workbell.domain.audit.checkpoint import Checkpoint, CheckpointSigner
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.task import Task, Tasks
from workbell.domain.projects.sla.clock import ClockId, Pins
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.ports.jobs.views import JobFilter
from workbell.services.audit.sealing import AuditSealer
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.sla.recording import ClockRecorder
from workbell.services.projects.sla.ticker import SlaTicker
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.ticker import Ticker

BEFORE_ALL_TIMES = {"sqlite": "'0000-99-99'", "postgresql": "'-infinity'"}


@define
class RecordingReporter:
    """Records what was set aside."""

    reports: list[tuple[str, int]] = Factory(list[tuple[str, int]])

    def report(self, kind: str, row_id: int, reason: str) -> None:
        assert reason
        self.reports.append((kind, row_id))


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


def dialect(store: AnyStore) -> str:
    """Return the kind of a store, as SQLAlchemy names it."""
    if isinstance(store, MemoryStore):
        return "memory"
    with cast(SqlStore, store).view() as tx:
        return tx.db.dialect.name


def corrupt(store: AnyStore, table: Table, row_id: int, **values: Any) -> None:
    """Write values into a row that no caller could store."""
    columns = {
        name: type_coerce(value, Text) if isinstance(value, str) else value
        for name, value in values.items()
    }
    with cast(SqlStore, store).begin() as tx:
        tx.db.execute(update(table).where(table.c.id == row_id).values(columns))


def add_schedules(store: AnyStore, *new: Schedule) -> list[Schedule]:
    with store.begin() as tx:
        return [tx.schedules.add(each) for each in new]


def corrupt_schedule(store: AnyStore, schedule_id: ScheduleId, **values: Any) -> None:
    """Write values into a row of SQL, or a rule that is none into one in memory."""
    if not isinstance(store, MemoryStore):
        corrupt(store, schedules, schedule_id, **values)
        return
    with store.begin() as tx:
        row = tx.tables.schedules.get(schedule_id)
        assert row is not None
        tx.tables.schedules.put(schedule_id, evolve(row, cron=cast(Any, None)))


def see(store: AnyStore, schedule: Schedule) -> Schedule:
    with store.view() as tx:
        return tx.schedules.get(ALL_OWNERS, schedule.id)


# schedules


@pytest.fixture
def ticker(store: AnyStore, clock: ManualClock, reporter: RecordingReporter) -> Ticker:
    tasks = Tasks()
    tasks.add(Task(key="echo", body=lambda *_: None))
    return Ticker(
        store=store, clock=clock, randomness=FixedRandomness(), tasks=tasks, reporter=reporter
    )


FAULTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "a rule that is none": lambda _: {"cron": "?", "jitter_seconds": 1},
    "an unknown policy for gaps": lambda _: {"dst_gap": "?"},
    "an unknown zone": lambda _: {"zone": "Mars/Olympus"},
    "parameters that are no JSON": lambda _: {"parameters": "{broken", "jitter_seconds": 1},
    "a time before all times": lambda kind: (
        {"next_at": literal_column(BEFORE_ALL_TIMES[kind])}
        if kind in BEFORE_ALL_TIMES
        else {"dst_gap": "?"}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_schedule_is_paused_and_the_others_tick(
    store: AnyStore, ticker: Ticker, reporter: RecordingReporter, fault: str
) -> None:
    first, bad, last = add_schedules(store, a_schedule(), a_schedule(), a_schedule())
    corrupt_schedule(store, bad.id, **FAULTS[fault](dialect(store)))
    ticker.tick()
    with store.view() as tx:
        runs = tx.jobs.find(ALL_OWNERS, JobFilter(), ordering=("id",))
        assert bad.id not in tx.schedules.list_active(ScheduleId(0))
    assert sorted(run.schedule_id or 0 for run in runs) == [first.id, last.id]
    assert reporter.reports == [("schedule", bad.id)]
    assert ticker.next_due() == see(store, first).next_at
    assert ticker.tick() == 0


def test_a_paused_faulty_schedule_has_the_reason(store: AnyStore) -> None:
    (schedule,) = add_schedules(store, a_schedule(alert_after_seconds=60, alert_at=after(60)))
    with store.begin() as tx:
        tx.schedules.quarantine(schedule.id, "quarantined: odd", after(1))
        tx.schedules.quarantine(schedule.id, "not active any more", after(2))
    row = see(store, schedule)
    assert (row.next_at, row.alert_at, row.paused_reason) == (None, None, "quarantined: odd")
    assert (row.version, row.cursor, row.updated_at) == (2, after(1), after(1))


def test_a_faulty_schedule_does_not_stop_the_recomputation_of_others(
    store: AnyStore, ticker: Ticker, reporter: RecordingReporter
) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("rows in memory have a type")
    bad, stale = add_schedules(store, a_schedule(next_at=after(60)), a_schedule(next_at=after(61)))
    corrupt_schedule(store, bad.id, dst_gap="?")
    assert ticker.recompute_after_tzdata_change("2030a") == 1
    assert see(store, stale).next_at == after(3600)
    assert reporter.reports == [("schedule", bad.id)]


def test_no_schedule_is_paused_because_the_store_is_unavailable(
    store: AnyStore, ticker: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (schedule,) = add_schedules(store, a_schedule())

    def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable("away")

    with store.view() as tx:
        monkeypatch.setattr(type(tx.jobs), "add_ticks", unavailable)
    with pytest.raises(Unavailable):
        ticker.tick()
    assert see(store, schedule).next_at == NOON


# alerts


def test_an_alert_that_cannot_be_evaluated_stops_no_other(
    store: AnyStore, clock: ManualClock, reporter: RecordingReporter
) -> None:
    alert = {"alert_after_seconds": 60, "alert_at": NOON}
    first, bad, last = add_schedules(store, *[a_schedule(**alert) for _ in range(3)])
    corrupt_alert(store, bad.id)
    alerts = OverdueAlerts(store=store, clock=clock, reporter=reporter)
    assert alerts.evaluate_due().emails == 2
    assert see(store, first).overdue_since == see(store, last).overdue_since == NOON
    assert see(store, bad).alert_at is None
    assert see(store, bad).is_active
    assert reporter.reports == [("alert", bad.id)]


def corrupt_alert(store: AnyStore, schedule_id: ScheduleId) -> None:
    """Remove the limit of an alert."""
    if not isinstance(store, MemoryStore):
        corrupt(store, schedules, schedule_id, alert_after_seconds=None)
        return
    with store.begin() as tx:
        row = tx.tables.schedules.get(schedule_id)
        assert row is not None
        tx.tables.schedules.put(schedule_id, evolve(row, alert_after_seconds=None))


# SLA clocks


@pytest.mark.parametrize("fault", ["an unknown version of a policy", "an unknown phase", "a time"])
def test_an_sla_clock_that_cannot_be_advanced_stops_no_other(
    store: AnyStore, clock: ManualClock, reporter: RecordingReporter, fault: str
) -> None:
    items = Team.create(store, "ann").add_items(store, 3)
    with store.begin() as tx:
        first, bad, last = tx.sla_clocks.add([a_clock(item) for item in items])
    assert first.next_event_at is not None
    clock.at = first.next_event_at
    corrupt_clock(store, bad.id, fault)
    sla = SlaTicker(
        store=store,
        clock=clock,
        recorder=ClockRecorder(notifier=Notifier(clock=clock)),
        reporter=reporter,
    )
    assert sla.tick() == 3
    assert reporter.reports == [("sla_clock", bad.id)]
    with store.view() as tx:
        for item, ticked in zip((items[0], items[2]), (first, last), strict=True):
            assert [event.clock_id for event in tx.sla_clocks.events_of(item.id)] == [ticked.id]
        assert tx.sla_clocks.list_due_items(clock.at, limit=9) == []
    assert sla.tick() == 0


def corrupt_clock(store: AnyStore, clock_id: ClockId, fault: str) -> None:
    if isinstance(store, MemoryStore):
        with store.begin() as tx:
            row = tx.tables.sla_clocks.rows[clock_id]
            tx.sla_clocks.replace([evolve(row, pins=Pins(policy_id=99, policy_version=9))])
        return
    values: dict[str, Any] = {"policy_id": 99, "policy_version": 9}
    if fault == "an unknown phase":
        values = {"phase": 9}
    if fault == "a time" and dialect(store) in BEFORE_ALL_TIMES:
        values = {"next_event_at": literal_column(BEFORE_ALL_TIMES[dialect(store)])}
    corrupt(store, sla_clocks, clock_id, **values)


# the audit log


@define
class CheckpointList:
    """Checkpoints outside the store."""

    checkpoints: list[Checkpoint] = Factory(list[Checkpoint])

    def append(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)

    def read(self) -> list[Checkpoint]:
        return self.checkpoints


def test_an_audit_entry_that_cannot_be_sealed_is_left_out(
    store: AnyStore, clock: ManualClock, reporter: RecordingReporter
) -> None:
    with store.begin() as tx:
        for number in range(3):
            tx.audit.add(
                AuditEntry(
                    user_id=UserId(1),
                    action="CREATE",
                    model_name="Thing",
                    object_id=str(number),
                    at=NOON,
                )
            )
    corrupt_entry(store, 2)
    clock.at = after(60)
    sealer = AuditSealer(
        store=store,
        clock=clock,
        signer=CheckpointSigner.of([]),
        log=CheckpointList(),
        reporter=reporter,
    )
    assert sealer.seal() == 2
    assert reporter.reports == [("audit_entry", 2)]
    with store.view() as tx:
        assert tx.audit_chain.count_unsealed() == 1
        assert [each.record.id for each in tx.audit_chain.iterate_sealed(after=0, limit=9)] == [
            1,
            3,
        ]
    assert sealer.seal() == 0
    assert reporter.reports == [("audit_entry", 2)]


def corrupt_entry(store: AnyStore, audit_id: int) -> None:
    if not isinstance(store, MemoryStore):
        corrupt(store, audit, audit_id, changes="{broken")
        return
    with store.begin() as tx:
        row = tx.tables.audit.rows[audit_id]
        record = evolve(row.record, changes=cast(Any, {"a": object()}))
        tx.tables.audit.put(audit_id, evolve(row, record=record))


def test_an_error_of_the_chain_itself_is_raised(
    store: AnyStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.begin() as tx:
        tx.audit.add(
            AuditEntry(user_id=UserId(1), action="C", model_name="T", object_id="1", at=NOON)
        )
        chain = type(tx.audit_chain)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(chain, "append", broken)
    clock.at = after(60)
    sealer = AuditSealer(
        store=store, clock=clock, signer=CheckpointSigner.of([]), log=CheckpointList()
    )
    with pytest.raises(ZeroDivisionError):
        sealer.seal()
