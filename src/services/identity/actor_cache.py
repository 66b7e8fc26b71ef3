"""Cache of the actors of recently authenticated tokens."""

import hashlib
from datetime import datetime, timedelta
from threading import Lock

from attrs import Factory, define, field, frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId

TTL = timedelta(seconds=5)  # until other processes reject a revoked token
MAX_ENTRIES = 10_000


@frozen
class _CachedActor:
    actor: Actor
    until: datetime


@define(eq=False)
class ActorCache:
    """
    Caches actors by the hash of their token, for at most 5 s.

    Code that ends a session or a key, or takes a right away, calls `evict`
    after the commit, so that this process applies the change at once.
    """

    _entries: dict[bytes, _CachedActor] = field(
        factory=dict[bytes, _CachedActor], init=False, repr=False
    )
    _generation: int = field(default=0, init=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def find(self, token: str, now: datetime) -> Actor | None:
        """Return the cached actor of a token, or None."""
        entry = self._entries.get(_key(token))
        return entry.actor if entry is not None and now < entry.until else None

    def generation(self) -> int:
        """
        Return the cache generation; read it before the store.

        `put` drops the actor if an eviction has happened in between.
        """
        return self._generation

    def put(
        self, token: str, actor: Actor, now: datetime, until: datetime, generation: int
    ) -> None:
        """Cache an actor for TTL, but not beyond `until`."""
        with self._lock:
            if generation != self._generation:
                return
            while len(self._entries) >= MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]
            self._entries.pop(_key(token), None)
            self._entries[_key(token)] = _CachedActor(actor, min(now + TTL, until))

    def evict(self, user_id: UserId) -> None:
        """Evict all entries of a user."""
        with self._lock:
            self._generation += 1
            evicted = [
                key for key, entry in self._entries.items() if entry.actor.user_id == user_id
            ]
            for key in evicted:
                del self._entries[key]


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
