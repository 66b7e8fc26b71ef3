"""HTTP refuses the values that services refuse, with the same words."""

import pytest

from tests.adapters.http.conftest import A_SCHEDULE, ApiFixture
from tests.refusals import SCHEDULE_REFUSALS, Refusal

BASE = "/api/v1/schedules"


@pytest.mark.parametrize("refusal", SCHEDULE_REFUSALS, ids=str)
def test_a_schedule_is_refused(api: ApiFixture, refusal: Refusal) -> None:
    body = {refusal.field: refusal.json}
    made = api.post(BASE, json=A_SCHEDULE)
    for answer in (
        api.post(BASE, json=A_SCHEDULE | body),
        api.call("PATCH", f"{BASE}/{made.json['id']}", "ada", json=body),
    ):
        assert answer.status_code == 400
        assert answer.json["field_errors"] == refusal.messages
