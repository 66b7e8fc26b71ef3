"""A person's own sessions and API keys: listed, made, ended."""

from collections.abc import Sequence
from datetime import datetime

from attrs import field, frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.errors import LimitReached, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.api_key import MAX_KEYS, ApiKey, check_new_key
from workbell.domain.identity.one_time_code import DAY
from workbell.domain.identity.opaque_token import Opaque, Prefix
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.session import Session, SignInAgain
from workbell.domain.identity.user import KeyScope
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock, Ids
from workbell.services.identity.actor_cache import RecentActors
from workbell.services.transaction_retry import done_again

BATCH = 500
CODES_KEPT = 2 * DAY
"""They are counted over a day."""
SESSIONS_KEPT = 30 * DAY
"""After their end, for whoever looks into what happened."""


@frozen(kw_only=True)
class NewKey:
    """A new key with its text, which nobody ever sees again."""

    key: ApiKey
    text: str = field(repr=False)


@frozen(kw_only=True)
class AccessControl:
    """List and end a person's sessions; make, list and end their API keys."""

    store: Store[IdentityTx]
    clock: Clock
    ids: Ids
    recent: RecentActors

    def sessions(self, actor: Actor) -> Sequence[Session]:
        """
        Return the actor's sessions that are alive, the newest first.

        Raises:
            NotAllowed: They ask with an API key.
        """
        check(actor, Action.READ_SESSIONS, owner=actor.user_id)
        with self.store.view() as tx:
            return tx.sessions.of_user(actor.user_id, self.clock.now())

    @done_again
    def revoke_session(self, actor: Actor, session_id: str) -> None:
        """
        End one of the actor's sessions, at once.

        Another than the one they ask with takes a login of a moment ago, so
        that who has found a token does not shut out its owner.

        Raises:
            NotFound: They have no such session that is alive.
            SignInAgain: It is another one, and their login is too old.
            NotAllowed: They ask with an API key.
        """
        check(actor, Action.REVOKE_SESSION, owner=actor.user_id)
        with self.store.begin() as tx:
            session, now = tx.sessions.get_for_update(session_id), self.clock.now()
            if session.user_id != actor.user_id or not session.alive(now):
                raise NotFound("There is no such session.")
            own = tx.sessions.find(actor.session_id)
            if session_id != actor.session_id and not (own and own.fresh(now)):
                raise SignInAgain("Sign in again, and end it within 10 minutes.")
            tx.sessions.replace(session.revoked(now))
            tx.audit.add(_entry(actor, "REVOKE_SESSION", "session", session.id, now))
        self.recent.forget(actor.user_id)

    def keys(self, actor: Actor) -> Sequence[ApiKey]:
        """
        Return the actor's keys that are not revoked, the newest first.

        Raises:
            NotAllowed: They ask with an API key.
        """
        check(actor, Action.READ_KEYS, owner=actor.user_id)
        with self.store.view() as tx:
            return tx.api_keys.of_user(actor.user_id)

    def make_key(
        self,
        actor: Actor,
        name: str,
        scopes: Sequence[KeyScope],
        expires_at: datetime | None = None,
    ) -> NewKey:
        """
        Give the actor a new key.

        Raises:
            Invalid: Name, scopes or end do not fit.
            LimitReached: They have as many as they may have.
            NotAllowed: They ask with an API key.
        """
        check(actor, Action.MAKE_KEY, owner=actor.user_id)
        now, name = self.clock.now(), name.strip()
        check_new_key(name, scopes, expires_at, now)
        new, text = self._drawn(actor, name, scopes, expires_at, now)
        return NewKey(key=self._kept(actor, new, now), text=text)

    @done_again
    def revoke_key(self, actor: Actor, key_id: int) -> None:
        """
        End one of the actor's keys, at once.

        Raises:
            NotFound: They have no such key, or ended it already.
            NotAllowed: They ask with an API key.
        """
        check(actor, Action.REVOKE_KEY, owner=actor.user_id)
        with self.store.begin() as tx:
            now = self.clock.now()
            if not tx.api_keys.revoke(actor.user_id, key_id, now):
                raise NotFound("There is no such key.")
            tx.audit.add(_entry(actor, "DELETE", "api_key", key_id, now))
        self.recent.forget(actor.user_id)

    @done_again
    def prune(self) -> int:
        """Remove codes and sessions that nothing counts any more; return how many."""
        now, gone = self.clock.now(), 0
        while True:
            with self.store.begin() as tx:
                removed = tx.codes.purge(now - CODES_KEPT, limit=BATCH)
                removed += tx.sessions.purge(now - SESSIONS_KEPT, limit=BATCH)
            gone += removed
            if not removed:
                return gone

    @done_again
    def _kept(self, actor: Actor, new: ApiKey, now: datetime) -> ApiKey:
        with self.store.begin() as tx:
            tx.users.get_for_update(actor.user_id)
            working = sum(key.works(now) for key in tx.api_keys.of_user(actor.user_id))
            if working >= MAX_KEYS:
                raise LimitReached(
                    f"You have {working} of {MAX_KEYS} keys.", used=working, limit=MAX_KEYS
                )
            key = tx.api_keys.add(new)
            tx.audit.add(_entry(actor, "CREATE", "api_key", key.id, now))
        return key

    def _drawn(
        self,
        actor: Actor,
        name: str,
        scopes: Sequence[KeyScope],
        expires_at: datetime | None,
        now: datetime,
    ) -> tuple[ApiKey, str]:
        token = Opaque(Prefix.API_KEY, self.ids.new()[:16], self.ids.new() + self.ids.new())
        key = ApiKey(
            user_id=actor.user_id,
            name=name,
            prefix=token.id,
            secret_hash=token.kept,
            scopes=frozenset(scopes),
            created_at=now,
            expires_at=expires_at,
        )
        return key, token.text


def _entry(actor: Actor, action: str, model: str, subject: object, at: datetime) -> AuditEntry:
    return AuditEntry.of(actor, action, model, subject, at)
