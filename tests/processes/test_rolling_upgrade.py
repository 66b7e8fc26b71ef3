"""Old and new release run side by side on the schema of the new one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

import workbell
from tests.processes.fleet import Fleet, until
from workbell.adapters.sql.schema.upgrade import newest
from workbell.domain.jobs.job import Job, JobState

pytestmark = pytest.mark.integration

REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{newest}"


def upgrade():
    op.add_column("workbell_jobs", sa.Column("of_the_next_release", sa.Text(), nullable=True))
    op.create_index("workbell_jobs_next_idx", "workbell_jobs", ["of_the_next_release"])
"""


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """Return a folder with this package and one more schema revision."""
    packages = tmp_path / "next"
    package = packages / "workbell"
    source = Path(workbell.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    versions = package / "adapters/sql/migrations/versions"
    (versions / "next.py").write_text(REVISION.format(newest=newest()))
    return packages


@contextmanager
def load(fleet: Fleet) -> Iterator[list[Job]]:
    """Enqueue jobs continuously with the old release."""
    jobs: list[Job] = []
    stop = Event()

    def enqueue() -> None:
        while not stop.wait(0.02):
            jobs.append(fleet.enqueue("touch", file=str(fleet.folder / "runs")))

    thread = Thread(target=enqueue)
    thread.start()
    try:
        yield jobs
    finally:
        stop.set()
        thread.join()


def test_a_release_is_replaced_without_downtime(fleet: Fleet, next_release: Path) -> None:
    """Migrate, start new processes, stop old ones: no job is lost or run twice."""
    old = [fleet.start(part, ready=False) for part in ("worker", "scheduler", "api")]
    for part in old:
        until(part.is_ready)
    with load(fleet) as jobs:
        migrated = fleet.start("migrate", packages=next_release, ready=False)
        assert migrated.process.wait(60) == 0, migrated.log.read_text()
        assert fleet.application.store.schema_version() == "next"
        assert all(part.is_ready() for part in old)  # so a load balancer keeps them
        late = fleet.start("worker", ready=False)
        new = [
            fleet.start(part, packages=next_release, ready=False)
            for part in ("worker", "scheduler", "api")
        ]
        for part in new:
            until(part.is_ready)
        assert late.process.wait(60) == 2
        assert "has schema next, which is newer than this program" in late.log.read_text()
        so_far = len(jobs)
        assert [part.terminate() for part in old] == [0, 0, 0]
        until(lambda: len(jobs) > so_far)
    assert {fleet.wait_for_end(job).state for job in jobs} == {JobState.SUCCEEDED}
    runs = [int(line) for line in (fleet.folder / "runs").read_text().split()]
    assert sorted(runs) == sorted(job.id for job in jobs)
    assert [part.terminate() for part in new] == [0, 0, 0]
