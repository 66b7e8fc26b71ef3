"""Check of a job's owner, before its body runs."""

from datetime import datetime, timedelta
from typing import Any

from attrs import define, field, frozen

from workbell.domain.errors import NotAllowed, NotFound
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.standing import find_owner_problem
from workbell.domain.identity.user import SYSTEM_ID, User, UserId
from workbell.domain.jobs.task import Task
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.jobs.failures import call_task

TTL = timedelta(seconds=5)
MAX_ENTRIES = 10_000


class OwnerRefused(Exception):
    """The owner may not, or no longer, run a job; the text is the reason."""


@frozen
class _CachedOwner:
    user: User | None
    read_at: datetime


@define(eq=False, kw_only=True)
class OwnerCheck:
    """
    Checks owners of jobs.

    The standing of an owner may be 5 s old; tasks with a check of their own always
    get the present rights. Jobs of the system and of internal tasks are not checked: the service itself
    depends on them.
    """

    store: Store[JobsTx]
    clock: Clock
    require_verified_email: bool = False
    _owners: dict[UserId, _CachedOwner] = field(
        factory=dict[UserId, _CachedOwner], init=False, repr=False
    )

    def check(self, owner: UserId, task: Task) -> None:
        """
        Check that jobs of a task may run for an owner.

        Raises:
            OwnerRefused: The owner is inactive or has to verify the email address.
        """
        if owner == SYSTEM_ID or task.is_internal:
            return
        problem = find_owner_problem(
            self._find(owner), require_verified_email=self.require_verified_email
        )
        if problem is not None:
            raise OwnerRefused(str(problem))

    def check_permission(self, owner: UserId, task: Task, parameters: Any) -> None:
        """
        Call the check of a task for the owner's present rights.

        Raises:
            OwnerRefused: The owner may no longer run the task.
            Invalid: The parameters are not valid any more; so does NotFound.
        """
        if task.check is None:
            return
        try:
            call_task(task.check, self._actor(owner), parameters)
        except NotAllowed as error:
            raise OwnerRefused(f"the owner is no longer permitted: {error.detail}") from error

    def _actor(self, owner: UserId) -> Actor:
        if owner == SYSTEM_ID:
            return SYSTEM
        user = self._read(owner, self.clock.now())
        return Actor(user_id=owner) if user is None else Actor.of(user)

    def _find(self, owner: UserId) -> User | None:
        """Return an owner's user, at most 5 s old; None if there is no such user."""
        now, cached = self.clock.now(), self._owners.get(owner)
        if cached is not None and abs(now - cached.read_at) < TTL:
            return cached.user
        return self._read(owner, now)

    def _read(self, owner: UserId, now: datetime) -> User | None:
        with self.store.view() as tx:
            try:
                user = tx.users.get(owner)
            except NotFound:
                user = None
        # No lock: each call on the dict is atomic, and threads that race read twice at worst.
        if len(self._owners) >= MAX_ENTRIES:
            self._owners.clear()
        self._owners[owner] = _CachedOwner(user, now)
        return user
