"""Slow hashes by Argon2id."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from threading import BoundedSemaphore
from typing import Self

import argon2
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError
from attrs import define, field, frozen

from workbell.adapters.cpu_affinity import PROCESSORS
from workbell.adapters.crypto.libsodium import OneLane
from workbell.domain.errors import Unavailable


@frozen
class Profile:
    """Memory in KiB, passes and lanes of Argon2id."""

    memory_kib: int
    passes: int
    lanes: int


PROFILES: Mapping[str, Profile] = {
    "owasp": Profile(19 * 1024, 2, 1),
    "rfc9106": Profile(64 * 1024, 3, 4),
    "strong": Profile(128 * 1024, 4, 4),
}
"""OWASP's least, the low-memory one of RFC 9106 (section 4), and a stronger one."""

_CROWDED = "Too many people are signing in at once."
_COME_AGAIN = (1.0, 2.0, 3.0)
"""Who is refused is told different times, or all would come again at once."""


@define
class Argon2Hasher:
    """
    Argon2id, by default with the least that OWASP advises: 19 MiB, 2 passes, 1 lane.

    At most `slots` hashes run at a time, for each takes its memory, and in
    threads that yield the processor to all others. So many more may wait,
    `patience` seconds long; the next one is refused at once, or else those
    who sign in would hold every thread of the service.
    """

    _hasher: argon2.PasswordHasher
    _slots: BoundedSemaphore
    _places: BoundedSemaphore
    _patience: float
    _nobody: str = field(init=False, repr=False)
    _come_again: Iterator[float] = field(factory=lambda: cycle(_COME_AGAIN), init=False)

    def __attrs_post_init__(self) -> None:
        """Make the hash that stands for nobody, with the parameters of today."""
        self._nobody = self._hasher.hash("nobody")

    @classmethod
    def create(
        cls,
        *,
        memory_kib: int = 19 * 1024,
        passes: int = 2,
        lanes: int = 1,
        slots: int = 2,
        waiting: int = 1_000,
        patience: float = 2.0,
    ) -> Self:
        """Return a hasher with these parameters."""
        kind = OneLane if lanes == 1 else argon2.PasswordHasher
        hasher = kind(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        places = BoundedSemaphore(slots + waiting)
        return cls(hasher, BoundedSemaphore(slots), places, patience)

    @classmethod
    def of(cls, profile: str, *, slots: int = 2, waiting: int = 2, patience: float = 2.0) -> Self:
        """
        Return a hasher with the parameters that go by a name of `PROFILES`.

        Raises:
            KeyError: There is no such profile.
        """
        known = PROFILES[profile]
        return cls.create(
            memory_kib=known.memory_kib,
            passes=known.passes,
            lanes=known.lanes,
            slots=slots,
            waiting=waiting,
            patience=patience,
        )

    def hash(self, password: str) -> str:
        """
        Return a new hash, with its salt and parameters, as one text.

        Raises:
            Unavailable: Too many others are hashing, or there is no memory.
        """
        with self._slot():
            return PROCESSORS.yielding(lambda: self._hasher.hash(_bytes(password)))

    def verify(self, password_hash: str, password: str) -> bool:
        """
        Whether a password made the hash; the empty hash takes as long and never matches.

        Raises:
            Unavailable: Too many others are hashing, or there is no memory.
        """
        kept = password_hash or self._nobody
        with self._slot():
            try:
                PROCESSORS.yielding(lambda: self._hasher.verify(kept, _bytes(password)))
            except (VerifyMismatchError, InvalidHashError):
                return False
        return bool(password_hash)

    def check_room(self) -> None:
        """
        Refuse early who would be refused later.

        Raises:
            Unavailable: As many hash and wait as may.
        """
        if not self._places.acquire(blocking=False):
            raise self._crowded()
        self._places.release()

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than are used now."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise self._crowded()
        try:
            if not self._slots.acquire(timeout=self._patience):
                raise self._crowded()
            try:
                yield
            except (HashingError, VerificationError, RuntimeError) as error:  # or no thread
                raise Unavailable("There is no memory for hashing.", retry_after=5.0) from error
            finally:
                self._slots.release()
        finally:
            self._places.release()

    def _crowded(self) -> Unavailable:
        return Unavailable(_CROWDED, retry_after=next(self._come_again))


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
