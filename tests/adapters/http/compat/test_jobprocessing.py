"""Job Processing's routes: registration without disclosure, jobs, statuses."""

import pytest

from tests.adapters.http.conftest import ApiFixture
from workbell.domain.jobs.job import JobState

BASE = "/api/jobs/"
JOB = {"name": "nightly", "scheduled_time": "2026-06-01T00:00:00Z"}
NEW = {"email": "grace@example.org", "password": "a compiler, 1952"}


@pytest.mark.parametrize("path", ["/api/verify-otp/", "/api/verify-email/"])
@pytest.mark.parametrize("field", ["otp", "otp_code"])
def test_from_registering_to_a_result(empty: ApiFixture, path: str, field: str) -> None:
    made = empty.post("/api/register/", None, NEW)
    assert (made.status_code, list(made.json)) == (201, ["message"])
    assert empty.post("/api/login/", None, NEW).status_code == 403
    code = {"email": NEW["email"], field: empty.mail.code()}
    assert empty.post(path, None, {**code, field: "000000"}).status_code in {200, 400}
    verified = empty.post(path, None, code)
    assert (verified.status_code, list(verified.json)) == (200, ["message"])
    assert empty.post(path, None, code).status_code == 400
    pair = empty.post("/api/login/", None, NEW)
    assert list(pair.json) == ["access", "refresh"]
    empty.tokens["grace"] = pair.json["access"]
    assert empty.post(BASE, "grace", JOB).status_code == 201


def test_registration_does_not_disclose_accounts(api: ApiFixture) -> None:
    texts = {
        api.post("/api/register/", None, {**NEW, "email": f"{name}@example.org"}).text
        for name in ("ada", "una", "nobody")
    }
    assert len(texts) == 1


def test_an_expired_code_is_400(empty: ApiFixture) -> None:
    from datetime import timedelta

    empty.post("/api/register/", None, NEW)
    empty.clock.at += timedelta(minutes=10)
    code = {"email": NEW["email"], "otp": empty.mail.code()}
    assert empty.post("/api/verify-otp/", None, code).status_code == 400


def test_wrong_credentials_are_401(api: ApiFixture) -> None:
    wrong = {"email": "ada@example.org", "password": "wrong"}
    assert api.post("/api/login/", None, wrong).status_code == 401


def test_a_job_requires_a_name_and_a_time(api: ApiFixture) -> None:
    missing = api.post(BASE, json={})
    assert set(missing.json["field_errors"]) == {"name", "scheduled_time"}
    past = api.post(BASE, json={**JOB, "scheduled_time": "2026-05-04T11:00:00Z"})
    assert list(past.json["field_errors"]) == ["scheduled_time"]
    for name in ("", "x" * 256):
        assert api.post(BASE, json={**JOB, "name": name}).status_code == 400
    made = api.post(BASE, json={**JOB, "name": "x" * 255, "description": "d"})
    assert made.status_code == 201
    assert made.headers["location"] == "/api/jobs/1"
    assert (made.json["task_definition"], made.json["status"]) == ("echo", "pending")


def test_jobs_have_job_processings_statuses(api: ApiFixture) -> None:
    for state in (JobState.SUCCEEDED, JobState.FAILED):
        api.end(api.job()["id"], state)
    api.post(f"/api/v1/jobs/{api.job()['id']}/cancel")
    api.post(BASE, json=JOB)
    rows = api.get(BASE).json["results"]
    assert [row["status"] for row in rows] == ["pending", "cancelled", "failed", "completed"]
    done = api.get(BASE, query_string="status=completed").json["results"]
    assert [row["id"] for row in done] == [1]
    assert api.get(BASE, query_string="status=succeeded").status_code == 400
    assert api.get(f"{BASE}1/").json["status"] == "completed"


def test_results_are_available_when_jobs_are_completed(api: ApiFixture) -> None:
    api.post(BASE, json=JOB)
    assert api.get(f"{BASE}1/result/").status_code == 400
    api.end(api.job()["id"], result=[1, 2])
    assert api.get(f"{BASE}2/result/").json["output"] == [1, 2]
    assert [row["job"] for row in api.get("/api/job-results/").json["results"]] == [2]


def test_deleting_cancels_waiting_jobs_and_hides_finished_ones(api: ApiFixture) -> None:
    api.post(BASE, json=JOB)
    assert api.call("DELETE", f"{BASE}1/", "ada").status_code == 204
    assert api.get(f"{BASE}1/").json["status"] == "cancelled"
    assert api.call("DELETE", f"{BASE}1/", "ada").status_code == 204
    assert api.get(f"{BASE}1/").status_code == 404
    assert api.get(BASE).json["count"] == 0
