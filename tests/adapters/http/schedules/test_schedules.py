"""Schedules over HTTP."""

from typing import Any

import pytest

from tests.adapters.http.conftest import A_SCHEDULE, ApiFixture
from workbell.domain.jobs.job import JobState

BASE = "/api/v1/schedules"
FIELDS = [
    "id", "user_id", "user_username", "user_full_name", "task_definition_id",
    "task_definition_name", "task_definition_description", "name", "cron_expression",
    "time_zone", "parameters", "is_active", "misfire_policy", "overlap_policy", "dst_gap",
    "dst_overlap", "starts_at", "ends_at", "max_runs", "jitter_seconds", "queue", "priority",
    "max_attempts", "timeout_seconds", "alert_after_seconds", "overdue_since", "next_run_time",
    "last_run_time", "paused_reason",
    "created_at", "updated_at", "version", "last_status",
]  # fmt: skip


def test_creating_a_schedule_returns_all_fields(api: ApiFixture) -> None:
    made = api.post(BASE, json=A_SCHEDULE)
    assert made.status_code == 201
    assert made.headers["location"] == f"{BASE}/1"
    assert made.headers["etag"] == '"v1"'
    body = made.json
    assert list(body) == FIELDS
    assert body["user_username"] == "ada"
    assert body["next_run_time"] == "2026-05-05T09:00:00Z"
    assert body["parameters"] == A_SCHEDULE["parameters"]
    assert api.get(f"{BASE}/1").json == body


def test_a_task_may_be_named_by_its_key(api: ApiFixture) -> None:
    assert api.schedule(task_definition="mail")["task_definition_id"] == 1
    unknown = api.post(BASE, json={**A_SCHEDULE, "task_definition": "nope"})
    assert list(unknown.json["field_errors"]) == ["task_definition"]


def test_each_invalid_parameter_is_named(api: ApiFixture) -> None:
    body = {**A_SCHEDULE, "parameters": {"email": 5, "delay": "soon", "colour": "red"}}
    problem = api.post(BASE, json=body).json
    assert problem["field_errors"] == {
        "parameters.email": ["email must be a string"],
        "parameters.delay": ["delay must be an integer"],
        "parameters.colour": ["colour is not a valid parameter"],
    }


def test_put_resets_only_omitted_parameters_and_is_active(api: ApiFixture) -> None:
    api.schedule(
        name="kept", is_active=False, task_definition="echo", parameters={"a": 1}, priority=-5
    )
    put = api.call("PUT", f"{BASE}/1", "ada", {"cron_expression": "0 7 * * *"})
    assert put.status_code == 200
    body = put.json
    assert (body["name"], body["priority"], body["task_definition_name"]) == ("kept", -5, "Echo")
    assert (body["is_active"], body["parameters"], body["version"]) == (True, {}, 2)
    missing = api.call("PUT", f"{BASE}/1", "ada", {"name": "x"})
    assert missing.json["field_errors"] == {"cron_expression": ["cron_expression is required"]}


def test_patch_changes_the_given_fields(api: ApiFixture) -> None:
    api.schedule()
    changed = api.call("PATCH", f"{BASE}/1", "ada", {"name": "new", "time_zone": "Asia/Tokyo"})
    assert changed.json["next_run_time"] == "2026-05-05T00:00:00Z"
    assert changed.json["name"] == "new"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('"v1"', 200), ('W/"v1"', 200), ("*", 200), ('"v7", "v1"', 200), (None, 200),
        ('"v2"', 412), ('"other"', 412), ("v1", 412), ('"v7", "v8"', 412),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_stale_version_changes_nothing(
    api: ApiFixture, method: str, header: str | None, status: int
) -> None:
    api.schedule()
    headers = {"If-Match": header} if header else {}
    body = None if method == "DELETE" else {**A_SCHEDULE, "cron_expression": "0 7 * * *"}
    result = api.call(method, f"{BASE}/1", "ada", body, headers=headers)
    assert result.status_code == (204 if (method, status) == ("DELETE", 200) else status)
    if status == 412:
        assert result.json["code"] == "stale_version"
        assert result.json["version"] == 1
        assert result.json["changed"] == []
        assert result.headers["etag"] == '"v1"'
        assert api.get(f"{BASE}/1").json["version"] == 1


