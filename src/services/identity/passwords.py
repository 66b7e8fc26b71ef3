"""Changing a password, and setting a forgotten one anew by a mailed code."""

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
from workbell.services.audit import AuditBurstFilter, account_audit_entry
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.identity.one_time_codes import (
    GeneratedCode,
    OneTimeCodeService,
    send_ignoring_errors,
)
from workbell.services.rate_limits import RateLimiting, known_address, verify_counting_failures
from workbell.services.transaction_retry import retry_on_contention

_UNKNOWN_CLIENT = ClientInfo()


@frozen(kw_only=True)
class PasswordService:
    """
    Change passwords, and reset those that were forgotten.

    `mailer` should not make anybody wait: whether mail goes out is a secret.
    Nothing is hashed within a transaction.
    """

    codes: OneTimeCodeService
    mailer: Mailer
    actor_cache: ActorCache
    burst_filter: AuditBurstFilter
    rate_limits: RateLimiting | None = None

    def change(self, actor: Actor, current: str, new: str, confirm: str | None = None) -> None:
        """
        Give the actor another password, and end all their other sessions.

        Raises:
            Invalid: The current one is wrong, or the new one does not do.
            NotAllowed: They ask with an API key.
            Unavailable: The store does not answer, or too many are hashing.
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

    def request_reset(self, email: str, client_info: ClientInfo = _UNKNOWN_CLIENT) -> None:
        """
        Mail a code with which a forgotten password can be set anew.

        For addresses that are unknown, switched off, or got a code less than a
        minute ago or five within the hour, nothing happens, and the answer is
        the same; mail that cannot be sent is no error either.

        Raises:
            Unavailable: The store does not answer, or too many are hashing.
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
        client_info: ClientInfo = _UNKNOWN_CLIENT,
        confirm: str | None = None,
    ) -> None:
        """
        Set a password by the code that was mailed, and end all sessions.

        Whoever had the code reads the mail, so the address is verified too.

        Raises:
            WrongCode: It is wrong, expired, used or was tried too often; or
                nobody waits for a code at this address.
            Invalid: The new password does not do; the code still works.
            Unavailable: The store does not answer, or too many are hashing.
        """
        _check_text(new, confirm, (), email)
        user, fitting = self.codes.find_matching(email, code, Purpose.RESET_PASSWORD)
        if user is None or fitting is None:
            with self.codes.min_duration(), self.codes.store.begin() as tx:
                now = self.codes.clock.now()
                self.burst_filter.add(
                    tx.audit, account_audit_entry(user, "PASSWORD_RESET_FAILED", client_info, now)
                )
            raise WrongCode
        check_new_password(user, new, confirm)
        self._settle(user, fitting, self.codes.hasher.hash(new), client_info)
        self.actor_cache.evict(user.id)
        send_ignoring_errors(self.mailer, compose_password_changed_email(user))

    def check_current_password(self, user: User, password: str, client_info: ClientInfo) -> None:
        """
        Refuse who does not know the current password.

        Raises:
            Invalid: It is wrong.
            TooMany: It was wrong too often within the hour.
            Unavailable: The store does not answer, or too many are hashing.
        """
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

    def set_hash(self, tx: IdentityTx, seen: User, hashed: str, actor: Actor, action: str) -> User:
        """
        Keep a new hash, and end every session but the actor's own.

        Call `actor_cache.forget` after the commit.

        Raises:
            Invalid: The password was changed meanwhile.
        """
        current, now = tx.users.get_for_update(seen.id), self.codes.clock.now()
        if current.password_hash != seen.password_hash:
            raise Invalid.field("current_password", "The current password is wrong.")
        changed = current.with_password(hashed)
        tx.users.replace(changed)
        self.codes.cancel(tx, current, Purpose.RESET_PASSWORD, now)
        ended = tx.sessions.revoke_all(current.id, now, except_id=actor.session_id)
        told = {"sessions_ended": [None, ended]}
        tx.audit.add(account_audit_entry(current, action, actor.client_info, now, told))
        return changed

    @retry_on_contention
    def _apply_change(self, user: User, hashed: str, actor: Actor) -> None:
        with self.codes.store.begin() as tx:
            self.set_hash(tx, user, hashed, actor, "PASSWORD_CHANGE")

    @retry_on_contention
    def _settle(
        self, user: User, fitting: OneTimeCode, hashed: str, client_info: ClientInfo
    ) -> None:
        with self.codes.store.begin() as tx:
            now = self.codes.clock.now()
            current = tx.users.get_for_update(user.id)
            if not current.is_active or not tx.codes.try_use(fitting.id, now):
                raise WrongCode
            tx.users.replace(
                evolve(
                    current.with_password(hashed),
                    is_email_verified=True,
                    token_version=current.token_version + 1,
                )
            )
            tx.sessions.revoke_all(current.id, now)
            tx.audit.add(account_audit_entry(current, "PASSWORD_RESET", client_info, now))

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
    """
    Refuse a password that the policy does not take for this person.

    Raises:
        Invalid: With what is wrong with it.
    """
    names = (user.username, user.first_name, user.last_name)
    _check_text(new, confirm, names, user.email)


def _check_text(new: str, confirm: str | None, names: Sequence[str], email: str) -> None:
    errors = {"password": password_errors(new, names=names, email=email)}
    if confirm not in {None, new}:
        errors["password_confirm"] = ["The two passwords differ."]
    if at_fault := {name: said for name, said in errors.items() if said}:
        raise Invalid(field_errors=at_fault)


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
            f"With it you can set a new password, once and until {until}. If you did not ask "
            "for it, nothing needs to be done, and your password stays as it is.\n"
        ),
    )


def compose_password_changed_email(user: User) -> Email:
    """Return the letter that tells somebody of a change that they should know of."""
    return Email(
        to=user.email,
        subject="Your password was changed",
        text=(
            f"Hello {user.full_name},\n\n"
            "the password of your account was changed, and other sessions were ended. API keys "
            "go on working: look through them. If it was not you, set a new password at once.\n"
        ),
    )
