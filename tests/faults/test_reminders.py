"""A killed reminder run emails each user exactly once."""

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
from workbell.ports.jobs.views import JobFilter
from workbell.services.goals.reminders import PAGE

USERS = 6 * PAGE
RUN = """
import sys
from pathlib import Path
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.bootstrap.build import build

def report(checked):
    print(checked, flush=True)

build(Settings(data_dir=Path(sys.argv[1]))).reminders.remind_at_default_time(report)
"""


@pytest.mark.integration
def test_a_reminder_run_killed_three_times_emails_each_user_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    application = build(settings)
    application.migrate_and_register()
    _fill(settings.database_url, 1, 1, USERS)
    for pages in (1, 2, 3):
        command = [sys.executable, "-c", RUN, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(pages):
                assert child.stdout.readline().strip().isdigit()
            child.kill()
        assert child.returncode == -9

    checked, emailed = application.reminders.remind_at_default_time(lambda _: None)
    assert checked == USERS
    assert 0 < emailed <= USERS - 3 * PAGE
    with application.store.view() as tx:
        found = tx.jobs.find(
            ALL_OWNERS, JobFilter(origins=[JobOrigin.REMINDER]), limit=2 * USERS
        )  # fmt: skip
        rows = [tx.notices.get_for_update(job.parameters["notification"]) for job in found]
    emails_by_user = Counter(row.user_id for row in rows)
    assert set(emails_by_user.values()) == {1}
    assert len(emails_by_user) == USERS
    application.close()
