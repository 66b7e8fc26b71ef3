"""Users, their roles and tiers."""

import re
import unicodedata
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self

from attrs import evolve, field, frozen

from workbell.domain.errors import Invalid, NotAllowed, Unauthenticated

UserId = NewType("UserId", int)

EMAIL_LENGTH = 254
USERNAME_LENGTH = 150

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"localhost|(?:{_LABEL}\.)+(?=[a-z]){_LABEL}")

SYSTEM_ID = UserId(0)
"""The owner of work that belongs to nobody in particular."""


def normalise_identifier(identifier: str) -> str:
    """
    Return the form in which two usernames or addresses are compared.

    Compatible characters and case make no difference (NFKC and casefold); of
    an address the domain is in its ASCII form, so that both spellings of an
    international domain are one address. Text that cannot be either still
    gets a key, which no user has.
    """
    folded = unicodedata.normalize("NFKC", identifier).casefold()
    key = unicodedata.normalize("NFKC", folded).strip()
    return ascii_address(key) or key


def ascii_address(email: str) -> str | None:
    """
    Return an address as mail servers take it, or None if it has no such form.

    The domain is given in ASCII (RFC 3490); quoted and non-ASCII local parts,
    address literals and single-label domains but `localhost` are not taken.
    """
    local, _, domain = email.rpartition("@")
    if len(email) > EMAIL_LENGTH or len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        return None
    try:
        ascii_domain = domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    if len(local) + 1 + len(ascii_domain) > EMAIL_LENGTH or not _DOMAIN.fullmatch(ascii_domain):
        return None
    return f"{local}@{ascii_domain}"


class Role(StrEnum):
    """What a person is on the whole platform."""

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    MEMBER = "MEMBER"


class Tier(StrEnum):
    """What a person has paid for; it sets quotas and the share of workers."""

    FREE = "free"
    PREMIUM = "premium"

    @property
    def weight(self) -> float:
        """The share of the workers, against 1.0 for the free tier."""
        return 4.0 if self is Tier.PREMIUM else 1.0


class KeyScope(StrEnum):
    """
    What an API key may be used for, of what its person may do.

    WRITE includes READ, ADMIN includes both.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class AlreadyTaken(Invalid):
    """Somebody has this name or address already."""

    code = "taken"

    @classmethod
    def of(cls, *fields: str) -> Self:
        """Return the error of the fields (`username`, `email`) that are taken."""
        return cls(field_errors={name: [f"A user with this {name} exists."] for name in fields})


class WrongCredentials(Unauthenticated):
    """No active account was found with these credentials."""

    code = "wrong_credentials"


class EmailNotVerified(NotAllowed):
    """The e-mail address has not been verified yet."""

    code = "email_not_verified"


@frozen(kw_only=True)
class User:
    """
    A person who may sign in; `password_hash` is never a password.

    A password that the service made up works until `password_expires_at`;
    those that people choose have none.
    """

    id: UserId = UserId(0)
    username: str
    email: str
    first_name: str = ""
    last_name: str = ""
    password_hash: str = field(default="", repr=False)
    role: Role = Role.MEMBER
    tier: Tier = Tier.FREE
    is_super_user: bool = False
    is_active: bool = True
    is_email_verified: bool = False
    time_zone: str = "UTC"
    token_version: int = 0
    password_expires_at: datetime | None = None
    created_at: datetime

    def with_password(self, hashed: str) -> Self:
        """Return the user with a password that they chose."""
        return evolve(self, password_hash=hashed, password_expires_at=None)

    def may_sign_in(self, now: datetime) -> bool:
        """Whether they are active, and their password is not one made up too long ago."""
        over = self.password_expires_at is not None and self.password_expires_at <= now
        return self.is_active and not over

    @property
    def full_name(self) -> str:
        """First and last name, or the username where neither is known."""
        return full_name(self.username, self.first_name, self.last_name)

    def verified(self) -> Self:
        """Return the user with a verified address."""
        return evolve(self, is_email_verified=True)


def full_name(username: str, first_name: str, last_name: str) -> str:
    """Return first and last name, or the username where neither is known."""
    return f"{first_name} {last_name}".strip() or username
