"""SLA benchmark: the tick with many open clocks, idle and with clocks due."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

from attrs import define, evolve
from sqlalchemy import Connection, Table, create_engine, insert, text

from workbell.adapters.sql.database.column_types import to_db_values
from workbell.adapters.sql.projects.rows import item_values
from workbell.adapters.sql.projects.sla.rows import clock_values
from workbell.adapters.sql.schema.projects import work_items
from workbell.adapters.sql.schema.sla import clocks
from workbell.domain.identity.user import User
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project, ProjectMember, ProjectRole
from workbell.domain.projects.sla.calendar import BusinessCalendar, parse_hours
from workbell.domain.projects.sla.clock import (
    COUNTING,
    ClockKind,
    ClockPhase,
    ClockRules,
    Pins,
    SlaClock,
    new_segments,
    start_clock,
)
from workbell.domain.projects.sla.policy import (
    EscalationStep,
    PriorityTarget,
    Recipient,
    SlaPolicy,
    SlaTerms,
)
from workbell.domain.projects.work_item import WorkItem, WorkItemId, WorkItemPriority
from workbell.entrypoints.bench.rows import Row, report
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bootstrap.application import Application

START: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
IDLE_TICKS: Final = 2_000
FILL: Final = 10_000
KINDS: Final = (ClockKind.FIRST_RESPONSE, ClockKind.RESOLUTION)
OFFICE: Final = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
TERMS: Final = SlaTerms(
    targets={
        WorkItemPriority.MEDIUM: PriorityTarget(
            first_response_minutes=60, resolution_minutes=2_400
        ),
    },
    escalation=(EscalationStep(after_minutes=600, notify=(Recipient.MANAGER,)),),
)


@define
class _ManualClock:
    """A clock that is set by hand."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@define
class _Fixture:
    """A board whose tasks have clocks under a policy with business hours."""

    board: Board
    user: User
    pins: Pins
    rules: ClockRules


def measure(target: Target, size: int, bursts: Sequence[int]) -> list[Row]:
    """Return a row for the idle tick, and one for each number of clocks due at once."""
    clock = _ManualClock(START)
    with target.application((), clock) as application:
        report(f"{size:,} open clocks: filling the tables")
        _fill(application, size, bursts)
        rows = [_time_idle(application, size)]
        for burst in bursts:
            clock.at += timedelta(hours=1)
            rows.append(_time_burst(application, size, burst))
    for row in rows:
        report(", ".join(f"{key} {value}" for key, value in row.items()))
    return rows


def _time_idle(application: Application, size: int) -> Row:
    ticker, times = application.projects.sla_ticker, []
    started_cpu = time.process_time()
    for _ in range(IDLE_TICKS):
        started = time.perf_counter()
        assert ticker.tick() == 0
        times.append(time.perf_counter() - started)
    cpu = (time.process_time() - started_cpu) / IDLE_TICKS
    return _row(size, 0, median(times), cpu)


def _time_burst(application: Application, size: int, burst: int) -> Row:
    started, started_cpu = time.perf_counter(), time.process_time()
    ticked = application.projects.sla_ticker.tick()
    seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    if ticked != burst:
        raise RuntimeError(f"{ticked} clocks were due instead of {burst}.")
    return _row(size, burst, seconds, cpu)


def _row(size: int, burst: int, seconds: float, cpu: float) -> Row:
    return {
        "open clocks": size,
        "due": burst,
        "tick, ms": round(seconds * 1000, 3),
        "processor time, ms": round(cpu * 1000, 3),
        "clocks/s": round(burst / seconds),
    }


def _fill(application: Application, size: int, bursts: Sequence[int]) -> None:
    """Insert two clocks a task; burst `n` has a breach at `n` hours after the start."""
    fixture = _make_fixture(application)
    hours = [n for n, burst in enumerate(bursts, 1) for _ in range(burst)]
    engine = create_engine(application.settings.database_url)
    for begin in range(1, size // len(KINDS) + 1, FILL):
        ids = range(begin, min(begin + FILL, size // len(KINDS) + 1))
        items = [item_values(_make_item(fixture, n)) | {"id": n} for n in ids]
        made = [
            clock_values(clock)
            for n in ids
            for clock in _make_clocks(fixture, n, hours[n - 1] if n <= len(hours) else None)
        ]
        with engine.begin() as connection:
            _insert(connection, work_items, items)
            _insert(connection, clocks, made)
    with engine.begin() as connection:  # autovacuum does it on a server in use
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE workbell_sla_clocks, workbell_work_items"))
    engine.dispose()


def _make_fixture(application: Application) -> _Fixture:
    made: dict[str, Any] = {"created_at": START, "updated_at": START}
    hours = parse_hours("Europe/Berlin", OFFICE, {}, START)
    with application.store.begin() as tx:
        user = tx.users.add(User(username="bench", email="bench@example.com", created_at=START))
        project = tx.projects.add(Project(name="Bench", owner_id=user.id, **made))
        member = ProjectMember(
            project_id=project.id, user_id=user.id, role=ProjectRole.ADMIN, joined_at=START
        )
        tx.project_members.add(member)
        board = tx.boards.add(Board(project_id=project.id, name="Bench", position=1, **made))
        calendar = tx.sla_calendars.add(
            BusinessCalendar(project_id=project.id, name="Office", hours=hours, **made)
        )
        policy = tx.sla_policies.add(
            SlaPolicy(
                project_id=project.id, name="Bench", calendar_id=calendar.id, terms=TERMS, **made
            )
        )
    pins = Pins(policy_id=policy.id, policy_version=1, calendar_id=calendar.id, calendar_version=1)
    return _Fixture(board, user, pins, TERMS.rules(hours))


def _make_item(fixture: _Fixture, n: int) -> WorkItem:
    return WorkItem(
        project_id=fixture.board.project_id,
        board_id=fixture.board.id,
        title=f"Task {n}",
        reporter_id=fixture.user.id,
        rank=f"{n:09}1",
        created_at=START,
        updated_at=START,
    )


def _make_clocks(fixture: _Fixture, n: int, hour: int | None) -> Iterator[SlaClock]:
    """Yield the clocks of task `n`; one of them is breached after an hour, if given."""
    for kind in KINDS:
        started = START + timedelta(days=1, seconds=n % 86_400)
        clock = SlaClock(
            work_item_id=WorkItemId(n),
            project_id=fixture.board.project_id,
            kind=kind,
            phase=ClockPhase.RUNNING,
            pins=fixture.pins,
            target=TERMS.target(kind, WorkItemPriority.MEDIUM),
            started_at=started,
            segments=new_segments(ClockPhase.RUNNING, COUNTING, started),
        )
        if hour is not None and kind is ClockKind.RESOLUTION:
            begun = START + timedelta(minutes=hour * 60 - 30)
            clock = evolve(
                clock,
                target=timedelta(minutes=30),
                started_at=begun,
                warned_at=begun,
                segments=new_segments(ClockPhase.RUNNING, COUNTING, begun),
            )
        yield start_clock(clock, fixture.rules, clock.started_at)[0]


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, on PostgreSQL by COPY: a million within a minute."""
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), list(rows))
        return
    names = list(rows[0])
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(to_db_values(row.values(), connection.dialect))
