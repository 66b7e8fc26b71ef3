"""Projects benchmark: lists and moves at 100,000 tasks."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from random import Random
from statistics import median

import click
from attrs import frozen
from sqlalchemy import Connection, Engine, Table, create_engine, insert

from workbell.adapters.sql.schema.projects import (
    boards,
    project_members,
    projects,
    work_item_labels,
    work_items,
)
from workbell.adapters.sql.schema.tables import users
from workbell.domain.identity.actor import ALL_OWNERS, Actor, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.projects.board import DEFAULT_COLUMNS, BoardId
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.rank import spread
from workbell.domain.projects.work_item import WorkItemPriority, WorkItemStatus
from workbell.entrypoints.bench.rows import FigureRows, Row
from workbell.entrypoints.bench.targets import Target, open_application
from workbell.entrypoints.bench.workers import percentiles
from workbell.entrypoints.bootstrap.application import Application
from workbell.ports.projects.repository import WorkItemFilter
from workbell.services.projects.requests import Move

USERS, PROJECTS, BOARDS = 200, 50, 4
BIG = ProjectId(1)
"""The project of every fifth task; the others are spread over the rest."""
BIG_BOARD = BoardId(1)
MANAGER, MEMBER = UserId(2), UserId(3)
"""Members of the big project and three others, and of a small project."""
FILL, ROUNDS = 5_000, 10
DELETED = 50
"""One in this many tasks is deleted, which has a rank and cannot be moved."""
MOVES, SHOWN = 500, 5
"""How many tasks move, and how many of the slowest lists have rows of their own."""
YEAR = timedelta(days=365)
TODO, DONE = WorkItemStatus.TODO, WorkItemStatus.DONE
OPEN = [status for status in WorkItemStatus if status is not DONE]

ORDERS = (
    *("position", "-created_at", "created_at", "-updated_at", "due_date", "-due_date"),
    *("-priority", "status", "title", "sla_due_at", "-sla_due_at"),
)


@frozen
class TaskList:
    """A list of tasks: its scope, filters and order."""

    name: str
    scope: Scope
    filters: WorkItemFilter
    order: str


def _lists(now: datetime) -> Iterator[TaskList]:
    """Yield every combination of scope, filters and order that is measured."""
    soon, small = now + timedelta(days=7), ProjectId(7)
    filters = {
        "all": WorkItemFilter(),
        "open": WorkItemFilter(statuses=OPEN),
        "done": WorkItemFilter(statuses=[DONE]),
        "urgent": WorkItemFilter(statuses=[TODO], priorities=[WorkItemPriority.CRITICAL]),
        "high": WorkItemFilter(priorities=[WorkItemPriority.HIGH, WorkItemPriority.CRITICAL]),
        "assigned": WorkItemFilter(assignee_id=UserId(9)),
        "assigned and open": WorkItemFilter(assignee_id=UserId(9), statuses=OPEN),
        "reported": WorkItemFilter(reporter_id=UserId(9)),
        "labelled": WorkItemFilter(label="label 5"),
        "labelled and open": WorkItemFilter(label="common", statuses=OPEN),
        "breached": WorkItemFilter(is_sla_breached=True),
        "due": WorkItemFilter(due_from=now, due_to=soon, statuses=OPEN),
        "project": WorkItemFilter(project_id=BIG),
        "project, open": WorkItemFilter(project_id=BIG, statuses=OPEN),
        "small project": WorkItemFilter(project_id=small, statuses=OPEN),
        "board": WorkItemFilter(board_id=BIG_BOARD),
        "board, assigned": WorkItemFilter(board_id=BIG_BOARD, assignee_id=UserId(9)),
    }
    scopes = {
        "superuser": ALL_OWNERS,
        "manager": Scope(owner=MANAGER),
        "member": Scope(owner=MEMBER),
    }
    for caller, scope in scopes.items():
        for what, conditions in filters.items():
            for order in ORDERS:
                yield TaskList(f"{caller}: {what} by {order}", scope, conditions, order)


def measure(target: Target, tasks: int) -> list[Row]:
    """Fill an empty database and run the benchmark; return its rows."""
    figures = FigureRows(2)
    now = datetime.now(UTC)
    with target.settings() as settings, open_application(settings) as application:
        engine = create_engine(settings.database_url)
        _fill(engine, tasks, now)
        engine.dispose()
        _measure_lists(application, figures, now)
        _measure_moves(application, figures)
    return figures.rows


def _measure_lists(application: Application, figures: FigureRows, now: datetime) -> None:
    lists = [*_lists(now)]
    times: dict[str, list[float]] = {each.name: [] for each in lists}
    used = time.process_time()
    with click.progressbar(length=len(lists) * (ROUNDS + 1), label="Listing") as bar:
        for turn in range(ROUNDS + 1):
            for each in lists:
                duration = _timed(partial(_read, application, each))
                if turn:  # the first turn reads pages into the caches
                    times[each.name].append(duration)
                bar.update(1)
    p50, p95 = percentiles([one for some in times.values() for one in some], 95)
    figures.add("list of 20, p50", p50, "ms")
    figures.add("list of 20, p95", p95, "ms")
    figures.add("list of 20, processor time", _each(used, len(lists) * (ROUNDS + 1)), "ms")
    medians = {name: median(some) for name, some in times.items()}
    for name in sorted(medians, key=lambda name: -medians[name])[:SHOWN]:
        figures.add(f"{name}, p50", medians[name], "ms")


def _read(application: Application, task_list: TaskList) -> None:
    with application.store.view() as tx:
        tx.work_items.list_page(
            task_list.scope, task_list.filters, ordering=(task_list.order,), limit=20
        )


def _measure_moves(application: Application, figures: FigureRows) -> None:
    """Move tasks to random places of the big board."""
    with application.store.view() as tx:
        ids = [each for each in tx.work_items.ids_by_rank(BIG_BOARD) if each % DELETED]
        actor = Actor.of(tx.users.get(MANAGER))
    random, service, times = Random(1), application.projects.work_items, []  # noqa: S311
    used = time.process_time()
    for _ in range(MOVES):
        item_id, neighbour = random.sample(ids, 2)
        move = Move(after=neighbour)
        times.append(_timed(partial(service.move, actor, item_id, move)))
    p50, p95 = percentiles(times, 95)
    figures.add("move, p50", p50, "ms")
    figures.add("move, p95", p95, "ms")
    figures.add("move, processor time", _each(used, MOVES), "ms")


def _each(used: float, count: int) -> float:
    """Return the processor time of each of some operations in ms, without a server's."""
    return (time.process_time() - used) * 1000 / count


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _fill(engine: Engine, tasks: int, now: datetime) -> None:
    with engine.begin() as db, click.progressbar(length=tasks, label="Filling") as bar:
        _insert(db, users, (_user(n, now) for n in range(1, USERS + 1)))
        _insert(db, projects, (_project(n, now) for n in range(1, PROJECTS + 1)))
        _insert(db, project_members, _members(now))
        _insert(db, boards, (_board(n, now) for n in range(1, PROJECTS * BOARDS + 1)))
        _insert(db, work_items, _tasks(tasks, now), bar.update)
        _insert(db, work_item_labels, _labels(_tasks(tasks, now)))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        if db.dialect.name == "postgresql":
            for table in ("users", "projects", "project_members", "boards", "work_items"):
                name = f"workbell_{table}"
                last = f"(SELECT max(id) FROM {name})"  # noqa: S608 - our own names
                db.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {last})")
            db.exec_driver_sql("VACUUM ANALYZE")
        elif db.dialect.name != "sqlite":
            for table in (
                "projects",
                "project_members",
                "boards",
                "work_items",
                "work_item_labels",
            ):
                db.exec_driver_sql(f"ANALYZE TABLE workbell_{table}")


