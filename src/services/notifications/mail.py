"""Emails of notifications; permission is checked when they are sent."""

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from attrs import Factory, evolve, frozen

from workbell.domain.errors import NotFound
from workbell.domain.identity.user import User
from workbell.domain.notifications.notice import (
    MailState,
    NoticeChannel,
    NoticeKind,
    Notification,
    NotificationId,
    SuppressionReason,
)
from workbell.domain.notifications.unsubscribe import (
    EmailCategory,
    UnsubscribeTokens,
    Unsubscription,
)
from workbell.domain.rate_limits.policy import Policy, RateLimitKey
from workbell.ports.mail import Email, Mailer
from workbell.ports.notifications.rendering import NoticeLinks, NoticeRenderer
from workbell.ports.notifications.repository import NotificationsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.notifications.hooks import Composer, MayReceive, everyone_may_receive
from workbell.services.transaction_retry import retry_on_contention

UNSUBSCRIBE: Final = "/api/v1/unsubscribe/"

TxT = TypeVar("TxT", bound=NotificationsTx)


@frozen(kw_only=True)
class NoticeMailService(Generic[TxT]):
    """
    Sends the emails of notifications; no transaction is open during delivery.

    A worker that dies after an email was accepted sends it again, under the same
    Message-ID. `composers` return the content of kinds whose content is decided
    when they are sent. `quota` limits the emails per recipient.
    """

    store: Store[TxT]
    clock: Clock
    mailer: Mailer
    renderer: NoticeRenderer
    tokens: UnsubscribeTokens
    public_url: str
    quota: Policy | None = None
    may_receive: MayReceive[TxT] = everyone_may_receive
    composers: Mapping[NoticeKind, Composer[TxT]] = Factory(dict[NoticeKind, Composer[TxT]])

    def send(self, notification_id: NotificationId) -> Notification:
        """
        Send an email unless it was sent or is suppressed; return the notification.

        Raises:
            Invalid: The address is not valid, or the server refuses it permanently.
            NotFound: There is no such notification.
            Unavailable: The mail server did not accept the email; retry later.
        """
        notification, email = self._admit(notification_id)
        if email is None:
            return notification
        try:
            self.mailer.send(email)
        except BaseException:
            self._refund(notification)
            raise
        return self._record_sent(notification)

    @retry_on_contention
    def _admit(self, notification_id: NotificationId) -> tuple[Notification, Email | None]:
        """Return the email if it may be sent now; otherwise store why not."""
        with self.store.begin() as tx:
            row = tx.notices.get_for_update(notification_id)
            if row.mail_state is not MailState.PENDING:
                return row, None
            admitted = self._check(tx, row)
            if not isinstance(admitted, SuppressionReason):
                return row, self._compose(row, *admitted)
            suppressed = evolve(row, mail_state=MailState.SUPPRESSED, mail_reason=str(admitted))
            tx.notices.set_mail(suppressed)
            return suppressed, None

    def _check(
        self, tx: TxT, row: Notification
    ) -> tuple[User, Mapping[str, Any]] | SuppressionReason:
        """Return the recipient and the content, or why the email is suppressed."""
        try:
            user = tx.users.get(row.user_id)
        except NotFound:
            return SuppressionReason.INACTIVE_ACCOUNT
        if not user.is_active:
            return SuppressionReason.INACTIVE_ACCOUNT
        if not tx.preferences.get(user.id).wants(row.kind, NoticeChannel.EMAIL):
            return SuppressionReason.UNSUBSCRIBED
        if not self.may_receive(tx, user.id, row):
            return SuppressionReason.NOT_PERMITTED
        compose = self.composers.get(row.kind)
        data = row.data if compose is None else compose(tx, user, row)
        if data is None:
            return SuppressionReason.NOT_NEEDED
        key = self._quota_key(row)
        if key is not None and not tx.quotas.consume(key, self.clock.now()).allowed:
            return SuppressionReason.QUOTA
        return user, data

    def _compose(self, row: Notification, user: User, data: Mapping[str, Any]) -> Email:
        unsubscribe = self._unsubscribe_url(row, EmailCategory.of(row.kind))
        links = NoticeLinks(
            unsubscribe=unsubscribe,
            unsubscribe_all=self._unsubscribe_url(row, EmailCategory.ALL),
        )
        rendered = self.renderer.render(row, user, data, links)
        return Email(
            to=user.email,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            message_id=row.message_id(self.public_url),
            unsubscribe=unsubscribe,
        )

    def _unsubscribe_url(self, row: Notification, category: EmailCategory) -> str:
        token = self.tokens.make(Unsubscription(row.user_id, category))
        return f"{self.public_url}{UNSUBSCRIBE}{token}"

    def _quota_key(self, row: Notification) -> RateLimitKey | None:
        return None if self.quota is None else RateLimitKey(self.quota, str(row.user_id))

    @retry_on_contention
    def _record_sent(self, row: Notification) -> Notification:
        sent = evolve(row, mail_state=MailState.SENT, mail_reason=None)
        with self.store.begin() as tx:
            tx.notices.get_for_update(row.id)
            tx.notices.set_mail(sent)
        return sent

    @retry_on_contention
    def _refund(self, row: Notification) -> None:
        """Restore the quota of an email that was not sent."""
        key = self._quota_key(row)
        if key is not None:
            with self.store.begin() as tx:
                tx.quotas.refund(key)
