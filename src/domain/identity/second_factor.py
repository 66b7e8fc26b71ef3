"""The second factor: its secret, used time steps and recovery codes."""

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
"""Seconds of a time step, which has one code (RFC 6238, section 4.1)."""
WINDOW = 1
"""Time steps by which a device's clock may be early or late (RFC 6238, section 5.2)."""
RECOVERY_CODES = 10
RECOVERY_LENGTH = 24
"""Of 32 characters each: 120 random bits, so that a fast hash of it is enough (ASVS 6.5.2)."""
ISSUER = "Workbell"

_SECRET_BYTES = 20  # as long as the hash (RFC 4226, section 4)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_MISREAD = str.maketrans("oil", "011")


class SecondFactorRequired(NotAllowed):
    """Signing in takes a code of the second factor besides: send it as `code`."""

    code = "second_factor_required"


class EnrolmentRequired(SecondFactorRequired):
    """Add a second factor first: the settings of the service require one."""


class WrongSecondFactor(WrongCredentials):
    """The code of the second factor is wrong, or was used already."""

    code = "wrong_second_factor"


class SecondFactorPolicy(StrEnum):
    """Who must have a second factor; anybody may."""

    NONE = "none"
    SUPERUSERS = "superusers"
    EVERYONE = "everyone"

    def applies_to(self, user: User) -> bool:
        """Whether a person must have one."""
        return self is SecondFactorPolicy.EVERYONE or (
            self is SecondFactorPolicy.SUPERUSERS and user.is_super_user
        )


@frozen(kw_only=True)
class SecondFactor:
    """
    What is kept of a person's second factor; it works once it was confirmed.

    The secret is derived from `seed`, a random number of the person's own, by
    the service's key that is called `key_id`: the tables hold none. Of the
    codes up to `last_step` none works again. `recovery` are the hashes of the
    recovery codes that are left.
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
        """Whether it was confirmed, and is asked for."""
        return self.confirmed_at is not None

    def confirm(self, step: int | None, recovery: Sequence[str], now: datetime) -> Self | None:
        """Return the factor confirmed by a code of this step, or None as `use_step` does."""
        used = self.use_step(step)
        return used and evolve(used, confirmed_at=now).renewed(recovery)

    def renewed(self, recovery: Sequence[str]) -> Self:
        """Return the factor with new recovery codes; the earlier ones work no more."""
        return evolve(self, recovery=tuple(_kept(code) for code in recovery))

    def use_step(self, step: int | None) -> Self | None:
        """
        Return the factor with a code of this step used.

        None if there is no step, or if a code of it or of a later one was used.
        """
        if step is None or step <= self.last_step:
            return None
        return evolve(self, last_step=step)

    def use_recovery_code(self, typed: str) -> Self | None:
        """Return the factor without this recovery code, or None if it is none."""
        used = _kept(typed)
        if used not in self.recovery:
            return None
        return evolve(self, recovery=tuple(one for one in self.recovery if one != used))


@frozen
class FactorKeys:
    """The service's keys by what they are called; the first one makes new secrets."""

    _keys: Mapping[str, bytes] = field(factory=dict[str, bytes], repr=False)

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> Self:
        """Return these keys, the newest first."""
        return cls({_key_id(key): key for key in keys})

    def enrol(self, user_id: UserId, seed: str, now: datetime) -> SecondFactor:
        """Return a new factor of a person's, which has yet to be confirmed."""
        key_id = next(iter(self._keys), "")
        return SecondFactor(user_id=user_id, seed=seed, key_id=key_id, created_at=now)

    def secret(self, factor: SecondFactor) -> bytes | None:
        """Return a factor's secret, or None if its key is gone."""
        if (key := self._keys.get(factor.key_id)) is None:
            return None
        derived = hmac.new(key, b"workbell second factor\0" + factor.seed.encode(), hashlib.sha256)
        return derived.digest()[:_SECRET_BYTES]


def base32_secret(secret: bytes) -> str:
    """Return a secret as text, for people who type it into their device."""
    return b32encode(secret).decode("ascii")


def draw_recovery_codes(below: Callable[[int], int]) -> list[str]:
    """Return new recovery codes from a source of chance that nobody can guess."""
    return [_drawn(below) for _ in range(RECOVERY_CODES)]


def _drawn(below: Callable[[int], int]) -> str:
    drawn = "".join(_ALPHABET[below(len(_ALPHABET))] for _ in range(RECOVERY_LENGTH))
    return "-".join(drawn[at : at + 6] for at in range(0, RECOVERY_LENGTH, 6))


def _kept(code: str) -> str:
    plain = normalise_code(code).lower().translate(_MISREAD)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"workbell second factor key\0" + key).hexdigest()[:16]
