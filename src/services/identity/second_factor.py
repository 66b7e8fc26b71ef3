"""Use cases of a user's own second factor."""

from collections.abc import Sequence
from datetime import datetime

from attrs import field, frozen

from workbell.domain.errors import Conflict, Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.second_factor import (
    SecondFactor,
    base32_secret,
    generate_recovery_codes,
)
from workbell.domain.identity.user import User
from workbell.ports.identity.users import IdentityTx
from workbell.ports.mail import Email
from workbell.ports.system import Ids
from workbell.services.audit.entries import account_audit_entry
from workbell.services.identity.one_time_codes import send_ignoring_errors
from workbell.services.identity.passwords import PasswordService
from workbell.services.identity.second_factor_check import SecondFactorCheck, active_factor
from workbell.services.transaction_retry import retry_on_contention

WRONG_CODE = "The code is wrong or was already used."


@frozen(kw_only=True)
class FactorState:
    """State of a user's second factor; `since` is None without one."""

    since: datetime | None
    is_required: bool
    recovery_codes_left: int


@frozen
class NewSecret:
    """Secret of a new second factor; shown once."""

    text: str = field(repr=False)
    uri: str = field(repr=False)


@frozen(kw_only=True)
class SecondFactorService:
    """
    Adds, renews and removes the actor's own second factor.

    Adding requires the password and a first code; later changes the password
    and a code. A change revokes other sessions and sends an email. Methods
    raise `Conflict` if the factor's state does not allow the change,
    `NotAllowed` for API keys, and `Invalid`, `RateLimited` or `Unavailable`
    if the password or code can't be accepted.
    """

    factor_check: SecondFactorCheck
    passwords: PasswordService
    ids: Ids

    def state(self, actor: Actor) -> FactorState:
        """Return the state of the actor's second factor."""
        check(actor, Action.USE_SECOND_FACTOR, owner=actor.user_id)
        with self.factor_check.store.view() as tx:
            user = tx.users.get(actor.user_id)
            factor = active_factor(tx, user)
        return FactorState(
            since=factor.confirmed_at if factor else None,
            is_required=self.factor_check.policy.applies_to(user),
            recovery_codes_left=len(factor.recovery) if factor else 0,
        )

    def begin(self, actor: Actor, password: str) -> NewSecret:
        """Create a secret, which has no effect until it is confirmed."""
        user = self._check_password(actor, password)
        seed = self.ids.new() + self.ids.new()
        factor = self.factor_check.keys.enrol(user.id, seed, self.factor_check.clock.now())
        secret = self.factor_check.keys.secret(factor) or b""
        self._store_enrolment(actor, factor)
        return NewSecret(
            base32_secret(secret), self.factor_check.totp.provisioning_uri(secret, user.username)
        )

    def confirm(self, actor: Actor, code: str) -> Sequence[str]:
        """Activate the new second factor; return its recovery codes."""
        check(actor, Action.USE_SECOND_FACTOR, owner=actor.user_id)
        recovery = generate_recovery_codes(self.passwords.codes.randomness.randbelow)
        if not self._store_confirmed(actor, code, recovery):
            raise Invalid.field("code", WRONG_CODE)
        self._notify(actor, "was added")
        return recovery

    def renew(self, actor: Actor, password: str, code: str) -> Sequence[str]:
        """Return new recovery codes; the earlier ones become invalid."""
        user = self._check_password(actor, password, code)
        recovery = generate_recovery_codes(self.passwords.codes.randomness.randbelow)
        self._store_recovery_codes(actor, user, recovery)
        self._notify(actor, "has new recovery codes")
        return recovery

    def remove(self, actor: Actor, password: str, code: str) -> None:
        """Remove the actor's second factor."""
        user = self._check_password(actor, password, code)
        self._remove(actor, user)
        self._notify(actor, "was removed")

    def _check_password(self, actor: Actor, password: str, code: str | None = None) -> User:
        """Return the actor's user after checking password and code."""
        check(actor, Action.USE_SECOND_FACTOR, owner=actor.user_id)
        with self.factor_check.store.view() as tx:
            user = tx.users.get(actor.user_id)
            factor = active_factor(tx, user)
        if (factor is None) != (code is None):
            raise Conflict(
                "There is already a second factor."
                if code is None
                else "There is no second factor."
            )
        self.passwords.check_current_password(user, password, actor.client_info)
        if code is not None and not self.factor_check.consume(user, code, actor.client_info):
            raise Invalid.field("code", WRONG_CODE)
        return user

    @retry_on_contention
    def _store_enrolment(self, actor: Actor, factor: SecondFactor) -> None:
        with self.factor_check.store.begin() as tx:
            user = tx.users.get_for_update(factor.user_id)
            if active_factor(tx, user):
                raise Conflict("There is already a second factor.")
            tx.second_factors.put(factor)
            entry = account_audit_entry(
                user, "SECOND_FACTOR_BEGIN", actor.client_info, factor.created_at
            )
            tx.audit.add(entry)

    @retry_on_contention
    def _store_confirmed(self, actor: Actor, code: str, recovery: Sequence[str]) -> bool:
        with self.factor_check.store.begin() as tx:
            user, now = tx.users.get_for_update(actor.user_id), self.factor_check.clock.now()
            before = tx.second_factors.find(user.id)
            if before is None or before.is_confirmed:
                raise Conflict("There is no second factor to confirm; begin with a new one.")
            after = before.confirm(self.factor_check.find_step(before, code, now), recovery, now)
            if after is None or not tx.second_factors.replace(before, after):
                failed = account_audit_entry(user, "SECOND_FACTOR_FAILED", actor.client_info, now)
                self.factor_check.burst_filter.add(tx.audit, failed)
                return False
            self._audit_change(tx, user, actor, "SECOND_FACTOR_ADD")
            return True

    @retry_on_contention
    def _store_recovery_codes(self, actor: Actor, user: User, recovery: Sequence[str]) -> None:
        with self.factor_check.store.begin() as tx:
            user, now = tx.users.get_for_update(user.id), self.factor_check.clock.now()
            if (factor := active_factor(tx, user)) is None:
                raise Conflict("There is no second factor.")
            tx.second_factors.replace(factor, factor.with_recovery_codes(recovery))
            tx.audit.add(account_audit_entry(user, "RECOVERY_CODES_RENEW", actor.client_info, now))

    @retry_on_contention
    def _remove(self, actor: Actor, user: User) -> None:
        with self.factor_check.store.begin() as tx:
            user = tx.users.get_for_update(user.id)
            tx.second_factors.remove(user.id)
            self._audit_change(tx, user, actor, "SECOND_FACTOR_REMOVE")

    def _audit_change(self, tx: IdentityTx, user: User, actor: Actor, action: str) -> None:
        """Revoke the other sessions and record the change."""
        now = self.factor_check.clock.now()
        ended = tx.sessions.revoke_all(user.id, now, except_id=actor.session_id)
        changes = {"sessions_ended": [None, ended]}
        tx.audit.add(account_audit_entry(user, action, actor.client_info, now, changes))

    def _notify(self, actor: Actor, event: str) -> None:
        self.passwords.actor_cache.evict(actor.user_id)
        with self.factor_check.store.view() as tx:
            user = tx.users.get(actor.user_id)
        send_ignoring_errors(self.passwords.mailer, compose_second_factor_email(user, event))


def compose_second_factor_email(user: User, event: str) -> Email:
    """Compose the notice of a changed second factor."""
    return Email(
        to=user.email,
        subject="Your second factor",
        text=(
            f"Hello {user.full_name},\n\n"
            f"the second factor of your account {event}. If it was not you, set a new password "
            "at once, and contact an administrator.\n"
        ),
    )
