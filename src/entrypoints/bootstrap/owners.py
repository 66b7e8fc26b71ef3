"""Composition of the checks of owners of jobs and schedules."""

from datetime import datetime
from typing import cast

from workbell.domain.identity.user import User
from workbell.entrypoints.bootstrap.backends import Backends
from workbell.entrypoints.config.enums import VerifiedEmail
from workbell.entrypoints.config.settings import Settings
from workbell.ports.identity.users import IdentityTx
from workbell.ports.schedules.repository import SchedulesTx
from workbell.services.identity.users import UserChangeHook
from workbell.services.jobs.owner_check import OwnerCheck
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.owner_changes import OwnerChanges


def requires_verified_email(settings: Settings) -> bool:
    """Whether jobs and schedules run only for users with a verified address."""
    return settings.require_verified_email is not VerifiedEmail.NONE


def make_owner_check(backends: Backends) -> OwnerCheck:
    """Return the check of owners before bodies run."""
    return OwnerCheck(
        store=backends.store,
        clock=backends.clock,
        require_verified_email=requires_verified_email(backends.settings),
    )


def follow_users(definitions: TaskDefinitionService) -> UserChangeHook:
    """Return the hook that stops what a changed user may no longer run."""
    changes = OwnerChanges(definitions=definitions)

    def follow(tx: IdentityTx, before: User, after: User, now: datetime) -> None:
        # every transaction of a store has all repositories
        changes.apply(cast(SchedulesTx, tx), before, after, now)

    return follow
