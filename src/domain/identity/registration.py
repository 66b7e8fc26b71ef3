"""Registration of a user: validation of the submitted fields."""

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
    """Return one sentence for each problem of a username."""
    if not username:
        return ["A username is required."]
    if max(len(username), len(normalise_identifier(username))) > USERNAME_LENGTH:
        return [f"A username must have at most {USERNAME_LENGTH} characters."]
    if not all(_is_username_character(c) for c in username):
        return ["A username may contain only letters, digits and the characters _ . + -"]
    if not any(c.isalnum() for c in username):
        return ["A username must contain letters or digits."]
    return []


def email_errors(email: str) -> list[str]:
    """Return one sentence for each problem of an email address."""
    if not email:
        return ["An email address is required."]
    if len(email) > EMAIL_LENGTH:
        return [f"An email address must have at most {EMAIL_LENGTH} characters."]
    if ascii_address(email) is None:
        return ["This is not a valid email address."]
    return []


def name_errors(name: str) -> list[str]:
    """Return one sentence for each problem of a first or last name."""
    if len(name) > NAME_LENGTH:
        return [f"A name must have at most {NAME_LENGTH} characters."]
    if any(unicodedata.category(c) in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"} for c in name):
        return ["A name must not contain control characters."]
    return []


def time_zone_errors(time_zone: str) -> list[str]:
    """Return one sentence for each problem of a time zone name."""
    try:
        load_zone(time_zone)
    except Invalid as error:
        return error.field_errors["time_zone"]
    return []


def username_from_email(email: str, suffix: str = "") -> str:
    """Derive a username from the local part of an email address."""
    local = email.rpartition("@")[0]
    username = "".join(c for c in local if _is_username_character(c))
    if not any(c.isalnum() for c in username):
        username = "user"
    return username[: USERNAME_LENGTH - len(suffix)] + suffix


def _is_username_character(character: str) -> bool:
    return character in _USERNAME_MARKS or unicodedata.category(character)[0] in "LMN"


def _stripped(text: str) -> str:
    return text.strip()


def _stripped_or_none(text: str | None) -> str | None:
    return (text or "").strip() or None


@frozen(kw_only=True)
class Registration:
    """
    The fields that a new user submits.

    Without a username one is derived from the email address. `tier`, `role` and
    `is_super_user` are accepted only to reject elevated values by name.
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
        """Raise Invalid, with every invalid field and any privilege requested."""
        errors = self._text_errors() | self._privilege_errors(self_service_tier)
        if self.password_confirm not in {None, self.password}:
            errors["password_confirm"] = ["The two passwords differ."]
        if field_errors := {name: messages for name, messages in errors.items() if messages}:
            raise Invalid(field_errors=field_errors)

    def user(self, username: str, password_hash: str, now: datetime) -> User:
        """Return the new user, unverified and not stored yet."""
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
            errors["tier"] = ["Only a superuser can assign this tier."]
        if self.role is not Role.MEMBER:
            errors["role"] = ["Only a superuser can assign this role."]
        if self.is_super_user:
            errors["is_super_user"] = ["Only a superuser can create another."]
        return errors
