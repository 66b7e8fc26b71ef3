"""InsightHub's routes: bodies, statuses and error messages."""

from typing import Any

import pytest

from tests.adapters.http.conftest import A_SCHEDULE, PASSWORD, ApiFixture
from workbell.domain.jobs.job import JobState

BASE = "/api/schedules/"
NEW = {
    "username": "grace",
    "email": "grace@example.org",
    "first_name": "Grace",
    "last_name": "Hopper",
    "password": "a compiler, 1952",
    "password_confirm": "a compiler, 1952",
}


def test_register_login_refresh_profile(empty: ApiFixture) -> None:
    made = empty.post("/api/auth/register/", None, NEW)
    assert made.status_code == 201
    assert list(made.json) == ["user", "message"]
    login = {"username": "grace", "password": NEW["password"]}
    signed_in = empty.post("/api/auth/login/", None, login)
    assert list(signed_in.json) == ["access_token", "refresh_token", "user"]
    assert signed_in.json["user"]["full_name"] == "Grace Hopper"
    empty.tokens["grace"] = signed_in.json["access_token"]
    profile = empty.get("/api/auth/profile/", "grace")
    assert profile.json == signed_in.json["user"]
    for field in ("refresh", "refresh_token"):
        again = empty.post("/api/auth/login/", None, login).json["refresh_token"]
        pair = empty.post("/api/auth/refresh/", None, {field: again})
        assert list(pair.json) == ["access", "refresh"]


def test_wrong_credentials_are_400(api: ApiFixture) -> None:
    wrong = api.post("/api/auth/login/", None, {"username": "ada", "password": "wrong"})
    assert wrong.status_code == 400
    assert wrong.json["non_field_errors"] == [wrong.json["detail"]]
    assert wrong.json["code"] == "wrong_credentials"


def test_each_invalid_field_is_a_key(api: ApiFixture) -> None:
    body = {**NEW, "username": "ada", "password_confirm": "another"}
    refused = api.post("/api/auth/register/", None, body)
    assert refused.status_code == 400
    assert refused.json["password_confirm"] == ["The two passwords differ."]
    taken = api.post("/api/auth/register/", None, {**NEW, "username": "ada"})
    assert isinstance(taken.json["username"], list)
    assert taken.json["field_errors"]["username"] == taken.json["username"]
    missing = api.post("/api/auth/register/", None, {})
    assert {"username", "email", "password", "password_confirm"} <= set(missing.json)


def test_tasks_are_listed_in_pages_of_ten(api: ApiFixture) -> None:
    page = api.get("/api/tasks/").json
    assert (list(page), page["count"]) == (["count", "next", "previous", "results"], 2)
    listed = page["results"]
    fields = [
        "id",
        "name",
        "description",
        "input_schema",
        "input_fields",
        "is_active",
        "created_at",
    ]
    assert [list(one) for one in listed] == [fields, fields]
    second = api.get("/api/tasks/", query_string="page_size=1&page=2").json
    assert (second["count"], second["results"]) == (2, listed[1:])
    assert api.get("/api/tasks/", query_string="page=2").status_code == 404
    assert listed[0]["input_schema"] == {"email": "string", "delay": "integer", "weight": "float"}
    assert listed[0]["input_fields"] == ["email", "delay", "weight"]
    api.call("PATCH", "/api/v1/task-definitions/1", "root", {"is_active": False})
    assert [one["id"] for one in api.get("/api/tasks/available/").json["results"]] == [2]
    assert [one["id"] for one in api.get("/api/tasks/").json["results"]] == [1, 2]


def test_a_schedule_equals_the_canonical_one(api: ApiFixture) -> None:
    made = api.post(BASE, json={**A_SCHEDULE, "is_active": True})
    assert made.status_code == 201
    assert made.headers["location"] == "/api/schedules/1"
    assert made.json == api.get("/api/v1/schedules/1").json == api.get(f"{BASE}1/").json
    put = api.call("PUT", f"{BASE}1/", "ada", {**A_SCHEDULE, "cron_expression": "0 8 * * *"})
    assert put.json["cron_expression"] == "0 8 * * *"
    patched = api.call("PATCH", f"{BASE}1/", "ada", {"name": "n"})
    assert patched.json["name"] == "n"
    stale = api.call("PATCH", f"{BASE}1/", "ada", {"name": "m"}, headers={"If-Match": '"v1"'})
    assert stale.status_code == 412
    assert api.call("DELETE", f"{BASE}1/", "ada").status_code == 204
    assert api.get(f"{BASE}1/").status_code == 404


def test_toggling_returns_a_message(api: ApiFixture) -> None:
    api.post(BASE, json=A_SCHEDULE)
    for active in (False, True):
        toggled = api.post(f"{BASE}1/toggle_active/")
        assert toggled.json["is_active"] is active
        assert toggled.json["id"] == 1
        assert toggled.json["message"]


