"""Changes of users reach their schedules and jobs; settings reach the checks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.factories import NOON, ManualClock, a_user
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import User
from workbell.domain.jobs.job import JobState
from workbell.domain.schedules.schedule import Schedule
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.enums import VerifiedEmail
from workbell.entrypoints.config.settings import Settings
from workbell.services.identity.users import UserChange
from workbell.services.jobs.requests import NewJob
from workbell.services.schedules.requests import NewSchedule

KEY = "0123456789abcdef" * 2
CLEANUP = {"days_old": 1, "table_name": "execution_logs"}


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    settings = Settings(data_dir=tmp_path, secret_key=KEY)
    application = build(settings, clock=ManualClock(NOON))
    application.migrate_and_register()
    yield application
    application.close()


def add_user(application: Application, *, is_super_user: bool = False) -> User:
    with application.store.begin() as tx:
        return tx.users.add(a_user("ann", is_super_user=is_super_user, is_email_verified=True))


def schedule(application: Application, user: User, task: str, **parameters: object) -> Schedule:
    new = NewSchedule(task_definition=task, cron_expression="@hourly", parameters=parameters)
    return application.schedules.create(Actor.of(user), new).schedule


def test_a_deactivated_user_has_neither_schedules_nor_jobs(application: Application) -> None:
    user = add_user(application)
    hourly = schedule(application, user, "echo", message="x")
    new = NewJob(task_definition="echo", parameters={"message": "x"})
    job, _ = application.jobs.create(Actor.of(user), new)
    application.users.change(SYSTEM, user.id, UserChange(is_active=False))
    view = application.schedules.get(SYSTEM, hourly.id)
    assert view.schedule.paused_reason == "owner inactive"
    assert application.jobs.get(SYSTEM, job.id).state is JobState.CANCELLED


def test_a_demoted_superuser_cleans_up_no_more(application: Application) -> None:
    user = add_user(application, is_super_user=True)
    cleanup = schedule(application, user, "database.cleanup", **CLEANUP)
    new = NewJob(task_definition="database.cleanup", parameters=CLEANUP)
    job, _ = application.jobs.create(Actor.of(user), new)
    application.users.change(SYSTEM, user.id, UserChange(is_super_user=False))
    view = application.schedules.get(SYSTEM, cleanup.id)
    assert view.schedule.paused_reason == "owner no longer permitted"
    application.worker(1).drain("default")
    ended = application.jobs.get(SYSTEM, job.id)
    assert ended.state is JobState.CANCELLED
    assert ended.reason is not None and "Only superusers may clean up" in ended.reason


@pytest.mark.parametrize("setting", VerifiedEmail)
def test_the_setting_decides_whether_addresses_must_be_verified(
    tmp_path: Path, setting: VerifiedEmail
) -> None:
    settings = Settings(data_dir=tmp_path, secret_key=KEY, require_verified_email=setting)
    application = build(settings, clock=ManualClock(NOON))
    required = setting is not VerifiedEmail.NONE
    assert application.ticker.require_verified_email is required
    assert application.execution.owners.require_verified_email is required
    application.close()
