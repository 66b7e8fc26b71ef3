"""The validator of all JSON responses in these tests finds what is not documented."""

from typing import Any

import pytest

from tests.adapters.http.conftest import ApiFixture
from tests.response_validation import response_validator

pytestmark = pytest.mark.unit

PATH = "/api/v1/schedules/1"


def check(
    api: ApiFixture, body: Any, status: int = 200, media_type: str = "application/json"
) -> None:
    response_validator(api.deps).check("GET", PATH, status, media_type, body)


def test_a_documented_response_is_accepted(used: ApiFixture) -> None:
    check(used, used.get(PATH, "root").json)


@pytest.mark.parametrize(
    "change", [{"unknown": 1}, {"priority": "high"}, {"created_at": None}], ids=str
)
def test_a_body_that_is_not_as_documented_is_found(
    used: ApiFixture, change: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError):
        check(used, {**used.get(PATH, "root").json, **change})


def test_a_missing_field_is_found(used: ApiFixture) -> None:
    body = used.get(PATH, "root").json
    del body["next_run_time"]
    with pytest.raises(AssertionError):
        check(used, body)


def test_an_undocumented_status_or_media_type_is_found(used: ApiFixture) -> None:
    body = used.get(PATH, "root").json
    for status, media_type in ((201, "application/json"), (200, "application/problem+json")):
        with pytest.raises(AssertionError, match="not documented"):
            check(used, body, status, media_type)
