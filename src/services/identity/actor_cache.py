"""Who asked with which token a moment ago."""

import hashlib
from datetime import datetime, timedelta
from threading import Lock

from attrs import Factory, define, field, frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId

TTL = timedelta(seconds=5)
"""How long other processes may go on without noticing that somebody is out."""
MAX_ENTRIES = 10_000


@frozen
class _Known:
    actor: Actor
    until: datetime


@define(eq=False)
class ActorCache:
    """
    People by the hash of the token that they asked with, for a few seconds.

    Whoever ends a session, a key or a right calls `forget` after the commit,
    so that it counts at once in this process. What was read before and comes
    in after is not kept: `mark` tells the two apart.
    """

    _known: dict[bytes, _Known] = field(factory=dict[bytes, _Known], init=False, repr=False)
    _forgotten: int = field(default=0, init=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def find(self, token: str, now: datetime) -> Actor | None:
        """Return who asked with this token a moment ago, if it still counts."""
        found = self._known.get(_key(token))
        return found.actor if found is not None and now < found.until else None

    def generation(self) -> int:
        """Return a number to be handed to `keep`: take it before reading the store."""
        return self._forgotten

    def put(self, token: str, actor: Actor, now: datetime, until: datetime, mark: int) -> None:
        """Remember somebody for a few seconds, but not beyond a moment."""
        with self._lock:
            if mark != self._forgotten:
                return
            while len(self._known) >= MAX_ENTRIES:
                del self._known[next(iter(self._known))]
            self._known.pop(_key(token), None)
            self._known[_key(token)] = _Known(actor, min(now + TTL, until))

    def evict(self, user_id: UserId) -> None:
        """Forget everything about a person."""
        with self._lock:
            self._forgotten += 1
            gone = [key for key, one in self._known.items() if one.actor.user_id == user_id]
            for key in gone:
                del self._known[key]


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
