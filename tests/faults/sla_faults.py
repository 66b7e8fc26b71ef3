"""Faults of service levels: tickers that are killed in the middle of a tick."""

import random
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from attrs import frozen

from tests.faults.cluster import SECRET_KEY, Cluster
from tests.faults.delivery_faults import CASES
from tests.faults.faults import fault, open_application
from tests.faults.ledger import Row
from workbell.domain.identity.user import User
from workbell.domain.jobs.job import JobId
from workbell.domain.notifications.notice import Notification, NotificationId
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project, ProjectMember, ProjectRole
from workbell.domain.projects.sla.clock import (
    COUNTING,
    DUE_RULES,
    ClockKind,
    ClockPhase,
    SlaClock,
    new_segments,
    start_clock,
)
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings

__all__ = ["CASES"]

TASKS = 300
"""Tasks that become due before each kill; a tick takes them in one transaction."""
WANTED = ["warning", "breach"]


def tick_forever(url: str, folder: Path) -> None:
    """Report due clocks as soon as a line is read, until the process is killed."""
    settings = Settings(
        database_url=url, data_dir=folder, secret_key=SECRET_KEY, database_pool_size=2
    )
    ticker = build(settings).projects.sla_ticker
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        print(ticker.tick(), flush=True)


@frozen(kw_only=True)
class Backlog:
    """A project whose tasks have passed their due dates, unnoticed."""

    application: Application
    board: Board
    user: User

    @classmethod
    def create(cls, application: Application) -> "Backlog":
        """Insert a user, a project and a board."""
        now, name = application.clock.now(), f"reporter-{time.monotonic_ns()}"
        with application.store.begin() as tx:
            user = tx.users.add(User(username=name, email=f"{name}@example.com", created_at=now))
            project = tx.projects.add(
                Project(name=name, owner_id=user.id, created_at=now, updated_at=now)
            )
            member = ProjectMember(
                project_id=project.id, user_id=user.id, role=ProjectRole.ADMIN, joined_at=now
            )
            tx.project_members.add(member)
            board = tx.boards.add(
                Board(project_id=project.id, name=name, position=1, created_at=now, updated_at=now)
            )
        return cls(application=application, board=board, user=user)

    def add(self, start: int) -> list[WorkItemId]:
        """Insert tasks that were due an hour ago, from a number on."""
        now = self.application.clock.now()
        with self.application.store.begin() as tx:
            items = [tx.work_items.add(self._make_item(start + n, now)) for n in range(TASKS)]
            tx.sla_clocks.add([_make_clock(item, now - timedelta(hours=6)) for item in items])
        return [item.id for item in items]

    def _make_item(self, n: int, now: datetime) -> WorkItem:
        return WorkItem(
            project_id=self.board.project_id,
            board_id=self.board.id,
            title=f"Task {n}",
            reporter_id=self.user.id,
            due_date=now - timedelta(hours=1),
            rank=f"{n:09}1",
            created_at=now,
            updated_at=now,
        )

    def check(self, row: Row, items: list[WorkItemId]) -> None:
        """Account for the events, the notices and the mail jobs of tasks."""
        row.jobs = len(items)
        with self.application.store.view() as tx:
            for item_id in items:
                kinds = [stored.event.kind for stored in tx.sla_clocks.events_of(item_id)]
                row.lost += kinds != WANTED
            notices: list[Notification] = []
            last: NotificationId | None = None
            while page := tx.notices.list_page(self.user.id, before_id=last, limit=100)[0]:
                notices += page
                last = page[-1].id
        by_item = Counter((notice.object_id, notice.kind) for notice in notices)
        row.doubled += sum(number - 1 for number in by_item.values())
        row.expect(len(by_item) == len(items), f"{len(by_item)} notices of {len(items)} breaches")
        jobs: set[JobId | None] = {notice.mail_job_id for notice in notices}
        row.expect(None not in jobs and len(jobs) == len(notices), "an email has no job")


def _make_clock(item: WorkItem, started_at: datetime) -> SlaClock:
    clock = SlaClock(
        work_item_id=item.id,
        project_id=item.project_id,
        kind=ClockKind.DUE,
        phase=ClockPhase.RUNNING,
        due_date=item.due_date,
        started_at=started_at,
        segments=new_segments(ClockPhase.RUNNING, COUNTING, started_at),
    )
    return start_clock(clock, DUE_RULES, started_at)[0]


@fault("S1", by_name=True)
def sla_tickers_killed(cluster: Cluster, kills: int) -> Row:
    """Kill a ticker in the middle of a tick, beside the one of the installation."""
    row = Row("S1", "SIGKILL of a ticker while SLA clocks are due", f"{kills} kills")
    row.database = cluster.database.kind
    chance, cut = random.Random(1), 0
    application = open_application(cluster)
    command = [sys.executable, "-m", "tests.faults.sla_faults", cluster.database.url]
    command.append(str(cluster.folder / "data"))
    try:
        backlog = Backlog.create(application)
        items: list[WorkItemId] = []
        for n in range(kills):
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as child:
                assert child.stdin is not None and child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                items += backlog.add(n * TASKS)
                child.stdin.write("go\n")
                child.stdin.flush()
                time.sleep(chance.uniform(0.0, 0.5))
                child.kill()
                cut += child.stdout.read() == ""  # it had not finished its first tick
        began = time.monotonic()
        while (due := application.projects.sla_ticker.next_due()) is not None:
            if due > application.clock.now():
                break
            application.projects.sla_ticker.tick()
        row.drain = time.monotonic() - began
        backlog.check(row, items)
    finally:
        application.close()
    row.note = f"{cut} in the middle of a tick"
    return row


if __name__ == "__main__":
    tick_forever(sys.argv[1], Path(sys.argv[2]))
