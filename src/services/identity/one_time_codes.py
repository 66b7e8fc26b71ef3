"""Mailed codes: drawing, keeping, and comparing them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta

from attrs import field, frozen

from workbell.domain.errors import Invalid, NotFound, Unavailable
from workbell.domain.identity.one_time_code import (
    DAY,
    HOUR,
    LIFE,
    OneTimeCode,
    Purpose,
    draw_code,
    looks_like_code,
    may_guess,
    may_send,
    normalise_code,
)
from workbell.domain.identity.user import SYSTEM_ID, User
from workbell.ports.identity.crypto import PasswordHasher
from workbell.ports.identity.users import IdentityTx
from workbell.ports.mail import Email, Mailer
from workbell.ports.store import Store
from workbell.ports.system import Clock, Randomness
from workbell.services.transaction_retry import retry_on_contention

NO_CODE = 0
"""An id that no code has: what is done with it takes its time, and does nothing."""


@frozen
class GeneratedCode:
    """A code on its way to somebody, and what is kept of it."""

    code: str = field(repr=False)
    code_hash: str = field(repr=False)


@frozen(kw_only=True)
class OneTimeCodeService:
    """
    Draw codes, keep them and compare what people type.

    `min_duration` is around whatever differs with whether there is such a person: it
    has that take as long, so that nobody can tell by the time. By default it
    does not.

    Nothing is hashed within a transaction. Locks are taken in the order user,
    code.
    """

    store: Store[IdentityTx]
    clock: Clock
    randomness: Randomness
    hasher: PasswordHasher
    life: timedelta = LIFE
    min_duration: Callable[[], AbstractContextManager[object]] = nullcontext

    def generate(self) -> GeneratedCode:
        """
        Return a new code, and its hash.

        Raises:
            Unavailable: Too many are hashing.
        """
        code = draw_code(self.randomness.randbelow)
        return GeneratedCode(code, self.hasher.hash(code))

    def store_code(
        self, tx: IdentityTx, user: User, purpose: Purpose, new_code: GeneratedCode, now: datetime
    ) -> None:
        """Keep a code that goes out to somebody; the earlier ones work no more."""
        tx.codes.add(OneTimeCode.issue(user.id, purpose, new_code.code_hash, now, self.life))

    def cancel(self, tx: IdentityTx, user: User, purpose: Purpose, now: datetime) -> None:
        """Have the codes that are on their way to somebody work no more."""
        tx.codes.add(OneTimeCode.issue(user.id, purpose, "", now, timedelta(0)))

    def may_send(self, tx: IdentityTx, user: User, purpose: Purpose, now: datetime) -> bool:
        """Whether somebody, whose row is locked, may be sent one more code."""
        latest = tx.codes.latest(user.id, purpose)
        sent = tx.codes.count_since(user.id, purpose, now - HOUR)
        return user.is_active and may_send(latest, sent, now)

    def find_matching(
        self, email: str, typed: str, purpose: Purpose
    ) -> tuple[User | None, OneTimeCode | None]:
        """
        Return who has an address, and their code if it is the one that was typed.

        Every try is counted before the code is compared, against the code's
        own limit and the account's daily one, and takes as long whether there
        is such a person and code or not. The code is not used up yet.

        Raises:
            Unavailable: The store does not answer, or too many are hashing.
        """
        tidy = normalise_code(typed)
        with self.min_duration():
            with self.store.view() as tx:
                user = tx.users.by_email(email)
                kept = tx.codes.latest(user.id, purpose) if user else None
            if not self._may_try(user, kept, tidy):
                kept = None
        fits = self.hasher.verify(kept.code_hash if kept else "", tidy)
        return user, kept if fits else None

    @retry_on_contention
    def _may_try(self, user: User | None, kept: OneTimeCode | None, typed: str) -> bool:
        with self.store.begin() as tx:
            now = self.clock.now()
            user_id = user.id if user else SYSTEM_ID
            with suppress(NotFound):
                tx.users.get_for_update(user_id)
            wrong = tx.codes.count_wrong_since(user_id, now - DAY - self.life)
            may = kept is not None and looks_like_code(typed) and may_guess(wrong)
            return tx.codes.try_attempt(kept.id if kept and may else NO_CODE, now)


def send_ignoring_errors(mailer: Mailer, message: Email | None) -> None:
    """Send what there is to send; the mailer's own log tells of failures."""
    if message is not None:
        with suppress(Invalid, Unavailable):
            mailer.send(message)
