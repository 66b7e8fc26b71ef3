"""One empty store of each kind, for the suites that specify the ports."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import mkdtemp

import pytest
from attrs import Factory, define

from tests.contract.factories import AnyStore, ManualClock
from workbell.adapters.memory.store import MemoryStore

KINDS = (
    "memory",
    "sqlite",
    *[pytest.param(kind, marks=pytest.mark.integration) for kind in ("postgresql", "mariadb")],
)


@cache
def _migrated_file() -> Path:
    """Return a migrated SQLite file, to be copied."""
    sql = pytest.importorskip("workbell.adapters.sql.store", exc_type=ImportError)
    folder = mkdtemp(prefix="workbell-contract-")
    atexit.register(rmtree, folder)
    path = Path(folder) / "empty.db"
    store = sql.open_store(f"sqlite:///{path}", ManualClock())
    store.migrate()
    store.close()
    return path


@contextmanager
def empty_store(kind: str, tmp_path: Path, clock: ManualClock) -> Iterator[AnyStore]:
    """Open an empty store of a kind; one that is not there is skipped."""
    if kind == "memory":
        yield MemoryStore(clock)
        return
    if kind != "sqlite":
        from tests.contract.servers import server

        yield server(kind).store(clock)
        return
    path = tmp_path / "contract.db"
    copyfile(_migrated_file(), path)
    from workbell.adapters.sql.store import open_store

    store = open_store(f"sqlite:///{path}", clock)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock fixed at noon."""
    return ManualClock()


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[AnyStore]:
    """Return an empty store of each kind."""
    with empty_store(request.param, tmp_path, clock) as opened:
        yield opened


@define
class Bell:
    """A waker that remembers whom it woke."""

    rung: list[str] = Factory(list[str])

    def wake(self, queue: str) -> None:
        """Note the queue."""
        self.rung.append(queue)


@pytest.fixture
def client(store: AnyStore) -> Bell:
    """Return the store's waker."""
    store.waker = client = Bell()
    return client
