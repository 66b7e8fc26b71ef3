"""User administration by superusers."""

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import asdict, evolve, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Conflict, Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.one_time_code import Purpose
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.registration import email_errors
from workbell.domain.identity.user import Role, Tier, User, UserId
from workbell.domain.validation import check_request
from workbell.ports.identity.users import IdentityTx, UserFilter
from workbell.ports.mail import Email, Mailer
from workbell.services.audit.entries import new_user_values, user_change_entry
from workbell.services.identity.actor_cache import ActorCache
from workbell.services.identity.one_time_codes import (
    GeneratedCode,
    OneTimeCodeService,
    send_ignoring_errors,
)
from workbell.services.identity.registration import free_username
from workbell.services.identity.second_factor import compose_second_factor_email
from workbell.services.transaction_retry import retry_on_contention

UserChangeHook = Callable[[IdentityTx, User, User, datetime], None]
"""Receives a changed user, before and after; the user's row is locked."""
MAX_USERNAMES = 1000
"""Maximum number of usernames in one response."""
FIRST_USER = UserId(0)
SUPERUSERS_ONLY = "Only superusers may administer users."


@frozen(kw_only=True)
class UserChange:
    """Fields of a user that superusers change; None: unchanged."""

    role: Role | None = None
    tier: Tier | None = None
    is_active: bool | None = None
    is_super_user: bool | None = None

    def apply_to(self, user: User) -> User:
        """Return the changed user; fewer rights revoke all access tokens."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        changed = evolve(user, **fields)
        has_fewer_rights = any(
            new < old for new, old in zip(_rights(changed), _rights(user), strict=True)
        )
        return (
            evolve(changed, token_version=user.token_version + 1) if has_fewer_rights else changed
        )


_RANKS = {Role.MEMBER: 0, Role.MANAGER: 1, Role.ADMIN: 2}


def _rights(user: User) -> tuple[int, int, int]:
    return (user.is_active, user.is_super_user, _RANKS[user.role])


@frozen(kw_only=True)
class UserAdministration:
    """
    Lists and changes users, and adds invited ones.

    Methods raise `NotAllowed` unless the actor is a superuser. Those that
    change a user also raise `NotFound`, and `Conflict` if it is the actor, so
    that one superuser always remains. `on_change` lets other contexts follow a
    change of a user in its transaction.
    """

    codes: OneTimeCodeService
    mailer: Mailer
    actor_cache: ActorCache
    on_change: UserChangeHook = lambda *_: None

    def find(
        self, actor: Actor, filters: UserFilter, ordering: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[User], int]:
        """Return a page of all users, and the total number."""
        check(actor, Action.READ_PEOPLE, SUPERUSERS_ONLY)
        return self._list(filters, ordering, offset, limit)

    def get(self, actor: Actor, user_id: UserId) -> User:
        """Return a user; raises NotFound."""
        check(actor, Action.READ_PEOPLE, SUPERUSERS_ONLY)
        with self.codes.store.view() as tx:
            return tx.users.get(user_id)

    def usernames(
        self, actor: Actor, *, after: UserId = FIRST_USER, limit: int = MAX_USERNAMES
    ) -> Sequence[tuple[UserId, str]]:
        """Return ids and usernames of active users, by id; for any actor."""
        check(actor, Action.LIST_NAMES)
        with self.codes.store.view() as tx:
            return tx.users.usernames(after=after, limit=limit)

    @retry_on_contention
    def change(self, actor: Actor, user_id: UserId, change: UserChange) -> User:
        """Change a user; fewer rights also revoke all their sessions."""
        check(actor, Action.ADMINISTER_PEOPLE, SUPERUSERS_ONLY)
        check_request(change)
        with self.codes.store.begin() as tx:
            before = self._lock(tx, actor, user_id)
            after, now = change.apply_to(before), self.codes.clock.now()
            if after != before:
                tx.users.replace(after)
                tx.audit.add(user_change_entry(actor, before, after, now))
                self.on_change(tx, before, after, now)
            if after.token_version != before.token_version:
                tx.sessions.revoke_all(user_id, now)
        self.actor_cache.evict(user_id)
        return after

    @retry_on_contention
    def sign_out(self, actor: Actor, user_id: UserId) -> int:
        """Revoke all sessions of a user; return how many."""
        check(actor, Action.ADMINISTER_PEOPLE, SUPERUSERS_ONLY)
        with self.codes.store.begin() as tx:
            user, now = self._lock(tx, actor, user_id), self.codes.clock.now()
            ended = tx.sessions.revoke_all(user.id, now)
            changes = {"sessions_ended": [None, ended]}
            tx.audit.add(AuditEntry.of(actor, "SIGN_OUT", "user", user.id, now, changes))
        self.actor_cache.evict(user_id)
        return ended

    def remove_second_factor(self, actor: Actor, user_id: UserId) -> bool:
        """
        Remove a user's lost second factor; return whether there was one.

        Revokes all their sessions and sends them an email.
        """
        check(actor, Action.ADMINISTER_PEOPLE, SUPERUSERS_ONLY)
        if (user := self._without_second_factor(actor, user_id)) is None:
            return False
        self.actor_cache.evict(user_id)
        send_ignoring_errors(
            self.mailer, compose_second_factor_email(user, "was removed by an administrator")
        )
        return True

    def add_invited(
        self, tx: IdentityTx, actor: Actor, email: str, new_code: GeneratedCode
    ) -> tuple[User, bool]:
        """
        Return the user with an address, or add a new one without a password.

        Works in the caller's transaction; the caller emails `new_code` after the
        commit, with which a new user sets a password. Returns also whether the
        user is new; raises Invalid if the address is malformed.
        """
        email = email.strip()
        if errors := email_errors(email):
            raise Invalid(field_errors={"email": errors})
        if (existing := tx.users.by_email(email)) is not None:
            return existing, False
        now = self.codes.clock.now()
        user = tx.users.add(
            User(
                username=free_username(tx, email, self.codes.randomness),
                email=email,
                created_at=now,
            )
        )
        self.codes.store_code(tx, user, Purpose.RESET_PASSWORD, new_code, now)
        tx.audit.add(AuditEntry.of(actor, "INVITE", "user", user.id, now, new_user_values(user)))
        return user, True

    @retry_on_contention
    def _without_second_factor(self, actor: Actor, user_id: UserId) -> User | None:
        with self.codes.store.begin() as tx:
            user, now = self._lock(tx, actor, user_id), self.codes.clock.now()
            if not tx.second_factors.remove(user.id):
                return None
            changes = {"sessions_ended": [None, tx.sessions.revoke_all(user.id, now)]}
            removed = AuditEntry.of(actor, "SECOND_FACTOR_REMOVE", "user", user.id, now, changes)
            tx.audit.add(removed)
        return user

    def _list(
        self, filters: UserFilter, ordering: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[User], int]:
        with self.codes.store.view() as tx:
            users = tx.users.find(filters, ordering=ordering, offset=offset, limit=limit)
            return users, tx.users.count(filters)

    def _lock(self, tx: IdentityTx, actor: Actor, user_id: UserId) -> User:
        """Lock the actor and the user; check the actor's rights again."""
        if actor.user_id == user_id:
            raise Conflict("You cannot change yourself; ask another superuser.")
        locked = {
            one: tx.users.get_for_update(one) for one in sorted({actor.user_id, user_id}) if one
        }
        is_superuser = actor.is_system or (
            locked[actor.user_id].is_super_user and locked[actor.user_id].is_active
        )
        check(
            actor if is_superuser else evolve(actor, is_super_user=False), Action.ADMINISTER_PEOPLE
        )
        if user_id not in locked:
            raise NotFound(f"There is no user {user_id}.")
        return locked[user_id]


def compose_invitation_email(user: User, new_code: GeneratedCode) -> Email:
    """Compose the email to a new user without a password."""
    return Email(
        to=user.email,
        subject="You are invited",
        text=(
            f"Hello {user.full_name},\n\n"
            f"an account was created for you, with the username {user.username}.\n\n"
            f"Your code is {new_code.code}\n\n"
            "Use it to set a password. When it has expired, request another one as for a "
            "forgotten password.\n"
        ),
    )