def test_a_deleted_schedule_is_gone(api: ApiFixture) -> None:
    api.schedule()
    assert api.call("DELETE", f"{BASE}/1", "ada").status_code == 204
    for path in (f"{BASE}/1", f"{BASE}/1/logs", f"{BASE}/1/upcoming"):
        assert api.get(path).status_code == 404


def test_a_sixth_active_schedule_is_refused(api: ApiFixture) -> None:
    for _ in range(5):
        api.schedule()
    refused = api.post(BASE, json=A_SCHEDULE)
    assert (refused.status_code, refused.json["code"]) == (409, "limit_reached")
    assert api.schedule(is_active=False)["next_run_time"] is None
    assert api.post(f"{BASE}/6/toggle_active").status_code == 409
    assert api.post(f"{BASE}/1/toggle_active").json["is_active"] is False
    assert api.post(f"{BASE}/6/toggle_active").json["is_active"] is True


def test_run_now_returns_the_job(api: ApiFixture) -> None:
    api.schedule()
    run = api.post(f"{BASE}/1/run_now")
    assert run.status_code == 202
    assert run.headers["location"] == f"/api/v1/jobs/{run.json['id']}"
    assert (run.json["origin"], run.json["schedule_id"]) == ("run_now", 1)


def test_a_backfill_returns_its_first_job_and_a_summary(api: ApiFixture) -> None:
    api.schedule()
    asked = {"start": "2026-05-01T00:00:00+02:00", "end": "2026-05-03T12:00:00Z"}
    dry = api.post(f"{BASE}/1/backfill", json={**asked, "dry_run": True})
    plan = {
        "count": 3,
        "first": "2026-05-01T09:00:00Z",
        "last": "2026-05-03T09:00:00Z",
    }
    assert (dry.status_code, dry.json) == (200, {"backfill": {**plan, "dry_run": True}})
    made = api.post(f"{BASE}/1/backfill", json=asked)
    assert made.status_code == 202
    assert made.json["origin"] == "backfill"
    assert made.json["backfill"] == {**plan, "dry_run": False}
    assert api.get(f"{BASE}/1/logs").json["count"] == 3
    future = api.post(f"{BASE}/1/backfill", json={**asked, "end": "2027-01-01T00:00:00Z"})
    assert list(future.json["field_errors"]) == ["end"]
    ancient = api.post(f"{BASE}/1/backfill", json={**asked, "start": "0001-01-01T00:00:00Z"})
    assert ancient.status_code == 400
    assert ancient.json["field_errors"] == {"start": ["start must not be before 1970-01-01"]}
    listed = api.get(f"{BASE}?created_at__lte=9999-01-01T00:00:00Z")
    assert listed.status_code == 400
    assert list(listed.json["field_errors"]) == ["created_at__lte"]


def test_a_preview_warns_of_a_jitter_larger_than_the_interval(api: ApiFixture) -> None:
    asked = {"cron_expression": "* * * * *", "jitter_seconds": 90}
    shown = api.post(f"{BASE}/preview", json=asked)
    assert shown.json["warnings"][0].startswith("jitter_seconds must be at most 60")
    refused = api.post(BASE, json={**asked, "task_definition": "echo"})
    assert list(refused.json["field_errors"]) == ["jitter_seconds"]


def test_runs_are_listed_newest_first(api: ApiFixture) -> None:
    api.schedule(overlap_policy="allow_all")
    first = api.post(f"{BASE}/1/run_now").json["id"]
    api.end(first, JobState.FAILED)
    second = api.post(f"{BASE}/1/run_now").json["id"]
    rows = api.get(f"{BASE}/1/logs").json["results"]
    assert [row["id"] for row in rows] == [second, first]
    waiting, failed = rows
    assert waiting["status"] == "pending"
    assert (waiting["is_completed"], waiting["execution_time"]) == (False, None)
    assert failed["schedule_id"] == 1
    assert (failed["task_name"], failed["user_username"]) == ("Send Email", "ada")
    assert (failed["status"], failed["is_completed"]) == ("failed", True)
    assert (failed["execution_time"], failed["duration_seconds"]) == ("00:00:02", 2.0)
    assert failed["error_message"] == "it broke"
    only = api.get(f"{BASE}/1/logs", query_string="status=failed,succeeded").json
    assert [row["id"] for row in only["results"]] == [first]
    shown = api.get(f"{BASE}/1").json
    assert shown["last_status"] == "failed"


