"""Daily summaries: at the user's time, once a local day, and never empty."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from attrs import evolve

from tests.services.notifications.conftest import NoticeFixture
from workbell.adapters.memory.store import MemoryTx
from workbell.domain.identity.user import User, UserId
from workbell.domain.notifications.digest import DigestItem
from workbell.domain.notifications.notice import NoticeKind, Notification
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.services.notifications.hooks import everyone_may_receive, no_tasks
from workbell.services.notifications.summaries import PAGE, DailySummaryService

pytestmark = pytest.mark.unit

WANTED = NoticePreferences(email=frozenset({NoticeKind.DAILY_SUMMARY}), summary_time=time(7, 30))
Asked = list[tuple[UserId, date]]


def ignore(_: int) -> None:
    """Ignore the progress of a run."""


@pytest.fixture
def asked() -> Asked:
    """The users and days for which tasks were asked."""
    return []


@pytest.fixture
def tasks() -> list[DigestItem]:
    """The tasks due today, of every user."""
    return [DigestItem(title="Pay the bill")]


@pytest.fixture
def service(
    env: NoticeFixture, tasks: list[DigestItem], asked: Asked
) -> DailySummaryService[MemoryTx]:
    def digest(
        _tx: MemoryTx, user: User, today: date, _now: datetime
    ) -> tuple[Sequence[DigestItem], Sequence[DigestItem]]:
        asked.append((user.id, today))
        return (), tasks

    return DailySummaryService(
        store=env.store,
        clock=env.clock,
        notifier=env.notifier,
        digest=digest,
        may_receive=env.may_receive,
    )


def summaries(env: NoticeFixture) -> list[Notification]:
    return [row for row in env.store._tables.notices if row.kind is NoticeKind.DAILY_SUMMARY]


def content(env: NoticeFixture, service: DailySummaryService[MemoryTx], row: Notification) -> Any:
    with env.store.view() as tx:
        return service.compose(tx, tx.users.get(row.user_id), row)


def test_a_summary_is_made_at_the_users_time_once_a_local_day(
    env: NoticeFixture, service: DailySummaryService[MemoryTx], asked: Asked
) -> None:
    ann = env.add_user("ann", time_zone="Asia/Kolkata")
    env.add_user("ben")
    env.prefer(ann, WANTED)
    env.clock.at = datetime(2030, 1, 2, 1, 59, tzinfo=UTC)
    assert service.run(ignore) == (0, 0)
    env.clock.at += timedelta(minutes=1)
    assert service.run(ignore) == (1, 1)
    assert service.run(ignore) == (0, 0)
    (row,) = summaries(env)
    assert (row.user_id, row.key, row.title) == (ann, "2030-01-02", "Daily summary of 2030-01-02")
    assert asked == [(ann, date(2030, 1, 2))]
    assert [job.parameters for job in env.jobs()] == [{"notification": row.id}]
    env.clock.at += timedelta(days=3)
    assert service.run(ignore) == (1, 1)
    assert [row.key for row in summaries(env)] == ["2030-01-02", "2030-01-05"]


def test_a_second_run_of_the_same_day_adds_nothing(
    env: NoticeFixture, service: DailySummaryService[MemoryTx], ann: UserId
) -> None:
    env.prefer(ann, WANTED)
    env.clock.at += timedelta(days=1)
    assert service.run(ignore) == (1, 1)
    env.prefer(ann, evolve(WANTED, summary_time=time(12, 15)))
    env.clock.at += timedelta(minutes=15)
    assert service.run(ignore) == (1, 0)
    assert len(summaries(env)) == 1


def test_an_empty_summary_is_not_sent(
    env: NoticeFixture,
    service: DailySummaryService[MemoryTx],
    ann: UserId,
    tasks: list[DigestItem],
) -> None:
    env.prefer(ann, WANTED)
    tasks.clear()
    env.clock.at += timedelta(days=1)
    assert service.run(ignore) == (1, 0)
    assert summaries(env) == []
    tasks.append(DigestItem(title="New"))
    env.clock.at += timedelta(days=1)
    assert service.run(ignore) == (1, 1)
    (row,) = summaries(env)
    tasks.clear()
    assert content(env, service, row) is None


def test_a_summary_has_the_tasks_and_what_is_new_within_a_day(
    env: NoticeFixture, service: DailySummaryService[MemoryTx], ann: UserId
) -> None:
    env.prefer(ann, WANTED)
    env.notify(ann, key="old", title="Old")
    env.clock.at += timedelta(days=1, seconds=1)
    env.notify(ann, key="new", title="New")
    env.notify(ann, key="again", title="New")
    env.notify(ann, key="mention", kind=NoticeKind.MENTION, title="Mentioned")
    env.notify(ann, key="status", kind=NoticeKind.STATUS, title="Moved")
    service.run(ignore)
    (row,) = summaries(env)
    assert content(env, service, row) == {
        "day": "2030-01-02",
        "due": {"items": [{"title": "Pay the bill", "due": None}], "more": 0},
        "assigned": {"items": [{"title": "New", "due": None}], "more": 0},
        "mentioned": {"items": [{"title": "Mentioned", "due": None}], "more": 0},
    }


def test_a_removed_member_sees_no_titles_of_the_project(
    env: NoticeFixture,
    service: DailySummaryService[MemoryTx],
    ann: UserId,
    tasks: list[DigestItem],
) -> None:
    env.prefer(ann, WANTED)
    tasks.clear()
    env.clock.at += timedelta(days=1)
    env.notify(ann, title="Secret")
    env.removed.add(ann)
    assert service.run(ignore) == (1, 0)


def test_a_changed_time_zone_moves_the_summary(
    env: NoticeFixture, service: DailySummaryService[MemoryTx], ann: UserId
) -> None:
    env.prefer(ann, WANTED)
    env.change_user(ann, time_zone="America/New_York")
    env.clock.at = datetime(2030, 1, 2, 7, 30, tzinfo=UTC)
    assert service.run(ignore) == (1, 0)
    env.clock.at = datetime(2030, 1, 2, 12, 30, tzinfo=UTC)
    assert service.run(ignore) == (1, 1)


def test_an_inactive_or_deleted_user_is_checked_again_another_day(
    env: NoticeFixture, service: DailySummaryService[MemoryTx], ann: UserId
) -> None:
    env.prefer(ann, WANTED)
    env.change_user(ann, is_active=False)
    with env.store.begin() as tx:
        tx.preferences.save(UserId(99), WANTED.with_next_summary(env.clock.now(), "UTC"))
    env.clock.at += timedelta(days=1)
    assert service.run(ignore) == (2, 0)
    assert service.run(ignore) == (0, 0)
    env.change_user(ann, is_active=True)
    env.clock.at += timedelta(days=1)
    assert service.run(ignore) == (2, 1)


def test_a_run_that_stops_is_continued_by_the_next(
    env: NoticeFixture, service: DailySummaryService[MemoryTx]
) -> None:
    for number in range(PAGE + 1):
        env.prefer(env.add_user(f"u{number}"), WANTED)
    env.clock.at += timedelta(days=1)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.run(stop)
    assert len(summaries(env)) == PAGE
    pages: list[int] = []
    assert service.run(pages.append) == (1, 1)
    assert pages == [1]
    assert len({row.user_id for row in summaries(env)}) == PAGE + 1


def test_without_projects_a_summary_has_notices_only(env: NoticeFixture, ann: UserId) -> None:
    service = DailySummaryService[MemoryTx](store=env.store, clock=env.clock, notifier=env.notifier)
    assert service.digest is no_tasks
    assert service.may_receive is everyone_may_receive
    env.prefer(ann, WANTED)
    env.clock.at += timedelta(days=1)
    assert service.run(ignore) == (1, 0)
    env.clock.at += timedelta(days=1)
    env.notify(ann)
    assert service.run(ignore) == (1, 1)
