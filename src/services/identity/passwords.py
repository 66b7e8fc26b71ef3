"""Use cases of passwords: change, and reset by an emailed code."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.one_time_code import OneTimeCode, Purpose, WrongCode
from workbell.domain.identity.password_policy import password_errors
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.user import User
from workbell.ports.identity.users import IdentityTx
from workbell.ports.mail import Email, Mailer
from workbell.services.audit.entries import AuditBurstFilter, account_audit_entry
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.identity.authentication import UNKNOWN_CLIENT
from workbell.services.identity.one_time_codes import (
    GeneratedCode,
    OneTimeCodeService,
    send_ignoring_errors,
)
from workbell.services.rate_limits import RateLimiting, known_address, verify_counting_failures
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class PasswordService:
    """
    Changes passwords, and resets forgotten ones.

    `mailer` should send in the background: its time would reveal whether an
    account exists. Passwords are hashed outside of transactions; methods that
    hash raise `Unavailable` if too many hashes are running.
    """

    codes: OneTimeCodeService
    mailer: Mailer
    actor_cache: ActorCache
    burst_filter: AuditBurstFilter
    rate_limits: RateLimiting | None = None

    def change(self, actor: Actor, current: str, new: str, confirm: str | None = None) -> None:
        """
        Change the actor's password and revoke their other sessions.

        Raises:
            Invalid: The current password is wrong, or the new one is refused.
            NotAllowed: The actor uses an API key.
        """
        check(actor, Action.CHANGE_PASSWORD, owner=actor.user_id)
        with self.codes.store.view() as tx:
            user = tx.users.get(actor.user_id)
        self.check_current_password(user, current, actor.client_info)
        check_new_password(user, new, confirm)
        hashed = self.codes.hasher.hash(new)
        self._apply_change(user, hashed, actor)
        self.actor_cache.evict(user.id)
        send_ignoring_errors(self.mailer, compose_password_changed_email(user))

    def request_reset(self, email: str, client_info: ClientInfo = UNKNOWN_CLIENT) -> None:
        """
        Email a code that allows a password reset.

        Nothing is sent to an unknown or inactive address, within a minute of the
        last code, or after five in an hour. The response is always the same;
        errors of the mailer are ignored, too.
        """
        new_code = self.codes.generate()
        with self.codes.min_duration():
            send_ignoring_errors(
                self.mailer, self._compose_reset_email(email, new_code, client_info)
            )

    def reset(
        self,
        email: str,
        code: str,
        new: str,
        client_info: ClientInfo = UNKNOWN_CLIENT,
        confirm: str | None = None,
    ) -> None:
        """
        Set a password by an emailed code and revoke all sessions.

        The code proves access to the mailbox, so it verifies the address as well.

        Raises:
            WrongCode: The code is wrong, expired, used or was tried too often.
            Invalid: The new password is refused; the code stays valid.
        """
        _check_text(new, confirm, (), email)
        user, matching = self.codes.find_matching(email, code, Purpose.RESET_PASSWORD)
        if user is None or matching is None:
            with self.codes.min_duration(), self.codes.store.begin() as tx:
                now = self.codes.clock.now()
                self.burst_filter.add(
                    tx.audit, account_audit_entry(user, "PASSWORD_RESET_FAILED", client_info, now)
                )
            raise WrongCode
        check_new_password(user, new, confirm)
        self._store_reset(user, matching, self.codes.hasher.hash(new), client_info)
        self.actor_cache.evict(user.id)
        send_ignoring_errors(self.mailer, compose_password_changed_email(user))

    def check_current_password(self, user: User, password: str, client_info: ClientInfo) -> None:
        """Raise Invalid if the password is wrong, RateLimited after too many."""
        with self.codes.store.view() as tx:
            trusted_address = known_address(tx, user, client_info.address)
        hasher = self.codes.hasher
        if verify_counting_failures(
            self.rate_limits, hasher, user, user.username, password, trusted_address
        ):
            return
        with self.codes.store.begin() as tx:
            now = self.codes.clock.now()
            self.burst_filter.add(
                tx.audit, account_audit_entry(user, "PASSWORD_PROOF_FAILED", client_info, now)
            )
        raise Invalid.field("current_password", "The current password is wrong.")

    def set_hash(self, tx: IdentityTx, user: User, hashed: str, actor: Actor, action: str) -> User:
        """
        Store a new hash and revoke all sessions but the actor's.

        The caller evicts the user from the actor cache after the commit. Raises
        `Invalid` if another request has changed the password.
        """
        current, now = tx.users.get_for_update(user.id), self.codes.clock.now()
        if current.password_hash != user.password_hash:
            raise Invalid.field("current_password", "The current password is wrong.")
        changed = current.with_password(hashed)
        tx.users.replace(changed)
        self.codes.cancel(tx, current, Purpose.RESET_PASSWORD, now)
        ended = tx.sessions.revoke_all(current.id, now, except_id=actor.session_id)
        changes = {"sessions_ended": [None, ended]}
        tx.audit.add(account_audit_entry(current, action, actor.client_info, now, changes))
        return changed

    @retry_on_contention
    def _apply_change(self, user: User, hashed: str, actor: Actor) -> None:
        with self.codes.store.begin() as tx:
            self.set_hash(tx, user, hashed, actor, "PASSWORD_CHANGE")

    @retry_on_contention
    def _store_reset(
        self, user: User, matching: OneTimeCode, hashed: str, client_info: ClientInfo
    ) -> None:
        with self.codes.store.begin() as tx:
            now = self.codes.clock.now()
            current = tx.users.get_for_update(user.id)
            if not current.is_active or not tx.codes.try_use(matching.id, now):
                raise WrongCode
            tx.users.replace(
                evolve(
                    current.with_password(hashed),
                    is_email_verified=True,
                    token_version=current.token_version + 1,
                )
            )
            changes = {
                "is_email_verified": [current.is_email_verified, True],
                "sessions_ended": [None, tx.sessions.revoke_all(current.id, now)],
            }
            tx.audit.add(account_audit_entry(current, "PASSWORD_RESET", client_info, now, changes))

    @retry_on_contention
    def _compose_reset_email(
        self, email: str, new_code: GeneratedCode, client_info: ClientInfo
    ) -> Email | None:
        with self.codes.store.begin() as tx:
            known, now = tx.users.by_email(email), self.codes.clock.now()
            user = tx.users.get_for_update(known.id) if known else None
            if user is None or not self.codes.may_send(tx, user, Purpose.RESET_PASSWORD, now):
                refused = account_audit_entry(user, "SEND_RESET_REFUSED", client_info, now)
                self.burst_filter.add(tx.audit, refused)
                return None
            self.codes.store_code(tx, user, Purpose.RESET_PASSWORD, new_code, now)
            tx.audit.add(account_audit_entry(user, "SEND_RESET", client_info, now))
        return _compose_code_email(user, new_code, self.codes.life, now)


def check_new_password(user: User, new: str, confirm: str | None = None) -> None:
    """Raise Invalid if the policy refuses a user's new password."""
    names = (user.username, user.first_name, user.last_name)
    _check_text(new, confirm, names, user.email)


def _check_text(new: str, confirm: str | None, names: Sequence[str], email: str) -> None:
    errors = {"password": password_errors(new, names=names, email=email)}
    if confirm not in {None, new}:
        errors["password_confirm"] = ["The two passwords differ."]
    if invalid := {name: texts for name, texts in errors.items() if texts}:
        raise Invalid(field_errors=invalid)


def _compose_code_email(
    user: User, new_code: GeneratedCode, life: timedelta, now: datetime
) -> Email:
    until = f"{now + life:%H:%M} UTC"
    return Email(
        to=user.email,
        subject="Set your password",
        text=(
            f"Hello {user.full_name},\n\n"
            f"your code is {new_code.code}\n\n"
            f"Use it to set a new password, once and until {until}. If you did not request "
            "it, ignore this email; your password stays unchanged.\n"
        ),
    )


def compose_password_changed_email(user: User) -> Email:
    """Compose the notice of a changed password."""
    return Email(
        to=user.email,
        subject="Your password was changed",
        text=(
            f"Hello {user.full_name},\n\n"
            "the password of your account was changed, and other sessions were ended. API keys "
            "still work: review them. If it was not you, set a new password at once.\n"
        ),
    )
