"""Job Processing: address verification and one-off jobs."""

from datetime import UTC, datetime, timedelta

from tests.journeys.conftest import Client, eventually

CREDENTIALS = {"email": "worker@example.org", "password": "a-long-enough-one"}


def _soon(seconds: float = 0.5) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _verified(client: Client) -> None:
    client.post("/api/register/", CREDENTIALS, 201)
    code = client.code_for("worker@example.org")
    client.post("/api/verify-otp/", {"email": "worker@example.org", "otp": code})
    client.token = client.post("/api/login/", CREDENTIALS)["access"]


def test_an_address_is_verified_by_a_mailed_code(client: Client) -> None:
    """Login fails before verification; the code works once."""
    first = client.post("/api/register/", CREDENTIALS, 201)
    again = client.post("/api/register/", CREDENTIALS, 201)
    assert first == again

    client.post("/api/login/", CREDENTIALS, 403)
    client.post("/api/login/", {**CREDENTIALS, "password": "wrong"}, 401)
    client.post("/api/verify-otp/", {"email": "worker@example.org", "otp": "abcdef"}, 400)
    code = client.code_for("worker@example.org")
    client.post("/api/verify-otp/", {"email": "worker@example.org", "otp": code})
    client.post("/api/verify-otp/", {"email": "worker@example.org", "otp": code}, 400)
    assert set(client.post("/api/login/", CREDENTIALS)) >= {"access", "refresh"}


def test_a_job_runs_and_its_result_can_be_read(client: Client) -> None:
    """The status goes from pending to completed; both endpoints return the result."""
    _verified(client)
    body = {"name": "Nightly", "description": "of Job Processing", "scheduled_time": _soon()}
    made = client.post("/api/jobs/", body, 201)
    assert made["status"] == "pending"
    client.get(f"/api/jobs/{made['id']}/result/", 400)

    path = f"/api/jobs/{made['id']}/"
    eventually(lambda: client.get(path)["status"] == "completed")
    assert client.get(f"/api/jobs/{made['id']}/result/")["job"] == made["id"]
    assert [row["job"] for row in client.get("/api/job-results/")["results"]] == [made["id"]]
    assert [row["name"] for row in client.get("/api/jobs/")["results"]] == ["Nightly"]


def test_a_job_cannot_be_due_in_the_past(client: Client) -> None:
    """The error names the field; no job is stored."""
    _verified(client)
    body = {"name": "Too late", "scheduled_time": _soon(-60)}
    refused = client.post("/api/jobs/", body, 400)
    assert "scheduled_time" in refused["field_errors"]
    assert client.get("/api/jobs/")["count"] == 0


def test_deleting_cancels_a_waiting_job(client: Client) -> None:
    _verified(client)
    made = client.post("/api/jobs/", {"name": "Later", "scheduled_time": _soon(3600)}, 201)
    status, _, _ = client.call("DELETE", f"/api/jobs/{made['id']}/")
    assert status == 204
    assert client.get(f"/api/jobs/{made['id']}/")["status"] == "cancelled"


def test_users_see_only_their_own_jobs(client: Client) -> None:
    """Another user's job is not found; an unverified user has no jobs."""
    _verified(client)
    made = client.post("/api/jobs/", {"name": "Mine", "scheduled_time": _soon(3600)}, 201)
    other = {"email": "other@example.org", "password": "a-long-enough-one"}
    client.token = None
    client.post("/api/register/", other, 201)
    registration = {"username": "third", "email": "third@example.org",
                    "password": "a-long-enough-one"}  # fmt: skip
    client.post("/api/v1/auth/users", registration, 201)
    login = {"username": "third", "password": "a-long-enough-one"}
    client.token = client.post("/api/v1/auth/login", login)["access"]
    client.get("/api/jobs/", 403)
    code = client.code_for("other@example.org")
    client.token = None
    client.post("/api/verify-otp/", {"email": "other@example.org", "otp": code})
    client.token = client.post("/api/login/", other)["access"]
    client.get(f"/api/jobs/{made['id']}/", 404)
