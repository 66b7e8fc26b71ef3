"""Services refuse the same values as HTTP, with the same words."""

from typing import Any

import pytest

from tests.refusals import JOB_REFUSALS, SCHEDULE_REFUSALS, Refusal
from tests.services.engine import EngineFixture
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import SYSTEM
from workbell.services.jobs.requests import NewJob
from workbell.services.schedules.requests import NewSchedule


@pytest.mark.parametrize("refusal", JOB_REFUSALS, ids=str)
def test_a_job_is_refused(engine: EngineFixture, refusal: Refusal) -> None:
    new = NewJob(**{refusal.field: refusal.value})
    for create in (
        lambda: engine.jobs.create(SYSTEM, new, idempotency_key="key"),
        lambda: engine.jobs.create_many(SYSTEM, [NewJob(), new]),
    ):
        with pytest.raises(Invalid) as refused:
            create()
        assert refused.value.field_errors == refusal.messages
    assert not any(engine.jobs.stats(SYSTEM).by_status.values())


@pytest.mark.parametrize("refusal", SCHEDULE_REFUSALS, ids=str)
def test_a_schedule_is_refused(engine: EngineFixture, refusal: Refusal) -> None:
    fields: dict[str, Any] = {"task_definition": "echo", "cron_expression": "0 9 * * *"}
    with pytest.raises(Invalid) as refused:
        engine.schedules.create(SYSTEM, NewSchedule(**fields | {refusal.field: refusal.value}))
    assert refused.value.field_errors == refusal.messages
