"""One-time codes sent by email: generation, storage and comparison."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta

from attrs import field, frozen

from workbell.domain.errors import Invalid, NotFound, Unavailable
from workbell.domain.identity.one_time_code import (
    CODE_LIFETIME,
    DAY,
    HOUR,
    OneTimeCode,
    Purpose,
    can_send_code,
    can_try_code,
    generate_code,
    looks_like_code,
    normalise_code,
)
from workbell.domain.identity.user import SYSTEM_ID, User
from workbell.ports.identity.crypto import PasswordHasher
from workbell.ports.identity.users import IdentityTx
from workbell.ports.mail import Email, Mailer
from workbell.ports.store import Store
from workbell.ports.system import Clock, Randomness
from workbell.services.transaction_retry import retry_on_contention

NO_CODE = 0  # updating this id takes the usual time and changes nothing


@frozen
class GeneratedCode:
    """A new code and its hash; only the hash is stored."""

    code: str = field(repr=False)
    code_hash: str = field(repr=False)


@frozen(kw_only=True)
class OneTimeCodeService:
    """
    Generates, stores and compares one-time codes.

    `min_duration` wraps work whose time depends on whether the user exists,
    and makes it take a constant time; the default does not. Codes are hashed
    outside of transactions. Lock order: user, code.
    """

    store: Store[IdentityTx]
    clock: Clock
    randomness: Randomness
    hasher: PasswordHasher
    life: timedelta = CODE_LIFETIME
    min_duration: Callable[[], AbstractContextManager[object]] = nullcontext

    def generate(self) -> GeneratedCode:
        """Return a new code and its hash; may raise Unavailable."""
        code = generate_code(self.randomness.randbelow)
        return GeneratedCode(code, self.hasher.hash(code))

    def store_code(
        self, tx: IdentityTx, user: User, purpose: Purpose, new_code: GeneratedCode, now: datetime
    ) -> None:
        """Store a code; the user's earlier ones become invalid."""
        tx.codes.add(OneTimeCode.issue(user.id, purpose, new_code.code_hash, now, self.life))

    def cancel(self, tx: IdentityTx, user: User, purpose: Purpose, now: datetime) -> None:
        """Invalidate a user's codes."""
        tx.codes.add(OneTimeCode.issue(user.id, purpose, "", now, timedelta(0)))

    def may_send(self, tx: IdentityTx, user: User, purpose: Purpose, now: datetime) -> bool:
        """Whether another code may be sent to a user (row locked)."""
        latest = tx.codes.latest(user.id, purpose)
        sent = tx.codes.count_since(user.id, purpose, now - HOUR)
        return user.is_active and can_send_code(latest, sent, now)

    def find_matching(
        self, email: str, typed_code: str, purpose: Purpose
    ) -> tuple[User | None, OneTimeCode | None]:
        """
        Return the user with an address, and their code if it was typed.

        Each attempt is counted before the comparison, per code and per account
        and day. It takes the same time for unknown users. The code stays unused.
        """
        typed_code = normalise_code(typed_code)
        with self.min_duration():
            with self.store.view() as tx:
                user = tx.users.by_email(email)
                code = tx.codes.latest(user.id, purpose) if user else None
            if not self._may_try(user, code, typed_code):
                code = None
        matches = self.hasher.verify(code.code_hash if code else "", typed_code)
        return user, code if matches else None

    @retry_on_contention
    def _may_try(self, user: User | None, code: OneTimeCode | None, typed_code: str) -> bool:
        with self.store.begin() as tx:
            now = self.clock.now()
            user_id = user.id if user else SYSTEM_ID
            with suppress(NotFound):
                tx.users.get_for_update(user_id)
            wrong = tx.codes.count_wrong_since(user_id, now - DAY - self.life)
            allowed = code is not None and looks_like_code(typed_code) and can_try_code(wrong)
            return tx.codes.try_attempt(code.id if code and allowed else NO_CODE, now)


def send_ignoring_errors(mailer: Mailer, message: Email | None) -> None:
    """Send an email, if there is one; the mailer logs failures."""
    if message is not None:
        with suppress(Invalid, Unavailable):
            mailer.send(message)