def test_a_sixth_active_schedule_is_refused(api: ApiFixture) -> None:
    for _ in range(5):
        assert api.post(BASE, json=A_SCHEDULE).status_code == 201
    refused = api.post(BASE, json=A_SCHEDULE)
    assert refused.status_code == 400
    assert refused.json["detail"] == "Regular users cannot have more than 5 active jobs"
    assert refused.json["non_field_errors"] == [refused.json["detail"]]
    api.post(BASE, json={**A_SCHEDULE, "is_active": False})
    assert api.post(f"{BASE}6/toggle_active/").status_code == 400
    assert api.call("PATCH", f"{BASE}6/", "ada", {"is_active": True}).status_code == 400
    for _ in range(6):
        assert api.post(BASE, "root", json=A_SCHEDULE).status_code == 201


def test_an_invalid_expression_is_reported_under_its_own_key(api: ApiFixture) -> None:
    bad = api.post(BASE, json={**A_SCHEDULE, "cron_expression": "every day"})
    assert bad.status_code == 400
    assert bad.json["cron_expression"][0].startswith("Invalid cron expression")


def test_invalid_parameters_have_insighthubs_messages(api: ApiFixture) -> None:
    parameters = {"email": 1, "delay": "x", "weight": "x", "colour": "red"}
    bad = api.post(BASE, json={**A_SCHEDULE, "parameters": parameters})
    assert bad.json["parameters"] == [
        "email must be a string",
        "delay must be a integer",
        "weight must be a float",
        "colour is not a valid parameter",
    ]


def test_runs_have_insighthubs_statuses(api: ApiFixture) -> None:
    api.schedule(overlap_policy="allow_all")
    words: list[Any] = []
    for state in (JobState.SUCCEEDED, JobState.FAILED):
        job = api.post("/api/v1/schedules/1/run_now").json["id"]
        api.end(job, state)
    cancelled = api.post("/api/v1/schedules/1/run_now").json["id"]
    api.post(f"/api/v1/jobs/{cancelled}/cancel")
    rows = api.get(f"{BASE}1/logs/").json["results"]
    words = [row["status"] for row in rows]
    assert words == ["cancelled", "failure", "success"]
    assert rows[0]["error_message"] == "cancelled on request"
    only = api.get(f"{BASE}1/logs/", query_string="status=failure,success").json
    assert [row["status"] for row in only["results"]] == ["failure", "success"]
    assert api.get(f"{BASE}1/logs/", query_string="status=failed").status_code == 400
    assert api.get(f"{BASE}1/").json["last_status"] == "failure"


def test_search_reads_filters_from_the_body(api: ApiFixture) -> None:
    api.schedule(name="alpha")
    api.schedule(name="beta", is_active=False)
    api.schedule(name="gamma", task_definition="echo", parameters={})
    asked = {
        "filters": {"is_active": True, "task_definition": 1},
        "ordering": ["-created_at"],
        "page_size": 5,
    }
    found = api.post(f"{BASE}search/", json=asked)
    assert found.status_code == 200
    assert [row["name"] for row in found.json["results"]] == ["alpha"]
    many = {"filters": {"task_definition__in": [1, "echo"]}, "ordering": ["name"]}
    names = [row["name"] for row in api.post(f"{BASE}search/", json=many).json["results"]]
    assert names == ["alpha", "beta", "gamma"]
    assert api.post(f"{BASE}search/", json={}).json["count"] == 3


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"filters": {"password": 1}}, "filters.password"),
        ({"filters": {"is_active": "true"}}, "filters.is_active"),
        ({"filters": {"user": 1}}, "filters.user"),
        ({"filters": {"task_definition": 9}}, "filters.task_definition"),
        ({"ordering": ["id"]}, "ordering"),
        ({"page": 0}, "page"),
        ({"limit": 1}, "limit"),
    ],
)
def test_search_rejects_unknown_filters_and_orderings(
    api: ApiFixture, body: dict[str, Any], path: str
) -> None:
    refused = api.post(f"{BASE}search/", json=body)
    assert refused.status_code == 400
    assert list(refused.json["field_errors"]) == [path]
    assert refused.json[path.partition(".")[0]]


def test_pages_have_ten_entries_and_more_only_for_superusers(api: ApiFixture) -> None:
    for _ in range(12):
        api.schedule(is_active=False)
    for size in ("", "page_size=50"):
        page = api.get(BASE, query_string=size).json
        assert (page["count"], len(page["results"])) == (12, 10)
    assert len(api.get(BASE, "root", query_string="page_size=50").json["results"]) == 12
    assert len(api.post(f"{BASE}search/", json={"page_size": 3}).json["results"]) == 3
    last = api.post(f"{BASE}search/", json={"page": 2}).json
    assert len(last["results"]) == 2
    assert api.post(f"{BASE}search/", json={"page": 3}).status_code == 404


def test_passwords_are_never_returned(api: ApiFixture) -> None:
    login = {"username": "ada", "password": PASSWORD}
    assert PASSWORD not in api.post("/api/auth/login/", None, login).text
