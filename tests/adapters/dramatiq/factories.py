"""Claims and settlements for tests of the worker."""

from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import evolve

from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.attempt import Claim, Outcome, Settlement
from workbell.domain.jobs.job import ClaimMode, JobId, JobState

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def claim(number: int, **fields: Any) -> Claim:
    """Return a claim of an ordinary job that was due two seconds ago."""
    default = Claim(
        id=JobId(number),
        token=1,
        task="t",
        owner=SYSTEM_ID,
        parameters={},
        queue="default",
        mode=ClaimMode.ORDINARY,
        fail_when_lost=False,
        concurrency_key=None,
        attempt=1,
        max_attempts=1,
        timeout_seconds=60,
        due_at=NOW - timedelta(seconds=2),
        queued_at=NOW,
        started_at=NOW,
        schedule_id=None,
        tick=None,
    )
    return evolve(default, **fields)


def settlement(number: int, **fields: Any) -> Settlement:
    """Return a successful settlement of an attempt of three seconds."""
    default = Settlement(
        id=JobId(number),
        token=1,
        attempt=1,
        state=JobState.SUCCEEDED,
        outcome=Outcome.SUCCEEDED,
        concurrency_key=None,
        mode=ClaimMode.ORDINARY,
        queued_at=NOW,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=3),
    )
    return evolve(default, **fields)
