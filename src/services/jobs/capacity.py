"""Limit of an owner's waiting jobs."""

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import check_waiting_limit
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.store import Store


def check_waiting_capacity(store: Store[JobsTx], owner: UserId, adding: int, limit: int) -> None:
    """
    Raise LimitReached if an owner would have too many waiting jobs.

    The system has no limit.
    """
    if owner == SYSTEM_ID:
        return
    with store.view() as tx:
        waiting = tx.jobs.count_waiting(owner, limit=limit)
    check_waiting_limit(waiting, adding, limit)