def test_upcoming_runs_and_previews_describe_the_expression(api: ApiFixture) -> None:
    api.schedule()
    shown = api.get(f"{BASE}/1/upcoming", query_string="n=2").json
    assert [run["at"] for run in shown["runs"]] == ["2026-05-05T09:00:00Z", "2026-05-06T09:00:00Z"]
    body = {"cron_expression": "*/15 * * * *", "time_zone": "Europe/Berlin", "n": 1}
    explained = api.post(f"{BASE}/preview", json=body).json
    assert explained["runs"][0]["local"] == "2026-05-04T14:15:00+02:00"
    assert explained["smallest_gap"] == "00:15:00"
    assert explained["words"]
    wrong = api.post(f"{BASE}/preview", json={"cron_expression": "61 * * * *"})
    assert list(wrong.json["field_errors"]) == ["cron_expression"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("is_active=true", [2, 1]),
        ("is_active=false", [3]),
        ("task_definition=echo", [2]),
        ("task_definition=1", [3, 1]),
        ("task_definition__in=1,echo", [3, 2, 1]),
        ("task_definition__in=1&task_definition=echo", []),
        ("name=beta", [2]),
        ("name__contains=ET", [2]),
        ("cron_expression__in=0 8 * * *,0 9 * * *", [2, 1]),
        ("cron_expression__contains=30", [3]),
        ("search=echo", [2]),
        ("created_at__lte=2026-05-04T12:00:00Z", [3, 2, 1]),
        ("created_at__gte=2026-05-04T14:00:01+02:00", []),
        ("created_at=2026-05-04T12:00:00Z&name=beta", [2]),
        ("next_run_time__gte=2026-05-05T09:00:00Z", [1]),
        ("ordering=name", [1, 2, 3]),
        ("ordering=-name", [3, 2, 1]),
        ("ordering=is_active,-name", [3, 2, 1]),
    ],
)
def test_filters_and_orderings(api: ApiFixture, query: str, ids: list[int]) -> None:
    api.schedule(name="alpha")
    api.schedule(name="beta", cron_expression="0 8 * * *", task_definition=2, parameters={})
    api.schedule(name="gamma", cron_expression="30 9 * * *", is_active=False)
    api.schedule("bob", name="theirs")
    listed = api.get(BASE, query_string=query)
    assert [row["id"] for row in listed.json["results"]] == ids, listed.json


@pytest.mark.parametrize(
    "query",
    ["ordering=id", "ordering=", "ordering=name,-name", "user=1", "task_definition=9", "page=0",
     "page_size=0", "is_active=maybe", "created_at__gte=yesterday"],
)  # fmt: skip
def test_an_invalid_filter_is_named(api: ApiFixture, query: str) -> None:
    refused = api.get(BASE, query_string=query)
    assert refused.status_code == 400
    assert list(refused.json["field_errors"]) == [query.partition("=")[0]]


def test_superusers_may_filter_by_user(api: ApiFixture) -> None:
    api.schedule("ada")
    api.schedule("bob")
    listed: dict[str, Any] = api.get(BASE, "root", query_string="user=2").json
    assert [row["user_username"] for row in listed["results"]] == ["bob"]


def test_superusers_deactivate_a_task_definition(api: ApiFixture) -> None:
    path = "/api/v1/task-definitions"
    listed = api.get(path).json
    assert [one["key"] for one in listed["results"]] == ["mail", "echo"]
    one = api.get(f"{path}/1").json
    assert one["input_schema"] == {"email": "string", "delay": "integer", "weight": "float"}
    assert one["schema"]["additionalProperties"] is False
    off = api.call("PATCH", f"{path}/1", "root", {"is_active": False})
    assert off.json["is_active"] is False
    assert api.call("PATCH", f"{path}/1", "ada", {"is_active": True}).status_code == 403
    assert api.call("PATCH", f"{path}/9", "root", {}).status_code == 404
