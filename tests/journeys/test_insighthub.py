"""InsightHub: register, schedule predefined tasks, read their logs."""

from pathlib import Path

from tests.journeys.conftest import Client, eventually

REGISTRATION = {
    "username": "testuser",
    "email": "test@example.com",
    "first_name": "Test",
    "last_name": "User",
    "password": "securepassword123",
    "password_confirm": "securepassword123",
}
FIVE = [
    "Send Email",
    "Data Processing",
    "Report Generation",
    "File Backup",
    "Database Cleanup",
]
MAIL = {"email": "recipient@example.com", "delay": 5}


def _signed_in(client: Client) -> dict[str, object]:
    client.post("/api/auth/register/", REGISTRATION, 201)
    credentials = {"username": "testuser", "password": "securepassword123"}
    answer: dict[str, object] = client.post("/api/auth/login/", credentials)
    client.token = str(answer["access_token"])
    return answer


def test_a_user_registers_and_signs_in(client: Client) -> None:
    """The access token reads the profile; the refresh token is rotated."""
    answer = _signed_in(client)
    assert answer["user"]["full_name"] == "Test User"  # type: ignore[index]
    assert client.get("/api/auth/profile/")["email"] == "test@example.com"

    fresh = client.post("/api/auth/refresh/", {"refresh": answer["refresh_token"]})
    assert set(fresh) >= {"access", "refresh"}

    client.token = None
    client.get("/api/schedules/", 401)
    wrong = {"username": "testuser", "password": "wrong"}
    client.post("/api/auth/login/", wrong, 400)


def test_the_five_predefined_tasks_are_listed_first(client: Client) -> None:
    """Each lists its parameters with flat types."""
    _signed_in(client)
    page = client.get("/api/tasks/")
    tasks = page["results"]
    assert len(tasks) == min(page["count"], 10)
    assert [task["name"] for task in tasks[:5]] == FIVE
    assert tasks[0]["input_schema"]["email"] == "string"
    assert tasks[0]["input_schema"]["delay"] == "integer"
    assert client.get("/api/tasks/available/") == page


def test_a_schedule_is_created_filtered_paused_and_deleted(client: Client) -> None:
    """The documented calls, in the documented order."""
    _signed_in(client)
    body = {"task_definition": 1, "cron_expression": "0 9 * * *", "parameters": MAIL,
            "is_active": True}  # fmt: skip
    made = client.post("/api/schedules/", body, 201)
    assert made["next_run_time"].endswith("09:00:00Z")
    assert made["task_definition_name"] == "Send Email"
    assert made["user_username"] == "testuser"

    assert client.get("/api/schedules/")["count"] == 1
    search = {"filters": {"is_active": True, "task_definition": 1},
              "ordering": ["-created_at"], "page_size": 5}  # fmt: skip
    assert client.post("/api/schedules/search/", search)["results"] == [made]

    toggled = client.post(f"/api/schedules/{made['id']}/toggle_active/")
    assert toggled["is_active"] is False
    assert toggled["message"]
    assert client.get(f"/api/schedules/{made['id']}/logs/")["count"] == 0

    put = {"cron_expression": "30 8 * * 1-5", "parameters": MAIL}
    status, changed, _ = client.call("PUT", f"/api/schedules/{made['id']}/", put)
    assert (status, changed["cron_expression"]) == (200, "30 8 * * 1-5")
    status, _, _ = client.call("DELETE", f"/api/schedules/{made['id']}/")
    assert status == 204
    client.get(f"/api/schedules/{made['id']}/", 404)


def test_the_sixth_active_schedule_is_refused(client: Client) -> None:
    """Inactive schedules do not count; the error text is InsightHub's."""
    _signed_in(client)
    body = {"task_definition": 1, "cron_expression": "0 9 * * *", "parameters": MAIL}
    for _ in range(5):
        client.post("/api/schedules/", body, 201)
    refused = client.post("/api/schedules/", body, 400)
    assert "Regular users cannot have more than 5 active jobs" in str(refused)
    client.post("/api/schedules/", {**body, "is_active": False}, 201)


def test_invalid_expressions_and_parameters_are_named(client: Client) -> None:
    """Each invalid field is a key with its messages."""
    _signed_in(client)
    wrong = {"task_definition": 1, "cron_expression": "every day", "parameters": MAIL}
    refused = client.post("/api/schedules/", wrong, 400)
    assert refused["cron_expression"][0].startswith("Invalid cron expression")

    wrong = {"task_definition": 1, "cron_expression": "0 9 * * *",
             "parameters": {"email": 5, "delay": 5, "colour": "red"}}  # fmt: skip
    refused = client.post("/api/schedules/", wrong, 400)
    assert "email must be a string" in str(refused)
    assert "colour is not a valid parameter" in str(refused)


def test_every_predefined_task_runs(client: Client, tmp_path: Path) -> None:
    """A run of each adds a successful row to the log of its schedule."""
    (tmp_path / "input" / "notes.txt").write_text("keep me")
    client.token = client.post(
        "/api/auth/login/", {"username": "admin", "password": "correct-horse-battery"}
    )["access_token"]
    parameters = [
        {"email": "recipient@example.com", "delay": 0},
        {"dataset_size": 1000, "processing_type": "complex"},
        {"report_type": "daily", "include_charts": True},
        {"source_path": str(tmp_path / "input"), "destination": str(tmp_path / "backups"),
         "compress": True},
        {"days_old": 30, "table_name": "execution_logs"},
    ]  # fmt: skip
    for task, given in enumerate(parameters, start=1):
        body = {"task_definition": task, "cron_expression": "0 0 1 1 *", "parameters": given}
        made = client.post("/api/schedules/", body, 201)
        client.post(f"/api/v1/schedules/{made['id']}/run_now", status=202)
        path = f"/api/schedules/{made['id']}/logs/"
        row = eventually(
            lambda path=path: next(  # type: ignore[misc]
                (r for r in client.get(path)["results"] if r["is_completed"]), None
            )
        )
        assert row["status"] == "success", row
        assert row["task_name"] == FIVE[task - 1]
        assert row["result"]
    assert list((tmp_path / "backups").iterdir())
