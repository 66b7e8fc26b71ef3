"""HTTP refuses the values that services refuse, with the same words."""

import pytest

from tests.adapters.http.conftest import ApiFixture
from tests.refusals import JOB_REFUSALS, Refusal


@pytest.mark.parametrize("refusal", JOB_REFUSALS, ids=str)
def test_a_job_is_refused(api: ApiFixture, refusal: Refusal) -> None:
    answer = api.post("/api/v1/jobs", json={refusal.field: refusal.json})
    assert answer.status_code == 400
    assert answer.json["field_errors"] == refusal.messages
