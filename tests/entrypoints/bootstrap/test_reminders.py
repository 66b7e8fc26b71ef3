"""Settings of summaries and reminders take effect."""

from datetime import time, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

from tests.contract.factories import NOON, ManualClock
from workbell.domain.goals.goal import Category
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.registration import Registration
from workbell.domain.notifications.notice import NotificationId
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.goals.commands import NewGoal

KEY = "0123456789abcdef" * 2


def rules(application: Application) -> list[tuple[str, str]]:
    """Return cron line and time zone of the built-in schedules."""
    application.ensure_reminder_schedules()
    found = application.schedules.find(SYSTEM, ScheduleFilter(), ["id"], 0, 10)
    return [(each.cron_line, each.zone) for each in found.schedules]


def test_reminders_follow_the_settings(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    application = build(
        Settings(
            data_dir=tmp_path,
            secret_key=KEY,
            public_url="https://app.example/",
            inactive_days=3,
            reminder_time=time(6, 45),
            reminder_time_zone="Europe/Berlin",
            summary_cache_seconds=0,
        ),
        clock=clock,
    )
    application.migrate_and_register()
    assert rules(application) == [("45 6 * * *", "Europe/Berlin"), *[("*/15 * * * *", "UTC")] * 2]
    assert application.summaries.cache_seconds == 0
    user = application.identity.register(
        Registration(username="ann", email="ann@example.org", password="a-long-enough-one")
    )
    goal = NewGoal(goal_name="Swim", category=Category.MINOR)
    application.goals.create(Actor.of(user), goal)
    clock.at += timedelta(days=3)
    assert application.reminders.remind_at_default_time(lambda _: None) == (1, 1)
    application.notices.mails.send(NotificationId(1))
    (path,) = [each for each in (tmp_path / "mail").iterdir() if b"waiting" in each.read_bytes()]
    message = message_from_bytes(path.read_bytes(), policy=default)
    link = str(message["List-Unsubscribe"]).strip("<>")
    assert b"You have not logged any progress for 3 days or more" in path.read_bytes()
    assert link.startswith("https://app.example/api/v1/unsubscribe/")
    application.close()

    later = build(Settings(data_dir=tmp_path, secret_key=KEY[::-1], secret_key_previous=(KEY,)))
    assert rules(later) == [("0 0 * * *", "Asia/Kolkata"), *[("*/15 * * * *", "UTC")] * 2]
    token = link.rpartition("/")[2]
    assert later.notices.preferences.parse_unsubscribe_token(token).owner == user.id
    later.close()
