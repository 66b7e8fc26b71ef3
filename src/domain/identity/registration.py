"""What a new person tells of themselves, and what they may not ask for."""

import unicodedata
from datetime import datetime

from attrs import field, frozen

from workbell.domain.cron.time_zones import load_zone
from workbell.domain.errors import Invalid
from workbell.domain.identity.password_policy import password_errors
from workbell.domain.identity.user import (
    EMAIL_LENGTH,
    USERNAME_LENGTH,
    Role,
    Tier,
    User,
    ascii_address,
    normalise_identifier,
)

NAME_LENGTH = 150

_USERNAME_MARKS = frozenset("_.+-")


def username_errors(username: str) -> list[str]:
    """Return what is wrong with a username: nothing, or one sentence each."""
    if not username:
        return ["A username is needed."]
    if max(len(username), len(normalise_identifier(username))) > USERNAME_LENGTH:
        return [f"A username has at most {USERNAME_LENGTH} characters."]
    if not all(_is_username_character(c) for c in username):
        return ["A username is made of letters, digits and the marks _ . + - only."]
    if not any(c.isalnum() for c in username):
        return ["A username has at least one letter or digit."]
    return []


def email_errors(email: str) -> list[str]:
    """Return what is wrong with an address: nothing, or one sentence each."""
    if not email:
        return ["An e-mail address is needed."]
    if len(email) > EMAIL_LENGTH:
        return [f"An e-mail address has at most {EMAIL_LENGTH} characters."]
    if ascii_address(email) is None:
        return ["This is not an e-mail address."]
    return []


def name_errors(name: str) -> list[str]:
    """Return what is wrong with a first or last name: nothing, or one sentence each."""
    if len(name) > NAME_LENGTH:
        return [f"A name has at most {NAME_LENGTH} characters."]
    if any(unicodedata.category(c) in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"} for c in name):
        return ["A name has no control characters."]
    return []


def time_zone_errors(time_zone: str) -> list[str]:
    """Return what is wrong with a time zone: nothing, or one sentence each."""
    try:
        load_zone(time_zone)
    except Invalid as error:
        return error.field_errors["time_zone"]
    return []


def username_from_email(email: str, suffix: str = "") -> str:
    """Return a username for somebody who gave only an address."""
    local = email.rpartition("@")[0]
    kept = "".join(c for c in local if _is_username_character(c))
    if not any(c.isalnum() for c in kept):
        kept = "user"
    return kept[: USERNAME_LENGTH - len(suffix)] + suffix


def _is_username_character(character: str) -> bool:
    return character in _USERNAME_MARKS or unicodedata.category(character)[0] in "LMN"


def _stripped(text: str) -> str:
    return text.strip()


def _stripped_or_none(text: str | None) -> str | None:
    return (text or "").strip() or None


@frozen(kw_only=True)
class Registration:
    """
    What a new person tells of themselves.

    Without a username they get one from the address. `tier`, `role` and
    `is_super_user` stand here so that asking for too much is refused by name.
    """

    email: str = field(converter=_stripped)
    password: str = field(repr=False)
    password_confirm: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, converter=_stripped_or_none)
    first_name: str = field(default="", converter=_stripped)
    last_name: str = field(default="", converter=_stripped)
    tier: Tier = Tier.FREE
    role: Role = Role.MEMBER
    is_super_user: bool = False
    time_zone: str = "UTC"

    def check(self, *, self_service_tier: bool) -> None:
        """
        Refuse what is malformed, and what only a superuser may give.

        Raises:
            Invalid: With every field at fault and what is wrong with it.
        """
        errors = self._text_errors() | self._privilege_errors(self_service_tier)
        if self.password_confirm not in {None, self.password}:
            errors["password_confirm"] = ["The two passwords differ."]
        if at_fault := {name: said for name, said in errors.items() if said}:
            raise Invalid(field_errors=at_fault)

    def user(self, username: str, password_hash: str, now: datetime) -> User:
        """Return the new person, unverified and without a row as yet."""
        return User(
            username=username,
            email=self.email,
            first_name=self.first_name,
            last_name=self.last_name,
            password_hash=password_hash,
            tier=self.tier,
            time_zone=self.time_zone,
            created_at=now,
        )

    def _text_errors(self) -> dict[str, list[str]]:
        names = (self.username or "", self.first_name, self.last_name)
        return {
            "username": [] if self.username is None else username_errors(self.username),
            "email": email_errors(self.email),
            "first_name": name_errors(self.first_name),
            "last_name": name_errors(self.last_name),
            "time_zone": time_zone_errors(self.time_zone),
            "password": password_errors(self.password, names=names, email=self.email),
        }

    def _privilege_errors(self, self_service_tier: bool) -> dict[str, list[str]]:
        errors: dict[str, list[str]] = {}
        if self.tier is not Tier.FREE and not self_service_tier:
            errors["tier"] = ["Only a superuser gives this tier."]
        if self.role is not Role.MEMBER:
            errors["role"] = ["Only a superuser gives this role."]
        if self.is_super_user:
            errors["is_super_user"] = ["Only a superuser makes another."]
        return errors
