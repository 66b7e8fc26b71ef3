"""A person's own profile: names, time zone, username and address."""

from datetime import datetime
from typing import Any

from attrs import asdict, evolve, field, frozen

from ..domain.audit import AuditEntry
from ..domain.errors import Invalid
from ..domain.identity import Actor, User, login_key
from ..domain.otp import Purpose
from ..domain.permissions import Action, check
from ..domain.registration import email_errors, name_errors, time_zone_errors, username_errors
from ..ports.identity import IdentityTx
from ..ports.mail import Letter
from .codes import FreshCode, send_quietly
from .passwords import Passwords


@frozen(kw_only=True)
class ProfileChange:
    """
    What a person changes of themselves; None leaves it as it is.

    Another address takes the current password, and has to be verified anew.
    """

    username: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    time_zone: str | None = None
    current_password: str | None = field(default=None, repr=False)

    def values(self) -> dict[str, str]:
        """Return what changes, without spaces around it."""
        given = asdict(self)
        del given["current_password"]
        return {name: text.strip() for name, text in given.items() if text is not None}

    def check(self) -> None:
        """
        Refuse what is malformed.

        Raises:
            Invalid: With every field at fault.
        """
        checks = {
            "username": username_errors,
            "email": email_errors,
            "first_name": name_errors,
            "last_name": name_errors,
            "time_zone": time_zone_errors,
        }
        errors = {name: checks[name](text) for name, text in self.values().items()}
        if at_fault := {name: said for name, said in errors.items() if said}:
            raise Invalid(field_errors=at_fault)


@frozen(kw_only=True)
class Profiles:
    """Change one's own profile."""

    passwords: Passwords

    def change(self, actor: Actor, change: ProfileChange) -> User:
        """
        Change the actor's profile, and mail a code to a new address.

        Raises:
            Invalid: With the fields at fault, `current_password` among them;
                `Taken` for a name or address that another has.
            NotAllowed: An API key changes the address, or may only read.
            Unavailable: The store does not answer, or too many are hashing.
        """
        check(actor, Action.CHANGE_PROFILE, owner=actor.user_id)
        change.check()
        codes = self.passwords.codes
        with codes.store.view() as tx:
            user = tx.users.get(actor.user_id)
        fresh = self._proven(actor, user, change)
        with codes.store.begin() as tx:
            before = tx.users.get_for_update(user.id)
            after = self._changed(tx, before, change, fresh)
            if after != before:
                tx.audit.add(_entry(actor, before, after, codes.clock.now()))
        self.passwords.recent.forget(user.id)
        if fresh is not None:
            self._tell(before, after, fresh)
        return after

    def _proven(self, actor: Actor, user: User, change: ProfileChange) -> FreshCode | None:
        """Return the code for a new address, if there is one and the password is right."""
        if change.email is None or login_key(change.email) == login_key(user.email):
            return None
        check(actor, Action.CHANGE_ADDRESS, owner=actor.user_id)
        if change.current_password is None:
            raise Invalid.field("current_password", "Another address takes the current password.")
        self.passwords.prove(user, change.current_password, actor.origin)
        return self.passwords.codes.fresh()

    def _changed(
        self, tx: IdentityTx, before: User, change: ProfileChange, fresh: FreshCode | None
    ) -> User:
        values: dict[str, Any] = change.values()
        if fresh is None:
            values.pop("email", None)
        else:
            values["is_email_verified"] = False
        after = evolve(before, **values)
        if after != before:
            tx.users.replace(after)
        if fresh is not None:
            codes, now = self.passwords.codes, self.passwords.codes.clock.now()
            codes.keep(tx, after, Purpose.VERIFY_EMAIL, fresh, now)
            codes.cancel(tx, after, Purpose.RESET_PASSWORD, now)
        return after

    def _tell(self, before: User, after: User, fresh: FreshCode) -> None:
        for letter in (_code_letter(after, fresh), _moved_letter(before)):
            send_quietly(self.passwords.mailer, letter)


def _entry(actor: Actor, before: User, after: User, at: datetime) -> AuditEntry:
    old, new = asdict(before), asdict(after)
    changes = {name: [old[name], new[name]] for name in old if old[name] != new[name]}
    return AuditEntry.of(actor, "UPDATE", "user", before.id, at, changes)


def _code_letter(user: User, fresh: FreshCode) -> Letter:
    return Letter(
        to=user.email,
        subject="Verify your new e-mail address",
        text=(
            f"Hello {user.full_name},\n\n"
            f"your code is {fresh.code}\n\n"
            "It verifies this address, once. If you did not ask for it, somebody typed your "
            "address by mistake, and nothing needs to be done.\n"
        ),
    )


def _moved_letter(user: User) -> Letter:
    return Letter(
        to=user.email,
        subject="Your e-mail address was changed",
        text=(
            f"Hello {user.full_name},\n\n"
            "your account has another e-mail address now, and this one belongs to it no more. "
            "If it was not you, tell the administrator at once.\n"
        ),
    )
