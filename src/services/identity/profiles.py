"""Use cases of user profiles: names, time zone, username, address."""

from typing import Any

from attrs import asdict, evolve, field, frozen

from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.one_time_code import Purpose
from workbell.domain.identity.permissions import Action, check, may
from workbell.domain.identity.registration import (
    email_errors,
    name_errors,
    time_zone_errors,
    username_errors,
)
from workbell.domain.identity.user import User, UserId, normalise_identifier
from workbell.ports.identity.users import IdentityTx
from workbell.ports.mail import Email
from workbell.services.audit.entries import user_change_entry
from workbell.services.identity.one_time_codes import GeneratedCode, send_ignoring_errors
from workbell.services.identity.passwords import (
    PasswordService,
    check_new_password,
    compose_password_changed_email,
)
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class ProfileChange:
    """
    Fields of a profile to change; None leaves a field unchanged.

    Users who change their own address or password give the current password.
    A new address must be verified.
    """

    username: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    time_zone: str | None = None
    password: str | None = field(default=None, repr=False)
    current_password: str | None = field(default=None, repr=False)

    def values(self) -> dict[str, str]:
        """Return the changed fields but passwords, without outer spaces."""
        fields = asdict(self)
        del fields["current_password"], fields["password"]
        return {name: text.strip() for name, text in fields.items() if text is not None}

    def check(self) -> None:
        """Raise Invalid with all malformed fields."""
        checks = {
            "username": username_errors,
            "email": email_errors,
            "first_name": name_errors,
            "last_name": name_errors,
            "time_zone": time_zone_errors,
        }
        errors = {name: checks[name](text) for name, text in self.values().items()}
        if invalid := {name: texts for name, texts in errors.items() if texts}:
            raise Invalid(field_errors=invalid)


@frozen
class _Secrets:
    """New code and password hash, computed before the transaction."""

    new_code: GeneratedCode | None = None
    password_hash: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class ProfileService:
    """Changes the actor's own profile; superusers may change any."""

    passwords: PasswordService

    def change(self, actor: Actor, change: ProfileChange, user_id: UserId | None = None) -> User:
        """
        Change a profile, by default the actor's; email a code to a new address.

        A new password revokes all sessions of the user but the actor's.

        Raises:
            Invalid: A field is wrong, including `current_password`; `AlreadyTaken`
                for a name or address in use.
            NotFound: There is no such user, or the actor may not see them.
            NotAllowed: An API key is read-only, or changes address or password.
            Unavailable: The store is down, or too many hashes are running.
        """
        user = self.get_profile(actor, actor.user_id if user_id is None else user_id)
        change.check()
        secrets = self._check_proofs(actor, user, change)
        before, after = self._save(actor, user, change, secrets)
        self.passwords.actor_cache.evict(user.id)
        self._notify(before, after, secrets)
        return after

    def get_profile(self, actor: Actor, user_id: UserId) -> User:
        """Return a user whom the actor may change; raises NotFound."""
        is_own = user_id == actor.user_id
        if not is_own and not may(actor, Action.ADMINISTER_PEOPLE):
            raise NotFound(f"There is no user {user_id}.")
        if is_own:
            check(actor, Action.CHANGE_PROFILE, owner=user_id)
        with self.passwords.codes.store.view() as tx:
            return tx.users.get(user_id)

    def _check_proofs(self, actor: Actor, user: User, change: ProfileChange) -> _Secrets:
        """Check the current password; return new code and hash as needed."""
        new_address = change.email is not None and normalise_identifier(
            change.email
        ) != normalise_identifier(user.email)
        if not new_address and change.password is None:
            return _Secrets()
        if user.id == actor.user_id:
            check(actor, Action.CHANGE_ADDRESS, owner=user.id)
            if change.current_password is None:
                raise Invalid.field(
                    "current_password", "Give the current password for this change."
                )
            self.passwords.check_current_password(user, change.current_password, actor.client_info)
        if change.password is None:
            return _Secrets(self.passwords.codes.generate())
        check_new_password(user, change.password)
        hashed = self.passwords.codes.hasher.hash(change.password)
        return _Secrets(self.passwords.codes.generate() if new_address else None, hashed)

    @retry_on_contention
    def _save(
        self, actor: Actor, user: User, change: ProfileChange, secrets: _Secrets
    ) -> tuple[User, User]:
        """Store a change; return the user before and after."""
        codes = self.passwords.codes
        with codes.store.begin() as tx:
            before = tx.users.get_for_update(user.id)
            after = self._apply(tx, before, change, secrets)
            if secrets.password_hash is not None:
                after = self.passwords.set_hash(
                    tx, before, secrets.password_hash, actor, "PASSWORD_CHANGE"
                )
            if after != before:
                tx.audit.add(user_change_entry(actor, before, after, codes.clock.now()))
        return before, after

    def _apply(
        self, tx: IdentityTx, before: User, change: ProfileChange, secrets: _Secrets
    ) -> User:
        values: dict[str, Any] = change.values()
        if secrets.new_code is None:
            values.pop("email", None)
        else:
            values["is_email_verified"] = False
        after = evolve(before, **values)
        if after != before:
            tx.users.replace(after)
        if secrets.new_code is not None:
            codes, now = self.passwords.codes, self.passwords.codes.clock.now()
            codes.store_code(tx, after, Purpose.VERIFY_EMAIL, secrets.new_code, now)
            codes.cancel(tx, after, Purpose.RESET_PASSWORD, now)
        return after

    def _notify(self, before: User, after: User, secrets: _Secrets) -> None:
        messages = []
        if secrets.new_code is not None:
            messages += [
                _compose_code_email(after, secrets.new_code),
                _compose_address_changed_email(before),
            ]
        if secrets.password_hash is not None:
            messages.append(compose_password_changed_email(before))
        for message in messages:
            send_ignoring_errors(self.passwords.mailer, message)


def _compose_code_email(user: User, new_code: GeneratedCode) -> Email:
    return Email(
        to=user.email,
        subject="Verify your new e-mail address",
        text=(
            f"Hello {user.full_name},\n\n"
            f"your code is {new_code.code}\n\n"
            "It verifies this address, once. If you did not request it, another user typed your "
            "address by mistake; ignore this email.\n"
        ),
    )


def _compose_address_changed_email(user: User) -> Email:
    return Email(
        to=user.email,
        subject="Your e-mail address was changed",
        text=(
            f"Hello {user.full_name},\n\n"
            "the e-mail address of your account was changed to another one. "
            "If it was not you, contact an administrator at once.\n"
        ),
    )
