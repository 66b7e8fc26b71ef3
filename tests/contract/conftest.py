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
from tests.contract.servers import SERVER_KINDS, server
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.sql.store import open_store
from workbell.domain.jobs.job import JobId

KINDS = (
    "memory",
    "sqlite",
    *[pytest.param(kind, marks=pytest.mark.integration) for kind in SERVER_KINDS],
)


@cache
def _migrated_file() -> Path:
    """Return a migrated SQLite file, to be copied."""
    folder = mkdtemp(prefix="workbell-contract-")
    atexit.register(rmtree, folder)
    path = Path(folder) / "empty.db"
    store = open_store(f"sqlite:///{path}", ManualClock())
    store.migrate()
    store.close()
    return path


@contextmanager
def empty_store(kind: str, tmp_path: Path, clock: ManualClock) -> Iterator[AnyStore]:
    """Open an empty store of a kind; skip the test if its server is unavailable."""
    if kind == "memory":
        yield MemoryStore(clock)
        return
    if kind != "sqlite":
        yield server(kind).store(clock)
        return
    path = tmp_path / "contract.db"
    copyfile(_migrated_file(), path)
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
class RecordingWaker:
    """A waker that records its calls."""

    woken: list[str] = Factory(list[str])
    stopped: list[tuple[str, JobId]] = Factory(list[tuple[str, JobId]])

    def wake(self, queue: str) -> None:
        """Record the queue."""
        self.woken.append(queue)

    def stop_job(self, worker: str, job_id: JobId) -> None:
        """Record the job."""
        self.stopped.append((worker, job_id))


@pytest.fixture
def waker(store: AnyStore) -> RecordingWaker:
    """Return the store's waker."""
    store.waker = waker = RecordingWaker()
    return waker
