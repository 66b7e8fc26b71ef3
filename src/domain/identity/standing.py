"""Standing of owners: whether the schedules and jobs of a user may run."""

from enum import StrEnum

from workbell.domain.identity.user import User


class StandingProblem(StrEnum):
    """Why nothing of an owner may run."""

    INACTIVE = "the owner is inactive"
    UNVERIFIED = "the owner's email address is not verified"


def find_standing_problem(
    *, is_active: bool, is_email_verified: bool, require_verified_email: bool
) -> StandingProblem | None:
    """Return why nothing of a user may run, or None."""
    if not is_active:
        return StandingProblem.INACTIVE
    if require_verified_email and not is_email_verified:
        return StandingProblem.UNVERIFIED
    return None


def find_owner_problem(
    owner: User | None, *, require_verified_email: bool
) -> StandingProblem | None:
    """
    Return why nothing of an owner may run, or None.

    The system and owners that only a program knows have no user (None) and run.
    """
    if owner is None:
        return None
    return find_standing_problem(
        is_active=owner.is_active,
        is_email_verified=owner.is_email_verified,
        require_verified_email=require_verified_email,
    )
