"""Second factor (TOTP): secret, used time steps and recovery codes."""

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Self

from attrs import evolve, field, frozen

from workbell.domain.errors import NotAllowed
from workbell.domain.identity.one_time_code import normalise_code
from workbell.domain.identity.user import User, UserId, WrongCredentials

STEP = 30
"""Seconds of a time step; each has one code (RFC 6238, section 4.1)."""
WINDOW = 1
"""Time steps by which a device's clock may differ (RFC 6238, section 5.2)."""
RECOVERY_CODES = 10
RECOVERY_LENGTH = 24
"""Characters from an alphabet of 32: 120 random bits, so a fast hash is safe (ASVS 6.5.2)."""
ISSUER = "Workbell"

_SECRET_BYTES = 20  # as long as the hash (RFC 4226, section 4)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LOOKALIKES = str.maketrans("oil", "011")


class SecondFactorRequired(NotAllowed):
    """This login also requires a code of the second factor: send it as `code`."""

    code = "second_factor_required"


class EnrolmentRequired(SecondFactorRequired):
    """Add a second factor first: this service requires one."""


class WrongSecondFactor(WrongCredentials):
    """The code of the second factor is wrong or was used already."""

    code = "wrong_second_factor"


class SecondFactorPolicy(StrEnum):
    """Which users are required to have a second factor; it is open to all."""

    NONE = "none"
    SUPERUSERS = "superusers"
    EVERYONE = "everyone"

    def applies_to(self, user: User) -> bool:
        """Whether the user is required to have a second factor."""
        return self is SecondFactorPolicy.EVERYONE or (
            self is SecondFactorPolicy.SUPERUSERS and user.is_super_user
        )


@frozen(kw_only=True)
class SecondFactor:
    """
    The stored second factor of a user; in force once it is confirmed.

    The TOTP secret is not stored: it is derived from `seed`, a random value per
    user, with the service's key named `key_id`. Codes of time steps up to
    `last_step` are rejected. `recovery` holds the hashes of the unused recovery
    codes.
    """

    user_id: UserId
    seed: str = field(repr=False)
    key_id: str
    created_at: datetime
    confirmed_at: datetime | None = None
    last_step: int = 0
    recovery: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_confirmed(self) -> bool:
        """Whether the user has confirmed it, so that logins require it."""
        return self.confirmed_at is not None

    def confirm(self, step: int | None, recovery: Sequence[str], now: datetime) -> Self | None:
        """Return the factor confirmed by a code of this step; None as `use_step`."""
        used = self.use_step(step)
        return used and evolve(used, confirmed_at=now).with_recovery_codes(recovery)

    def with_recovery_codes(self, recovery: Sequence[str]) -> Self:
        """Return the factor with new recovery codes, which replace earlier ones."""
        return evolve(self, recovery=tuple(_hash_recovery_code(code) for code in recovery))

    def use_step(self, step: int | None) -> Self | None:
        """
        Return the factor with the code of a time step marked as used.

        None if `step` is None, or if its code or a later one was used already.
        """
        if step is None or step <= self.last_step:
            return None
        return evolve(self, last_step=step)

    def use_recovery_code(self, typed: str) -> Self | None:
        """Return the factor without this recovery code, or None if it is wrong."""
        used = _hash_recovery_code(typed)
        if used not in self.recovery:
            return None
        return evolve(self, recovery=tuple(each for each in self.recovery if each != used))


@frozen
class FactorKeys:
    """The service's keys by id; the first one derives new secrets."""

    _keys: Mapping[str, bytes] = field(factory=dict[str, bytes], repr=False)

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> Self:
        """Build the mapping from keys, newest first."""
        return cls({_key_id(key): key for key in keys})

    def enrol(self, user_id: UserId, seed: str, now: datetime) -> SecondFactor:
        """Return a new, unconfirmed factor of a user."""
        key_id = next(iter(self._keys), "")
        return SecondFactor(user_id=user_id, seed=seed, key_id=key_id, created_at=now)

    def secret(self, factor: SecondFactor) -> bytes | None:
        """Derive a factor's secret, or return None if its key is gone."""
        if (key := self._keys.get(factor.key_id)) is None:
            return None
        derived = hmac.new(key, b"workbell second factor\0" + factor.seed.encode(), hashlib.sha256)
        return derived.digest()[:_SECRET_BYTES]


def base32_secret(secret: bytes) -> str:
    """Encode a secret in base32, for users who type it into their device."""
    return b32encode(secret).decode("ascii")


def generate_recovery_codes(randbelow: Callable[[int], int]) -> list[str]:
    """Return new recovery codes; `randbelow` must be cryptographically secure."""
    return [_generate_recovery_code(randbelow) for _ in range(RECOVERY_CODES)]


def _generate_recovery_code(randbelow: Callable[[int], int]) -> str:
    code = "".join(_ALPHABET[randbelow(len(_ALPHABET))] for _ in range(RECOVERY_LENGTH))
    return "-".join(code[at : at + 6] for at in range(0, RECOVERY_LENGTH, 6))


def _hash_recovery_code(code: str) -> str:
    normalised = normalise_code(code).lower().translate(_LOOKALIKES)
    return hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).hexdigest()


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"workbell second factor key\0" + key).hexdigest()[:16]