def _insert(
    db: Connection, table: Table, rows: Iterator[Row], on_rows: Callable[[int], None] | None = None
) -> None:
    while chunk := list(islice(rows, FILL)):
        db.execute(insert(table), chunk)
        if on_rows is not None:
            on_rows(len(chunk))


def _user(n: int, now: datetime) -> Row:
    name = f"user{n}"
    return {
        "id": n, "username": name, "username_key": name, "email": f"{name}@example.org",
        "email_key": f"{name}@example.org", "first_name": "", "last_name": "",
        "password_hash": "", "role": "MEMBER", "tier": "free", "is_super_user": n == 1,
        "is_active": True, "is_email_verified": True, "time_zone": "UTC",
        "token_version": 0, "created_at": now,
    }  # fmt: skip


def _project(n: int, now: datetime) -> Row:
    return {
        "id": n, "name": f"Project {n}", "description": "", "owner_id": 1, "is_archived": False,
        "created_at": now, "updated_at": now, "deleted_at": now if n == PROJECTS else None,
    }  # fmt: skip


def _members(now: datetime) -> Iterator[Row]:
    members = {(n, 1, "ADMIN") for n in range(1, PROJECTS + 1)} | {
        *((n, MANAGER, "MANAGER") for n in (BIG, 5, 6, 7)), (7, MEMBER, "MEMBER"),
    }  # fmt: skip
    for project_id, user_id, role in sorted(members):
        yield {"project_id": project_id, "user_id": user_id, "role": role, "joined_at": now}


