"""Slow hashes by Argon2id."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from threading import BoundedSemaphore
from typing import Self, TypeVar

import argon2
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError
from attrs import define, field, frozen

from workbell.domain.errors import Unavailable

T = TypeVar("T")


@frozen
class Profile:
    """Memory in KiB, passes and concurrency keys of Argon2id."""

    memory_kib: int
    passes: int
    concurrency_keys: int


PROFILES: Mapping[str, Profile] = {
    "owasp": Profile(19 * 1024, 2, 1),
    "rfc9106": Profile(64 * 1024, 3, 4),
    "strong": Profile(128 * 1024, 4, 4),
}
"""OWASP's least, the low-memory one of RFC 9106 (section 4), and a stronger one."""

RETRY_AFTER_SECONDS = (1.0, 2.0, 3.0)
"""Refused callers get these in turn, so that they do not all retry at the same time."""

_OVERLOADED = "Too many people are signing in at once."


@define
class Argon2Hasher:
    """
    Argon2id, by default with the least that OWASP advises: 19 MiB, 2 passes, 1 concurrency key.

    At most `slots` hashes run at a time; the others wait for at most `patience`
    seconds. At most `slots + waiting` callers are admitted, and the next one is
    refused at once: otherwise logins would occupy every thread of the service.

    A fixed pool of threads computes the hashes, because glibc retains the memory
    of a hash in the arena of each thread that ever computed one: 100 hashes leave
    19 MiB in a pool of one thread, and 229 MiB in 12 request threads.
    """

    _hasher: argon2.PasswordHasher
    _pool: ThreadPoolExecutor
    _admitted: BoundedSemaphore
    _patience: float
    _dummy_hash: str = field(init=False, repr=False)
    _retry_after: Iterator[float] = field(factory=lambda: cycle(RETRY_AFTER_SECONDS), init=False)

    def __attrs_post_init__(self) -> None:
        """Precompute a dummy hash, so that unknown users cost as much time as known ones."""
        self._dummy_hash = self._hasher.hash("dummy")

    @classmethod
    def create(
        cls,
        *,
        memory_kib: int = 19 * 1024,
        passes: int = 2,
        concurrency_keys: int = 1,
        slots: int = 2,
        waiting: int = 1_000,
        patience: float = 2.0,
    ) -> Self:
        """Return a hasher with these parameters."""
        hasher = argon2.PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=concurrency_keys
        )
        pool = ThreadPoolExecutor(slots, thread_name_prefix="hash")
        return cls(hasher, pool, BoundedSemaphore(slots + waiting), patience)

    @classmethod
    def of(cls, profile: str, *, slots: int = 2, waiting: int = 2, patience: float = 2.0) -> Self:
        """
        Return a hasher with the parameters of a profile in `PROFILES`.

        Raises:
            KeyError: There is no such profile.
        """
        known = PROFILES[profile]
        return cls.create(
            memory_kib=known.memory_kib,
            passes=known.passes,
            concurrency_keys=known.concurrency_keys,
            slots=slots,
            waiting=waiting,
            patience=patience,
        )

    def hash(self, password: str) -> str:
        """
        Return a new hash, with its salt and parameters, as one text.

        Raises:
            Unavailable: Too many hashes are waiting, or memory is exhausted.
        """
        return self._run(lambda: self._hasher.hash(_bytes(password)))

    def verify(self, password_hash: str, password: str) -> bool:
        """
        Whether a password made the hash; the empty hash takes as long and never matches.

        Raises:
            Unavailable: Too many hashes are waiting, or memory is exhausted.
        """
        compared = password_hash or self._dummy_hash

        def matches() -> bool:
            try:
                return self._hasher.verify(compared, _bytes(password))
            except (VerifyMismatchError, InvalidHashError):
                return False

        return self._run(matches) and bool(password_hash)

    def check_capacity(self) -> None:
        """
        Refuse a caller before any other work is done for it.

        Raises:
            Unavailable: As many callers as are admitted hash or wait already.
        """
        if not self._admitted.acquire(blocking=False):
            raise self._overloaded()
        self._admitted.release()

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than are used now."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def _run(self, work: Callable[[], T]) -> T:
        if not self._admitted.acquire(blocking=False):
            raise self._overloaded()
        try:
            return self._result(self._pool.submit(work))
        except (HashingError, VerificationError, RuntimeError) as error:  # or no thread
            raise Unavailable("There is no memory for hashing.", retry_after=5.0) from error
        finally:
            self._admitted.release()

    def _result(self, future: Future[T]) -> T:
        """Return the result of a hash that starts in time; one that has started is awaited."""
        try:
            return future.result(self._patience)
        except TimeoutError as error:
            if future.cancel():
                raise self._overloaded() from error
            return future.result()

    def _overloaded(self) -> Unavailable:
        return Unavailable(_OVERLOADED, retry_after=next(self._retry_after))


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
