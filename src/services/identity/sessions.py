"""Use cases of a user's own sessions, and pruning of ended ones."""

from collections.abc import Sequence

from attrs import frozen

from workbell.domain.audit.entry import AuditEntry
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
CODE_RETENTION = 2 * DAY  # codes are counted over one day
SESSION_RETENTION = 30 * DAY  # after their end, for investigations
KEY_RETENTION = 90 * DAY  # after they were revoked or expired


@frozen(kw_only=True)
class SessionService:
    """
    Lists and revokes the actor's own sessions; prunes ended ones.

    Methods with an actor raise `NotAllowed` if the actor uses an API key.
    """

    store: Store[IdentityTx]
    clock: Clock
    actor_cache: ActorCache

    def list_sessions(self, actor: Actor) -> Sequence[Session]:
        """Return the actor's active sessions (at most 100), newest first."""
        check(actor, Action.READ_SESSIONS, owner=actor.user_id)
        with self.store.view() as tx:
            return tx.sessions.list_for_user(actor.user_id, self.clock.now())

    @retry_on_contention
    def revoke(self, actor: Actor, session_id: str) -> None:
        """
        Revoke one of the actor's sessions.

        Another session than the current one requires a recent login, so that a
        stolen token cannot lock out its owner.

        Raises:
            NotFound: The actor has no such active session.
            SignInAgain: The login is too old to revoke another session.
        """
        check(actor, Action.REVOKE_SESSION, owner=actor.user_id)
        with self.store.begin() as tx:
            session, now = tx.sessions.get_for_update(session_id), self.clock.now()
            if session.user_id != actor.user_id or not session.is_active(now):
                raise NotFound("There is no such session.")
            own = tx.sessions.find(actor.session_id)
            if session_id != actor.session_id and not (own and own.is_recent(now)):
                raise SignInAgain("Sign in again, and revoke the session within 10 minutes.")
            tx.sessions.replace(session.revoked(now))
            changes = {"is_active": [True, False]}
            tx.audit.add(
                AuditEntry.of(actor, "REVOKE_SESSION", "session", session.id, now, changes)
            )
        self.actor_cache.evict(actor.user_id)

    @retry_on_contention
    def prune(self) -> int:
        """Delete old codes, ended sessions and old keys; return how many."""
        now, deleted = self.clock.now(), 0
        while True:
            with self.store.begin() as tx:
                removed = tx.codes.purge(now - CODE_RETENTION, limit=BATCH)
                removed += tx.sessions.purge(now - SESSION_RETENTION, limit=BATCH)
                removed += tx.api_keys.purge(now - KEY_RETENTION, limit=BATCH)
            deleted += removed
            if not removed:
                return deleted
