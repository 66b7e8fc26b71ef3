"""Sessions: listed and revoked by their user, and pruned after their end."""

from collections.abc import Sequence

from attrs import frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.one_time_code import DAY
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.session import Session, SignInAgain
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.transaction_retry import retry_on_contention

BATCH = 500
CODES_KEPT = 2 * DAY
"""They are counted over a day."""
SESSIONS_KEPT = 30 * DAY
"""After their end, for whoever looks into what happened."""


@frozen(kw_only=True)
class SessionService:
    """List and revoke the actor's own sessions; prune those that have ended."""

    store: Store[IdentityTx]
    clock: Clock
    actor_cache: ActorCache

    def list_sessions(self, actor: Actor) -> Sequence[Session]:
        """
        Return the actor's sessions that are alive, the newest first.

        Raises:
            NotAllowed: They ask with an API key.
        """
        check(actor, Action.READ_SESSIONS, owner=actor.user_id)
        with self.store.view() as tx:
            return tx.sessions.list_for_user(actor.user_id, self.clock.now())

    @retry_on_contention
    def revoke(self, actor: Actor, session_id: str) -> None:
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
            if session.user_id != actor.user_id or not session.is_active(now):
                raise NotFound("There is no such session.")
            own = tx.sessions.find(actor.session_id)
            if session_id != actor.session_id and not (own and own.is_recent(now)):
                raise SignInAgain("Sign in again, and end it within 10 minutes.")
            tx.sessions.replace(session.revoked(now))
            tx.audit.add(AuditEntry.of(actor, "REVOKE_SESSION", "session", session.id, now))
        self.actor_cache.evict(actor.user_id)

    @retry_on_contention
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
