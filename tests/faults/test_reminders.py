"""A reminder run survives kill -9: every person gets exactly one email."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import JobOrigin
from workbell.entrypoints.bench.summaries import _fill
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.ports.jobs.repository import JobFilter
from workbell.services.goals.reminders import PAGE

PEOPLE = 6 * PAGE
RUN = """
import sys
from pathlib import Path
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.bootstrap.build import build

def say(looked):
    print(looked, flush=True)

build(Settings(data_dir=Path(sys.argv[1]))).reminding.remind_at_default_time(say)
"""


@pytest.mark.integration
def test_three_kills_during_the_run_duplicate_and_lose_no_email(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    application = build(settings)
    application.migrate_and_register()
    _fill(settings.database_url, 1, 1, PEOPLE)
    for pages in (1, 2, 3):
        command = [sys.executable, "-c", RUN, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(pages):
                assert child.stdout.readline().strip().isdigit()
            child.kill()
        assert child.returncode == -9

    looked, told = application.reminding.remind_at_default_time(lambda _: None)
    assert looked == PEOPLE
    assert 0 < told <= PEOPLE - 3 * PAGE
    with application.store.view() as tx:
        found = tx.jobs.find(
            ALL_OWNERS, JobFilter(origins=[JobOrigin.REMINDER]), limit=2 * PEOPLE
        )  # fmt: skip
    mailed = Counter(job.parameters["user_id"] for job in found)
    assert set(mailed.values()) == {1}
    assert len(mailed) == PEOPLE
    application.close()