def _board(n: int, now: datetime) -> Row:
    columns = [
        {"name": each.name, "status": each.status, "wip_limit": None} for each in DEFAULT_COLUMNS
    ]
    return {
        "id": n, "project_id": (n - 1) // BOARDS + 1, "name": f"Board {n}", "description": "",
        "position": n % BOARDS, "columns": columns, "transitions": None, "version": 1,
        "created_at": now, "updated_at": now, "deleted_at": now if n % 40 == 0 else None,
    }  # fmt: skip


def _tasks(count: int, now: datetime) -> Iterator[Row]:
    """Yield tasks of the last year; most of the older ones are done."""
    random, ranks = Random(1), spread(count)  # noqa: S311
    for n in range(1, count + 1):
        project = BIG if n % 5 == 0 else 2 + n % (PROJECTS - 1)
        created = now - YEAR * (1 - n / count)
        is_done = random.random() < 0.95 - 0.8 * (n / count) ** 4
        status = len(OPEN) if is_done else random.randrange(len(OPEN))
        due = created + timedelta(days=random.uniform(1, 60)) if n % 2 else None
        yield {
            "id": n, "project_id": project,
            "board_id": (project - 1) * BOARDS + 1 + n // 7 % BOARDS,
            "title": f"{random.choice(WORDS)} the {random.choice(WORDS)} {n}",
            "status": status, "priority": min(3, int(random.expovariate(1.2))),
            "assignee_id": random.randrange(1, USERS) if n % 4 else None,
            "reporter_id": random.randrange(1, USERS), "due_date": due,
            "estimated_hundredths": 100, "rank": ranks[n - 1], "comment_count": 0,
            "is_sla_breached": n % 97 == 0,
            "sla_due_at": None if is_done or n % 3 else created + timedelta(days=3),
            "version": 1, "created_at": created,
            "updated_at": created + (now - created) * random.random() ** 3,
            "completed_at": now if is_done else None,
            "deleted_at": now if n % DELETED == 0 else None,
            "labels": _names(n), "description": "A sentence that describes the task. " * 10,
        }  # fmt: skip


WORDS = ("Login", "Search", "Export", "Report", "Invoice", "Upload", "Cache", "Mail", "Budget")


def _names(n: int) -> Sequence[str]:
    return [f"label {n % 40}", *(["common"] if n % 3 == 0 else [])]


def _labels(tasks: Iterator[Row]) -> Iterator[Row]:
    for task in tasks:
        for label in task["labels"] if task["deleted_at"] is None else ():
            yield {
                "work_item_id": task["id"], "label": label, "board_id": task["board_id"],
                "status": task["status"],
            }  # fmt: skip
