"""Notifications on a memory store, with recorded emails."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, evolve, field

from tests.contract.factories import ManualClock, a_user
from workbell.adapters.memory.store import MemoryStore, MemoryTx
from workbell.domain.errors import WorkbellError
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.job import Job
from workbell.domain.notifications.notice import (
    Notice,
    NoticeKind,
    Notification,
    NotificationId,
)
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.domain.rate_limits.policy import Policy, Rate, Subject
from workbell.ports.mail import Email
from workbell.ports.notifications.rendering import NoticeLinks, RenderedNotice
from workbell.services.notifications.dispatch import Notifier
from workbell.services.notifications.mail import NoticeMailService

TOKENS = UnsubscribeTokens([b"k" * 32])
QUOTA = Policy(name="email", rate=Rate(3, 86_400), subject=Subject.USER, exact=True)


@define
class Outbox:
    """A mailer that records emails; it raises `error` if there is one."""

    messages: list[Email] = field(factory=list[Email])
    error: WorkbellError | None = None

    def send(self, message: Email) -> None:
        if self.error is not None:
            raise self.error
        self.messages.append(message)


class PlainRenderer:
    """A renderer whose text is the data."""

    def render(
        self, notification: Notification, user: User, data: Mapping[str, Any], links: NoticeLinks
    ) -> RenderedNotice:
        return RenderedNotice(
            subject=notification.title,
            text=str(dict(data)),
            html=links.unsubscribe_all,
        )


@define
class NoticeFixture:
    """Users, a notifier, and the service that sends its emails."""

    clock: ManualClock = field(factory=ManualClock)
    outbox: Outbox = field(factory=Outbox)
    removed: set[UserId] = field(factory=set[UserId])
    store: MemoryStore = field(init=False)
    notifier: Notifier = field(init=False)
    mails: NoticeMailService[MemoryTx] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.notifier = Notifier(clock=self.clock)
        self.mails = NoticeMailService(
            store=self.store,
            clock=self.clock,
            mailer=self.outbox,
            renderer=PlainRenderer(),
            tokens=TOKENS,
            public_url="https://bell.example",
            quota=QUOTA,
            may_receive=self.may_receive,
        )

    def may_receive(self, _tx: MemoryTx, user_id: UserId, _: Notification) -> bool:
        """Whether a user is still a member."""
        return user_id not in self.removed

    def add_user(self, name: str, **fields: Any) -> UserId:
        with self.store.begin() as tx:
            return tx.users.add(a_user(name, **fields)).id

    def change_user(self, user_id: UserId, **fields: Any) -> None:
        with self.store.begin() as tx:
            tx.users.replace(evolve(tx.users.get(user_id), **fields))

    def prefer(self, user_id: UserId, preferences: NoticePreferences) -> None:
        with self.store.begin() as tx:
            zone = tx.users.get(user_id).time_zone
            tx.preferences.save(user_id, preferences.with_next_summary(self.clock.now(), zone))

    def notify(self, *recipients: UserId, **fields: Any) -> list[Notification]:
        """Notify users of an assignment."""
        values: dict[str, Any] = {
            "kind": NoticeKind.ASSIGNMENT,
            "key": "task:1:version:2",
            "recipients": recipients,
            "title": "Fix the door",
        }
        with self.store.begin() as tx:
            return list(self.notifier.notify(tx, Notice(**values | fields)))

    def jobs(self) -> list[Job]:
        return list(self.store._tables.jobs)

    def row(self, notification_id: NotificationId) -> Notification:
        with self.store.view() as tx:
            return tx.notices.get_for_update(notification_id)


@pytest.fixture
def env() -> NoticeFixture:
    return NoticeFixture()


@pytest.fixture
def ann(env: NoticeFixture) -> UserId:
    return env.add_user("ann")


@pytest.fixture
def ben(env: NoticeFixture) -> UserId:
    return env.add_user("ben")
