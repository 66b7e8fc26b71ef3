"""Reminders of goals without progress, sent by a built-in schedule."""

import email
from datetime import UTC, datetime, time, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from attrs import evolve

import workbell
from tests.contract.factories import ManualClock
from workbell.domain.goals.goal import Category
from workbell.domain.goals.reminder import ReminderPreferences
from workbell.domain.identity.actor import SYSTEM, Actor, ClientInfo
from workbell.domain.identity.registration import Registration
from workbell.entrypoints.library.client import Client
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.goals.commands import NewGoal
from workbell.services.goals.preferences import Preferences

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
MIDNIGHT_IN_KOLKATA = datetime(2030, 1, 7, 18, 30, tzinfo=UTC)


def register_user(client: Client, name: str) -> Actor:
    """Register a user with a verified address and a goal."""
    user = client.application.identity.register(
        Registration(username=name, email=f"{name}@example.org", password="a-long-enough-one")
    )
    with client.application.store.begin() as tx:
        verified = evolve(tx.users.get(user.id), is_email_verified=True)
        tx.users.replace(verified)
    actor = Actor.of(verified)
    goal = NewGoal(goal_name=f"Learn like {name}", category=Category.PRIMARY)
    client.application.goals.create(actor, goal)
    return actor


def reminders(folder: Path) -> list[EmailMessage]:
    """Return the emailed reminders, oldest first."""
    messages = [
        email.message_from_bytes(path.read_bytes(), policy=default)
        for path in sorted((folder / "mail").glob("*.eml"))
    ]
    return [message for message in messages if "waiting" in str(message["Subject"])]


def test_a_goal_is_reminded_of_once_until_its_owner_unsubscribes(tmp_path: Path) -> None:
    clock = ManualClock(START)
    database = f"sqlite:///{tmp_path / 'client.db'}"
    with workbell.open(database, data_dir=tmp_path, clock=clock) as client:
        application = client.application
        application.ensure_reminder_schedules()
        application.ensure_reminder_schedules()
        ann, _bob = register_user(client, "ann"), register_user(client, "bob")

        clock.at = MIDNIGHT_IN_KOLKATA - timedelta(minutes=1)
        client.run_until_idle()
        assert reminders(tmp_path) == []

        clock.at = MIDNIGHT_IN_KOLKATA + timedelta(days=1)
        client.run_until_idle()
        client.run_until_idle()
        first, second = sorted(reminders(tmp_path), key=lambda message: str(message["To"]))
        assert (first["To"], second["To"]) == ("ann@example.org", "bob@example.org")
        assert first["Subject"] == "Your goal Learn like ann is waiting"
        assert first["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

        token = str(first["List-Unsubscribe"]).strip("<>").rpartition("/")[2]
        application.notices.preferences.unsubscribe(token, ClientInfo())
        clock.at += timedelta(days=15)
        client.run_until_idle()
        assert [each["To"] for each in reminders(tmp_path)[2:]] == ["bob@example.org"]

        wanted = Preferences(reminders=ReminderPreferences(reminder_time=time(7, 30)))
        application.notices.preferences.save(ann, wanted)
        clock.at = datetime(2030, 1, 25, 7, 31, tzinfo=UTC)
        client.run_until_idle()
        assert reminders(tmp_path)[-1]["To"] == "ann@example.org"
        assert len(reminders(tmp_path)) == 4

        found = application.schedules.find(SYSTEM, ScheduleFilter(), ["id"], 0, 10)
        daily, own, summaries = found.schedules
        assert (found.total, summaries.name) == (3, "Daily summaries")
        assert (daily.cron_line, daily.zone, own.cron_line) == (
            "0 0 * * *",
            "Asia/Kolkata",
            "*/15 * * * *",
        )
        runs = application.jobs.find(SYSTEM, JobFilter(schedule_id=daily.id), ["id"], 0, 10)
        assert [run.result for run in runs][-3:] == [
            {"people": 2, "reminded": 2},
            {"people": 2, "reminded": 1},
            {"people": 2, "reminded": 0},
        ]
