"""Use cases of a user's own API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import LimitReached, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.api_key import MAX_KEYS, ApiKey, check_new_key
from workbell.domain.identity.opaque_token import OpaqueToken, Prefix
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.user import KeyScope
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock, Ids
from workbell.services.audit.entries import created_values, deleted_values
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class NewKey:
    """A new API key and its text, which is not stored."""

    key: ApiKey
    text: str = field(repr=False)


@frozen(kw_only=True)
class ApiKeyService:
    """
    Lists, creates and revokes the actor's own API keys.

    Methods raise `NotAllowed` if the actor uses an API key.
    """

    store: Store[IdentityTx]
    clock: Clock
    ids: Ids
    actor_cache: ActorCache

    def list_keys(self, actor: Actor) -> Sequence[ApiKey]:
        """Return the actor's keys that are not revoked, newest first."""
        check(actor, Action.READ_KEYS, owner=actor.user_id)
        with self.store.view() as tx:
            return tx.api_keys.list_for_user(actor.user_id)

    def create(
        self,
        actor: Actor,
        name: str,
        scopes: Sequence[KeyScope],
        expires_at: datetime | None = None,
    ) -> NewKey:
        """
        Create a key for the actor.

        Raises:
            Invalid: Name, scopes or expiry are wrong.
            LimitReached: The actor has the maximum number of keys.
        """
        check(actor, Action.MAKE_KEY, owner=actor.user_id)
        now, name = self.clock.now(), name.strip()
        check_new_key(name, scopes, expires_at, now)
        token = OpaqueToken(Prefix.API_KEY, self.ids.new()[:16], self.ids.new() + self.ids.new())
        key = ApiKey(
            user_id=actor.user_id,
            name=name,
            prefix=token.id,
            secret_hash=token.hashed,
            scopes=frozenset(scopes),
            created_at=now,
            expires_at=expires_at,
        )
        return NewKey(key=self._insert(actor, key, now), text=token.text)

    @retry_on_contention
    def revoke(self, actor: Actor, key_id: int) -> None:
        """Revoke one of the actor's keys; raises NotFound."""
        check(actor, Action.REVOKE_KEY, owner=actor.user_id)
        with self.store.begin() as tx:
            now = self.clock.now()
            keys = {key.id: key for key in tx.api_keys.list_for_user(actor.user_id)}
            if key_id not in keys or not tx.api_keys.revoke(actor.user_id, key_id, now):
                raise NotFound("There is no such key.")
            changes = deleted_values(_audited_values(keys[key_id]))
            tx.audit.add(AuditEntry.of(actor, "DELETE", "api_key", key_id, now, changes))
        self.actor_cache.evict(actor.user_id)

    @retry_on_contention
    def _insert(self, actor: Actor, new: ApiKey, now: datetime) -> ApiKey:
        with self.store.begin() as tx:
            tx.users.get_for_update(actor.user_id)
            used = sum(key.is_usable(now) for key in tx.api_keys.list_for_user(actor.user_id))
            if used >= MAX_KEYS:
                raise LimitReached(
                    f"You have {used} of {MAX_KEYS} keys; revoke one first.",
                    used=used,
                    limit=MAX_KEYS,
                )
            key = tx.api_keys.add(new)
            changes = created_values(_audited_values(key))
            tx.audit.add(AuditEntry.of(actor, "CREATE", "api_key", key.id, now, changes))
        return key


def _audited_values(key: ApiKey) -> dict[str, Any]:
    expires_at = key.expires_at
    return {
        "name": key.name,
        "scopes": sorted(key.scopes),
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
