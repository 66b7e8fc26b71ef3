"""The second factor: time-based codes (RFC 6238), and recovery codes."""

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Self
from urllib.parse import quote

from attrs import evolve, field, frozen

from workbell.domain.errors import NotAllowed
from workbell.domain.identity.one_time_code import DIGITS, looks_like_code, tidied
from workbell.domain.identity.user import User, UserId, WrongCredentials

STEP = 30
"""How many seconds a code stands for."""
WINDOW = 1
"""How many steps early or late a clock may be (RFC 6238, section 5.2)."""
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


class Duty(StrEnum):
    """Who must have a second factor; anybody may."""

    NONE = "none"
    SUPERUSERS = "superusers"
    EVERYONE = "everyone"

    def binds(self, user: User) -> bool:
        """Whether a person must have one."""
        return self is Duty.EVERYONE or (self is Duty.SUPERUSERS and user.is_super_user)


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
    def works(self) -> bool:
        """Whether it was confirmed, and is asked for."""
        return self.confirmed_at is not None

    def confirmed(
        self, keys: "FactorKeys", typed: str, recovery: Sequence[str], now: datetime
    ) -> Self | None:
        """Return the factor as its first code confirms it, or None if the code is wrong."""
        used = self._after_code(keys, tidied(typed), now)
        return used and evolve(used, confirmed_at=now).renewed(recovery)

    def renewed(self, recovery: Sequence[str]) -> Self:
        """Return the factor with new recovery codes; the earlier ones work no more."""
        return evolve(self, recovery=tuple(_kept(code) for code in recovery))

    def used(self, keys: "FactorKeys", typed: str, now: datetime) -> Self | None:
        """Return the factor with a code or recovery code used up, or None if it is neither."""
        tidy = tidied(typed)
        return self._after_code(keys, tidy, now) or self._after_recovery(tidy)

    def _after_code(self, keys: "FactorKeys", code: str, now: datetime) -> Self | None:
        secret = keys.secret(self)
        if secret is None or not looks_like_code(code):
            return None
        current = int(now.timestamp()) // STEP
        for step in range(max(current - WINDOW, self.last_step + 1), current + WINDOW + 1):
            if hmac.compare_digest(code_at(secret, step), code):
                return evolve(self, last_step=step)
        return None

    def _after_recovery(self, code: str) -> Self | None:
        kept = _kept(code)
        if kept not in self.recovery:
            return None
        return evolve(self, recovery=tuple(one for one in self.recovery if one != kept))


@frozen
class FactorKeys:
    """The service's keys by what they are called; the first one makes new secrets."""

    _keys: Mapping[str, bytes] = field(factory=dict[str, bytes], repr=False)

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> Self:
        """Return these keys, the newest first."""
        return cls({_key_id(key): key for key in keys})

    def begun(self, user_id: UserId, seed: str, now: datetime) -> SecondFactor:
        """Return a new factor of a person's, which has yet to be confirmed."""
        key_id = next(iter(self._keys), "")
        return SecondFactor(user_id=user_id, seed=seed, key_id=key_id, created_at=now)

    def secret(self, factor: SecondFactor) -> bytes | None:
        """Return a factor's secret, or None if its key is gone."""
        if (key := self._keys.get(factor.key_id)) is None:
            return None
        derived = hmac.new(key, b"workbell second factor\0" + factor.seed.encode(), hashlib.sha256)
        return derived.digest()[:_SECRET_BYTES]


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a step since 1970 (RFC 4226, section 5.3, with SHA-1)."""
    digest = hmac.new(secret, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def as_text(secret: bytes) -> str:
    """Return a secret as people type it into their device."""
    return b32encode(secret).decode("ascii")


def as_uri(secret: bytes, username: str) -> str:
    """Return a secret as devices read it from a QR code."""
    label = quote(f"{ISSUER}:{username}", safe=":")
    return f"otpauth://totp/{label}?secret={as_text(secret)}&issuer={ISSUER}"


def draw_recovery_codes(below: Callable[[int], int]) -> list[str]:
    """Return new recovery codes from a source of chance that nobody can guess."""
    return [_drawn(below) for _ in range(RECOVERY_CODES)]


def _drawn(below: Callable[[int], int]) -> str:
    drawn = "".join(_ALPHABET[below(len(_ALPHABET))] for _ in range(RECOVERY_LENGTH))
    return "-".join(drawn[at : at + 6] for at in range(0, RECOVERY_LENGTH, 6))


def _kept(code: str) -> str:
    plain = tidied(code).lower().translate(_MISREAD)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"workbell second factor key\0" + key).hexdigest()[:16]
