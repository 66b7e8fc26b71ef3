"""Goals over HTTP: numbers, filters, versions, progress, timers, export, quota."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest

from tests.adapters.http.conftest import NOON, ApiFixture
from tests.adapters.http.web.test_rate_limits import limited
from workbell.adapters.http.goals.views import EXPORT_COLUMNS
from workbell.domain import constraints
from workbell.domain.rate_limits.policy import Rate

GOALS = "/api/v1/goals"


def test_a_goal_is_shown_with_all_its_fields(api: ApiFixture) -> None:
    made = api.post(
        GOALS, "ada", {"goal_name": "Learn", "category": "Primary", "deadline": "2026-05-03"}
    )
    assert (made.status_code, made.headers["location"]) == (201, f"{GOALS}/1")
    assert made.headers["etag"] == '"v1"'
    assert made.json == api.get(f"{GOALS}/1").json
    assert made.json == {
        "goal_num": 1,
        "goal_name": "Learn",
        "category": "Primary",
        "is_complete": False,
        "deadline": "2026-05-03",
        "completion_percentage": 0.0,
        "is_overdue": True,
        "state": "active",
        "logged_hours": "00:00:00",
        "total_hours": "00:00:00",
        "timer_started_at": None,
        "created_at": "2026-05-04T12:00:00Z",
        "updated_at": "2026-05-04T12:00:00Z",
        "version": 1,
    }


def test_goals_are_filtered_ordered_and_paged(api: ApiFixture) -> None:
    api.goal(goal_name="a", category="Minor", deadline="2026-06-01")
    api.goal(goal_name="b", is_complete=True)
    api.goal(goal_name="c", category="Secondary")
    api.post(f"{GOALS}/3/archive")

    def numbers(query: str) -> list[int]:
        return [one["goal_num"] for one in api.get(f"{GOALS}?{query}").json["results"]]

    assert numbers("") == [1, 2, 3]
    assert numbers("category=Minor") == numbers("deadline__lte=2026-06-01") == [1]
    assert numbers("is_complete=false&state=active,paused") == [1]
    assert numbers("search=B") == [2]
    assert numbers("ordering=-category,goal_name") == [1, 3, 2]
    assert numbers("page_size=1&page=2") == [2]
    for wrong in ("category=Huge", "deadline__gte=soon", "ordering=owner", "state=gone", "page=0"):
        problem = api.get(f"{GOALS}?{wrong}")
        assert problem.status_code == 400
        assert next(iter(problem.json["field_errors"])).startswith(wrong.partition("=")[0])
    assert api.get(f"{GOALS}?page=9").status_code == 404


def test_a_stale_change_is_412_with_the_fields_changed_since(api: ApiFixture) -> None:
    api.goal()
    path = f"{GOALS}/1"
    changed = api.call("PATCH", path, "ada", {"category": "Minor"}, headers={"If-Match": '"v1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"v2"')
    for method in ("PATCH", "DELETE"):
        stale = api.call(method, path, "ada", {}, headers={"If-Match": '"v1"'})
        assert (stale.status_code, stale.json["changed"]) == (412, ["category"])
    api.log()
    gone = api.call("DELETE", path, "ada", headers={"If-Match": '"v2"'})
    assert gone.status_code == 204
    assert api.get(path).status_code == 404
    assert api.goal()["goal_num"] == 2


def test_progress_is_logged_shown_changed_and_deleted(api: ApiFixture) -> None:
    api.goal()
    made = api.post(
        f"{GOALS}/1/progress",
        json={"progress": "Done", "logged_hours": "02:30:00", "total_hours": "30:00:00"},
    )
    assert (made.status_code, made.headers["location"]) == (201, f"{GOALS}/1/progress/1")
    assert made.json == api.get(f"{GOALS}/1/progress/1").json
    assert made.json == {
        "goal_num": 1,
        "progress_num": 1,
        "progress": "Done",
        "logged_hours": "02:30:00",
        "total_hours": "30:00:00",
        "is_complete": False,
        "percentage_complete": 8.33,
        "started_at": None,
        "ended_at": None,
        "local_day": "2026-05-04",
        "time_zone": "UTC",
        "created_at": "2026-05-04T12:00:00Z",
        "updated_at": "2026-05-04T12:00:00Z",
    }
    path = f"{GOALS}/1/progress/1"
    changed = api.call("PATCH", path, "ada", {"logged_hours": "30:00:00"}).json
    assert (changed["is_complete"], changed["percentage_complete"]) == (True, 100.0)
    assert api.get(f"{GOALS}/1").json["completion_percentage"] == 100.0
    api.log()
    assert api.get(f"{GOALS}/1/progress?is_complete=true&search=length").json["count"] == 1
    newest = api.get("/api/v1/progress").json["results"]
    assert [one["progress_num"] for one in newest] == [2, 1]
    assert api.call("DELETE", path, "ada").status_code == 204
    assert api.log()["progress_num"] == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"logged_hours": "-01:00:00"}, "logged_hours"),
        ({"logged_hours": "00:00:00"}, "logged_hours"),
        ({"logged_hours": "1 hour"}, "logged_hours"),
        ({"logged_hours": "00:60:00"}, "logged_hours"),
        ({"logged_hours": 3600}, "logged_hours"),
        ({"logged_hours": "10000:00:00"}, "logged_hours"),
        ({"logged_hours": "999999999:00:00"}, "logged_hours"),
        ({"logged_hours": "01:00:00.5"}, "logged_hours"),
        ({"logged_hours": "02:00:00", "total_hours": "01:59:59"}, "logged_hours"),
        ({"logged_hours": "00:00:00", "total_hours": "00:00:00"}, "total_hours"),
        ({"logged_hours": "01:00:00", "time_zone": "Mars/Base"}, "time_zone"),
        ({"logged_hours": "01:00:00", "progress": ""}, "progress"),
        ({"logged_hours": "01:00:00", "progress": " \n\t"}, "progress"),
        ({}, "logged_hours"),
        ({"started_at": "2026-05-04T10:00:00Z"}, "ended_at"),
        ({"started_at": "2026-05-04T10:00:00Z", "ended_at": "2026-05-04T09:00:00Z"}, "ended_at"),
        ({"started_at": "2026-05-04T10:00:00Z", "ended_at": "2026-05-04T13:00:00Z"}, "ended_at"),
        ({"started_at": "2026-05-04T08:30:00Z", "ended_at": "2026-05-04T10:00:00Z"}, "started_at"),
        ({"started_at": "1970-01-01T00:00:00Z", "ended_at": "2026-05-04T10:00:00Z"}, "ended_at"),
        ({"started_at": "0001-01-01T00:00:00Z", "ended_at": "0001-01-01T01:00:00Z"}, "started_at"),
    ],
)
def test_invalid_input_names_the_field(api: ApiFixture, body: dict[str, Any], field: str) -> None:
    api.goal()
    api.log(started_at="2026-05-04T08:00:00Z", ended_at="2026-05-04T09:00:00Z")
    refused = api.post(f"{GOALS}/1/progress", json={"progress": "x", **body})
    assert refused.status_code == 400
    assert field in refused.json["field_errors"]
    assert api.get("/api/v1/progress").json["count"] == 1


def test_a_timer_runs_and_is_stopped_with_or_without_a_body(api: ApiFixture) -> None:
    api.goal()
    api.goal()
    started = api.post(f"{GOALS}/1/timer/start").json
    assert started == {"goal_num": 1, "started_at": "2026-05-04T12:00:00Z", "stopped": None}
    assert api.get(f"{GOALS}/1").json["timer_started_at"] == started["started_at"]
    api.clock.at = NOON + timedelta(minutes=5)
    other = api.post(f"{GOALS}/2/timer/start").json
    assert other["stopped"]["logged_hours"] == "00:05:00"
    assert api.post(f"{GOALS}/1/timer/stop").json["code"] == "no_timer"
    api.clock.at += timedelta(minutes=4)
    entry = api.post(f"{GOALS}/2/timer/stop").json
    assert (entry["logged_hours"], entry["total_hours"]) == ("00:04:00", "00:04:00")
    assert entry["ended_at"] == "2026-05-04T12:09:00Z"
    api.post(f"{GOALS}/2/timer/start")
    api.clock.at += timedelta(minutes=5)
    asked = {"progress": "Half of it", "total_hours": "00:10:00"}
    entry = api.post(f"{GOALS}/2/timer/stop", json=asked).json
    assert (entry["progress"], entry["percentage_complete"]) == ("Half of it", 50.0)


def test_goals_are_paused_archived_and_resumed(api: ApiFixture) -> None:
    api.goal()
    states = [
        (word, api.post(f"{GOALS}/1/{word}").json["state"])
        for word in ("pause", "archive", "resume")
    ]
    assert states == [("pause", "paused"), ("archive", "archived"), ("resume", "active")]
    api.post(f"{GOALS}/1/archive")
    for path in ("progress", "timer/start", "pause"):
        body = {"progress": "x", "logged_hours": "01:00:00"} if path == "progress" else None
        refused = api.post(f"{GOALS}/1/{path}", json=body)
        assert (refused.status_code, refused.json["code"]) == (409, "goal_closed")


def test_an_export_is_csv_without_formulas(api: ApiFixture) -> None:
    api.goal(goal_name="=cmd|' /C calc'!A0")
    api.log(progress="@SUM(1)\nand, more", logged_hours="01:00:00", total_hours="03:00:00")
    api.log(progress="plain ü", started_at="2026-05-04T08:00:00Z", ended_at="2026-05-04T09:00:00Z")
    answer = api.get("/api/v1/progress/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert "attachment" in answer.headers["content-disposition"]
    head, first, second = csv.reader(StringIO(answer.content.decode(), newline=""))
    assert tuple(head) == EXPORT_COLUMNS
    assert first == [
        "1", "'=cmd|' /C calc'!A0", "Primary", "1", "'@SUM(1)\nand, more", "01:00:00", "03:00:00",
        "false", "33.33", "2026-05-04", "UTC", "", "", "2026-05-04T12:00:00Z",
    ]  # fmt: skip
    assert second[4:5] + second[11:13] == [
        "plain ü", "2026-05-04T08:00:00Z", "2026-05-04T09:00:00Z",
    ]  # fmt: skip


def test_the_quota_covers_progress_in_both_apis_and_nothing_else(api: ApiFixture) -> None:
    api.join("eve", tier="premium")
    api = limited(api, user=Rate(1000, 3600), free=Rate(10, 86_400), premium=Rate(1000, 86_400))
    for caller in ("ada", "eve"):
        api.goal(caller)
    paths = ("/api/v1/progress", "/api/progress/", "/api/goals/1/progress/")
    for path, left in zip(paths, (9, 8, 7), strict=True):
        assert f'"free";r={left}' in api.get(path).headers["ratelimit"]
    for _ in range(12):
        assert '"free"' not in api.get(f"{GOALS}/1").headers["ratelimit"]
    quota = api.get("/api/v1/quota").json
    assert quota["tier"] == "free"
    assert quota["policies"][0] == {
        "policy": "free", "limit": 10, "period_seconds": 86_400, "used": 3, "remaining": 7,
        "resets_at": "2026-05-05T12:00:00Z",
    }  # fmt: skip
    assert quota["policies"][1]["policy"] == "user"
    for path in ["/api/v1/progress/export"] * 6 + [f"{GOALS}/1/progress/1"]:
        assert api.get(path).status_code in {200, 404}
    for _ in range(3):
        refused = api.post(f"{GOALS}/1/progress", json={"progress": "x"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "86400")
    assert api.get("/api/v1/quota").json["policies"][0]["used"] == 10
    assert api.get("/api/v1/progress", "eve").status_code == 200
    assert api.get("/api/v1/quota", "bob").json["policies"][0]["resets_at"] is None
    api.clock.at = NOON + timedelta(days=1, seconds=1)
    api.tokens["ada"] = api.deps.login.login("ada", "correct horse 7").access
    assert api.get("/api/v1/progress").status_code == 200


def test_learnflow_lists_the_same_goals_in_pages_of_five(api: ApiFixture) -> None:
    for _ in range(11):
        api.goal()
    made = api.post(
        "/api/goals/", json={"goal_name": "Learn", "category": "Primary", "deadline": "2026-12-31"}
    )
    assert (made.status_code, made.headers["location"]) == (201, "/api/goals/12")
    first = api.get("/api/goals/").json
    assert (first["count"], len(first["results"])) == (12, 5)
    assert len(api.get("/api/goals/?page_size=50").json["results"]) == 10
    assert api.get("/api/goals/?category=Minor").json["count"] == 0
    logged = api.post("/api/goals/12/progress/", json={"progress": "x", "logged_hours": "01:00:00"})
    assert logged.headers["location"] == "/api/goals/12/progress/1"
    assert api.get("/api/goals/12/progress/1").json == logged.json
    path = "/api/goals/12/progress/1/"
    assert api.call("PATCH", path, "ada", {"progress": "y"}).json["progress"] == "y"
    assert api.get("/api/progress/").json["count"] == 1
    assert api.get("/api/progress/", "bob").json["count"] == 0
    assert api.get("/api/progress/", None).status_code == 401


def test_a_search_of_many_entries_names_its_window(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.goal()
    for _ in range(3):
        api.log()
    assert "search_window" not in api.get("/api/v1/progress?search=x").json
    monkeypatch.setattr(constraints, "SEARCH_WINDOW", 2)
    searched = api.get("/api/v1/progress?ordering=-logged_hours").json
    assert (searched["count"], searched["search_window"]) == (2, 2)
    assert "search_window" not in api.get("/api/v1/progress").json


def test_pages_of_progress_end_at_the_cap(api: ApiFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    api.goal()
    for _ in range(3):
        api.log()
    monkeypatch.setattr(constraints, "COUNT_CAP", 2)
    second = api.get("/api/v1/progress?page_size=1&page=2").json
    assert (second["count"], second["count_capped"], second["next"]) == (2, True, None)
    assert api.get("/api/v1/progress?page_size=1&page=3").status_code == 404
