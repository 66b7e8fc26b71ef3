"""SQLite's group commit: waiting, errors and rollbacks."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest
from attrs import Factory, define

from tests.contract.factories import NOON, ManualClock, a_job, claim, ended, keep, write
from workbell.adapters.sql.database.sqlite import MAX_GROUP_SIZE, SqliteConnections, Writer
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.domain.errors import Conflict, NotFound, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import JobId
from workbell.ports.jobs.views import JobFilter

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/store.db", ManualClock())
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the writer runs to begin, to keep and to undo."""
    run: list[str] = []
    plain = Writer._run

    def noted(self: Writer, statement: str) -> None:
        run.append(statement)
        plain(self, statement)

    monkeypatch.setattr(Writer, "_run", noted)
    return run


@pytest.fixture
def commits_fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes every COMMIT fail from then on, but no ROLLBACK."""
    plain = Writer._run

    def failing(self: Writer, statement: str) -> None:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        plain(self, statement)

    return lambda: monkeypatch.setattr(Writer, "_run", failing)


def writer_of(store: SqlStore) -> Writer:
    assert isinstance(store._connections, SqliteConnections)
    return store._connections.writer


def add(store: SqlStore, name: str, *, then: Exception | None = None) -> None:
    with store.begin() as tx:
        tx.jobs.add([a_job(name=name)], NOON)
        if then is not None:
            raise then


def names(store: SqlStore) -> list[str]:
    with store.view() as tx:
        return [
            job.name for job in tx.jobs.find(ALL_OWNERS, JobFilter(), ordering=["id"], limit=999)
        ]


@define
class Held:
    """A block that holds the write connection while other threads queue up."""

    store: SqlStore
    pool: ThreadPoolExecutor
    go_on: Event = Factory(Event)

    def start(self, name: str = "first") -> Future[None]:
        inside = Event()

        def work() -> None:
            with self.store.begin() as tx:
                tx.jobs.add([a_job(name=name)], NOON)
                inside.set()
                assert self.go_on.wait(10)

        future = self.pool.submit(work)
        assert inside.wait(10)
        return future

    def queue_up(self, work: Callable[[], None]) -> Future[None]:
        waiting = writer_of(self.store)._waiting
        before = len(waiting)
        future = self.pool.submit(work)
        deadline = monotonic() + 10
        while len(waiting) == before and monotonic() < deadline:
            sleep(0.001)
        assert len(waiting) == before + 1
        return future


@pytest.fixture
def held(store: SqlStore) -> Iterator[Held]:
    with ThreadPoolExecutor(80) as pool:
        yield Held(store, pool)


def test_members_of_a_group_share_one_commit(
    store: SqlStore, held: Held, statements: list[str]
) -> None:
    members = [held.start(), *[held.queue_up(lambda: add(store, "next")) for _ in range(9)]]
    held.go_on.set()
    for member in members:
        member.result(10)
    assert statements.count("BEGIN IMMEDIATE") == statements.count("COMMIT") == 1
    assert len(names(store)) == 10


def test_transactions_run_in_the_order_of_their_requests(store: SqlStore, held: Held) -> None:
    def adding(name: str) -> Callable[[], None]:
        return lambda: add(store, name)

    members = [held.start("0"), *[held.queue_up(adding(str(n))) for n in range(1, 20)]]
    held.go_on.set()
    for member in members:
        member.result(10)
    assert names(store) == [str(n) for n in range(20)]


def test_the_64th_member_commits_though_others_wait(
    store: SqlStore, held: Held, statements: list[str]
) -> None:
    members = [held.start(), *[held.queue_up(lambda: add(store, "next")) for _ in range(69)]]
    held.go_on.set()
    for member in members:
        member.result(10)
    first = statements.index("COMMIT")
    assert statements[:first].count("SAVEPOINT member") == MAX_GROUP_SIZE
    assert len(names(store)) == 70


def test_a_failed_commit_is_raised_by_every_member_and_nothing_stays(
    store: SqlStore, held: Held, commits_fail: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, "kept")
    commits_fail()
    members = [held.start(), *[held.queue_up(lambda: add(store, "next")) for _ in range(5)]]
    held.go_on.set()
    for member in members:
        with pytest.raises(Unavailable):
            member.result(10)
    assert names(store) == ["kept"]
    monkeypatch.undo()
    add(store, "after")
    assert names(store) == ["kept", "after"]


def test_a_member_that_raises_is_undone_alone(store: SqlStore, held: Held) -> None:
    bad = [
        held.start(),
        held.queue_up(lambda: add(store, "second")),
        held.queue_up(lambda: add(store, "bad", then=ZeroDivisionError())),
        held.queue_up(lambda: add(store, "third")),
    ].pop(2)
    held.go_on.set()
    with pytest.raises(ZeroDivisionError):
        bad.result(10)
    held.pool.shutdown()
    assert names(store) == ["first", "second", "third"]


def test_a_failing_block_raises_unavailable_if_the_group_is_lost(
    store: SqlStore, held: Held, commits_fail: Callable[[], None]
) -> None:
    """Else it could report a conflict with a row that never existed."""
    commits_fail()
    first = held.start()
    raising = held.queue_up(lambda: add(store, "bad", then=Conflict("It is taken.")))
    held.go_on.set()
    for member in (first, raising):
        with pytest.raises(Unavailable):
            member.result(10)


def test_a_lone_member_that_raises_rolls_back(store: SqlStore, statements: list[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        add(store, "bad", then=ZeroDivisionError())
    assert statements[-1] == "ROLLBACK"
    assert names(store) == []


def test_if_sqlite_rolls_back_every_earlier_member_raises(store: SqlStore, held: Held) -> None:
    def lose() -> None:
        with store.begin() as tx:
            tx.jobs.add([a_job(name="lost")], NOON)
            tx.db.exec_driver_sql("ROLLBACK")

    members = [held.start(), held.queue_up(lose)]
    later = held.queue_up(lambda: add(store, "later"))
    held.go_on.set()
    for member in members:
        with pytest.raises(Unavailable):
            member.result(10)
    later.result(10)
    assert names(store) == ["later"]


def test_after_a_lost_transaction_the_rest_of_the_block_is_rolled_back(store: SqlStore) -> None:

    def lose_and_go_on() -> None:
        with store.begin() as tx:
            tx.db.exec_driver_sql("ROLLBACK")
            with pytest.raises(Exception, match="no such table"):
                tx.db.exec_driver_sql("SELECT * FROM nowhere")
            tx.jobs.add([a_job(name="stray")], NOON)

    with pytest.raises(Unavailable):
        lose_and_go_on()
    assert names(store) == []


def test_a_begin_that_fails_lets_the_next_one_in(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(self: Writer, statement: str) -> None:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_run", locked)
        with pytest.raises(Unavailable, match="locked"), store.begin():
            pass
    add(store, "next")
    assert names(store) == ["next"]


def test_a_full_disk_is_unavailable_and_loses_nothing_acknowledged(store: SqlStore) -> None:
    add(store, "kept")
    driver = writer_of(store)._driver
    (pages,) = driver.execute("PRAGMA page_count").fetchone()
    driver.execute(f"PRAGMA max_page_count={pages + 20}")
    acknowledged = ["kept"]

    def fill() -> None:
        for n in range(100):
            keep(store, a_job(name=str(n), parameters={"x": "y" * 9000}))
            acknowledged.append(str(n))

    with pytest.raises(Unavailable, match="full"):
        fill()
    assert names(store) == acknowledged
    driver.execute("PRAGMA max_page_count=1000000")
    add(store, "after")
    assert names(store)[-1] == "after"
    assert driver.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("threads", [8, 32])
def test_commits_of_many_threads_are_stored(store: SqlStore, threads: int) -> None:
    def work(thread: int) -> int:
        kept = 0
        for n in range(25):
            try:
                add(store, f"{thread}/{n}", then=NotFound() if n % 5 == 4 else None)
                kept += 1
            except NotFound:
                pass
        return kept

    with ThreadPoolExecutor(threads) as pool:
        kept = sum(pool.map(work, range(threads)))
    assert kept == len(names(store)) == threads * 20


def test_a_second_process_can_write_at_the_same_time(store: SqlStore, tmp_path: Path) -> None:
    other = open_store(f"sqlite:///{tmp_path}/store.db", ManualClock())

    def add_fifty(opened: SqlStore) -> None:
        for _ in range(50):
            add(opened, "x")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add_fifty, (store, other)))
    other.close()
    assert len(names(store)) == 100


def test_no_worker_is_woken_if_the_commit_fails(
    store: SqlStore, commits_fail: Callable[[], None]
) -> None:
    rung: list[str] = []

    class Bell:
        def wake(self, queue: str) -> None:
            rung.append(queue)

        def stop_job(self, worker: str, job_id: JobId) -> None:
            """Do nothing."""

    store.waker = Bell()
    add(store, "kept")
    commits_fail()
    with pytest.raises(Unavailable):
        add(store, "lost")
    assert rung == ["default"]


def test_a_backup_is_taken_while_the_store_is_in_use(store: SqlStore, tmp_path: Path) -> None:
    keep(store, *[a_job(name=str(n)) for n in range(20)])
    target = tmp_path / "copy.db"
    with store.begin() as tx:
        tx.jobs.add([a_job(name="not yet")], NOON)
        store.backup(target)
    copy = open_store(f"sqlite:///{target}", ManualClock())
    assert names(copy) == [str(n) for n in range(20)]
    copy.close()
    with pytest.raises(Conflict):
        store.backup(target)


def test_ids_are_not_used_again(store: SqlStore) -> None:
    jobs = keep(store, a_job(), a_job())
    write(store, *[ended(each) for each in claim(store)])
    with store.begin() as tx:
        tx.jobs.prune(
            [job.state for job in tx.jobs.find(ALL_OWNERS, JobFilter())],
            NOON.replace(year=2031),
            limit=9,
        )
    assert names(store) == []
    (again,) = keep(store, a_job())
    assert again.id == JobId(jobs[-1].id + 1)


def test_unsupported_urls_are_refused() -> None:
    for url in ("sqlite://", "sqlite:///:memory:", "oracle://host/db"):
        with pytest.raises(ValueError, match=r"SQLite|not supported"):
            open_store(url, ManualClock())
