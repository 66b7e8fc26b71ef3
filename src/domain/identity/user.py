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
"""The owner of jobs and schedules that do not belong to a user."""


def normalise_identifier(identifier: str) -> str:
    """
    Return the form in which usernames and email addresses are compared.

    Applies NFKC and case folding; the domain of an address is converted to
    ASCII, so both spellings of an international domain are equal. Text that is
    neither a username nor an address still gets a key, which matches no user.
    """
    folded = unicodedata.normalize("NFKC", identifier).casefold()
    key = unicodedata.normalize("NFKC", folded).strip()
    return ascii_address(key) or key


def ascii_address(email: str) -> str | None:
    """
    Return an address in the form mail servers accept, or None.

    The domain is converted to ASCII (RFC 3490). Quoted or non-ASCII local parts,
    address literals and single-label domains except `localhost` are rejected.
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
    """A user's role on the whole platform."""

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    MEMBER = "MEMBER"


class Tier(StrEnum):
    """A user's subscription; it determines quotas and the share of workers."""

    FREE = "free"
    PREMIUM = "premium"

    @property
    def weight(self) -> float:
        """The share of the workers, relative to 1.0 for the free tier."""
        return 4.0 if self is Tier.PREMIUM else 1.0


class KeyScope(StrEnum):
    """
    The operations that an API key permits, within its user's rights.

    WRITE includes READ, ADMIN includes both.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class AlreadyTaken(Invalid):
    """Another user has this username or email address."""

    code = "taken"

    @classmethod
    def of(cls, *fields: str) -> Self:
        """Build the error of the fields (`username`, `email`) that are taken."""
        return cls(field_errors={name: [f"A user with this {name} exists."] for name in fields})


class WrongCredentials(Unauthenticated):
    """No active account was found with these credentials."""

    code = "wrong_credentials"


class EmailNotVerified(NotAllowed):
    """The email address has not been verified yet."""

    code = "email_not_verified"


@frozen(kw_only=True)
class User:
    """
    A user who can log in.

    A password that the service generated is valid until `password_expires_at`;
    passwords that users choose do not expire (None).
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
        """Return the user with a password they chose."""
        return evolve(self, password_hash=hashed, password_expires_at=None)

    def may_sign_in(self, now: datetime) -> bool:
        """Whether the user is active and their password has not expired."""
        expires_at = self.password_expires_at
        return self.is_active and (expires_at is None or now < expires_at)

    @property
    def full_name(self) -> str:
        """First and last name, or the username if both are empty."""
        return full_name(self.username, self.first_name, self.last_name)

    def verified(self) -> Self:
        """Return the user with a verified email address."""
        return evolve(self, is_email_verified=True)


def full_name(username: str, first_name: str, last_name: str) -> str:
    """Return first and last name, or the username if both are empty."""
    return f"{first_name} {last_name}".strip() or username
