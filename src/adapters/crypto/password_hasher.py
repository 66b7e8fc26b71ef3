"""Password hashes by Argon2id."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from threading import BoundedSemaphore
from typing import Self, TypeVar

import argon2
import attrs
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import ARGON2_VERSION
from attrs import define, field, frozen

from workbell.domain.errors import Unavailable

T = TypeVar("T")


@frozen
class Profile:
    """Memory in KiB, passes and degree of parallelism of Argon2id."""

    memory_kib: int
    passes: int
    parallelism: int


PROFILES: Mapping[str, Profile] = {
    "owasp": Profile(19 * 1024, 2, 1),
    "rfc9106": Profile(64 * 1024, 3, 4),
    "strong": Profile(128 * 1024, 4, 4),
}
"""OWASP's minimum, RFC 9106's choice for low memory (section 4), and a stronger one."""

RETRY_AFTER_SECONDS = (1.0, 2.0, 3.0)
"""Given to refused callers in turn, to spread their retries."""

_OVERLOADED = "Too many sign-ins at the same time."


@define
class Argon2Hasher:
    """
    Argon2id, by default with OWASP's minimum: 19 MiB and 2 passes.

    At most `slots` hashes run at a time; others wait for at most `timeout`
    seconds. More than `slots + waiting` callers are refused at once, so that
    logins cannot occupy every request thread.

    A fixed thread pool computes the hashes, because glibc retains the memory of
    a hash in the arena of each thread that computed one: 100 hashes leave 19 MiB
    in a pool of one thread, and 229 MiB in 12 request threads.
    """

    _hasher: argon2.PasswordHasher
    _pool: ThreadPoolExecutor
    _admitted: BoundedSemaphore
    _timeout: float
    _dummy_hash: str = field(init=False, repr=False)
    _retry_after: Iterator[float] = field(factory=lambda: cycle(RETRY_AFTER_SECONDS), init=False)

    def __attrs_post_init__(self) -> None:
        """Make a dummy hash, so that unknown users take as long as known ones."""
        # not computed: glibc retains the memory of all hashes but the first
        hasher = self._hasher
        cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        salt, digest = "A" * 22, "A" * 43  # 16 and 32 bytes in base64
        self._dummy_hash = f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${digest}"

    @classmethod
    def create(
        cls,
        *,
        memory_kib: int = 19 * 1024,
        passes: int = 2,
        parallelism: int = 1,
        slots: int = 2,
        waiting: int = 1_000,
        timeout: float = 2.0,
    ) -> Self:
        """Return a hasher with these parameters."""
        hasher = argon2.PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=parallelism
        )
        pool = ThreadPoolExecutor(slots, thread_name_prefix="hash")
        return cls(hasher, pool, BoundedSemaphore(slots + waiting), timeout)

    @classmethod
    def from_profile(
        cls, profile: str, *, slots: int = 2, waiting: int = 1, timeout: float = 2.0
    ) -> Self:
        """Return a hasher with the parameters of a profile in `PROFILES`."""
        parameters = attrs.asdict(PROFILES[profile])
        return cls.create(**parameters, slots=slots, waiting=waiting, timeout=timeout)

    def hash(self, password: str) -> str:
        """Return a new hash with its salt and parameters."""
        return self._run(lambda: self._hasher.hash(_bytes(password)))

    def verify(self, password_hash: str, password: str) -> bool:
        """Whether a password matches; the empty hash never does, equally slowly."""
        compared = password_hash or self._dummy_hash

        def matches() -> bool:
            try:
                return self._hasher.verify(compared, _bytes(password))
            except (VerifyMismatchError, InvalidHashError):
                return False

        return self._run(matches) and bool(password_hash)

    def check_capacity(self) -> None:
        """Raise Unavailable if too many hashes are running or waiting."""
        if not self._admitted.acquire(blocking=False):
            raise self._overloaded()
        self._admitted.release()

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether a hash has other parameters than new hashes have."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def _run(self, work: Callable[[], T]) -> T:
        if not self._admitted.acquire(blocking=False):
            raise self._overloaded()
        try:
            return self._result(self._pool.submit(work))
        except (
            HashingError,
            VerificationError,
            RuntimeError,
        ) as error:  # RuntimeError: no thread can start
            raise Unavailable(
                "There is not enough memory to hash a password.", retry_after=5.0
            ) from error
        finally:
            self._admitted.release()

    def _result(self, future: Future[T]) -> T:
        """Return the result; refuse a hash that does not start in time."""
        try:
            return future.result(self._timeout)
        except TimeoutError as error:
            if future.cancel():
                raise self._overloaded() from error
            return future.result()

    def _overloaded(self) -> Unavailable:
        return Unavailable(_OVERLOADED, retry_after=next(self._retry_after))


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
