"""LearnFlow: goals, progress within a quota, summaries."""

from datetime import date
from typing import Any

from tests.journeys.conftest import Client

LEARNER = {
    "username": "learner",
    "password": "a-long-enough-one",
    "email": "learner@example.org",
    "first_name": "Lea",
    "last_name": "Rner",
    "tier": "free",
}
A_GOAL = {"goal_name": "Learn to write services", "category": "Primary", "deadline": "2035-12-31"}
A_STEP = {"progress": "The first module", "logged_hours": "02:30:00", "total_hours": "05:00:00"}


def _signed_in(client: Client, **facts: Any) -> None:
    """Register and log in with the LearnFlow API."""
    person = {**LEARNER, **facts}
    client.token = None
    made = client.post("/api/user/", person, 201)
    assert set(made) == {"id", "username", "email", "first_name", "last_name", "tier"}
    credentials = {name: person[name] for name in ("username", "password")}
    pair = client.post("/api/token/", credentials)
    assert set(pair) == {"access", "refresh"}
    client.token = pair["access"]


def test_goals_are_set_filtered_and_paged(client: Client) -> None:
    """Numbers start at 1 for each user; pages have 5 rows, at most 10."""
    _signed_in(client)
    for number in range(1, 13):
        made = client.post("/api/goals/", A_GOAL, 201)
        assert (made["goal_num"], made["completion_percentage"]) == (number, 0)
    assert client.get("/api/goals/7")["goal_num"] == 7
    client.post("/api/goals/", {**A_GOAL, "category": "Minor", "is_complete": True}, 201)

    page = client.get("/api/goals/")
    assert (page["count"], len(page["results"]), page["previous"]) == (13, 5, None)
    assert client.get(page["next"].partition(str(client.port))[2])["results"][0]["goal_num"] == 6
    assert len(client.get("/api/goals/?page_size=50")["results"]) == 10
    for query in ("category=Minor", "is_complete=true"):
        assert [one["goal_num"] for one in client.get(f"/api/goals/?{query}")["results"]] == [13]
    refused = client.post("/api/goals/", {**A_GOAL, "category": "Huge"}, 400)
    assert "category" in refused["field_errors"]
    client.get("/api/goals/14", 404)
    client.get("/api/goals/0", 404)

    _signed_in(client, username="other", email="other@example.org")
    assert client.get("/api/goals/")["count"] == 0
    assert client.post("/api/goals/", A_GOAL, 201)["goal_num"] == 1
    assert client.get("/api/users/") == ["admin", "learner", "other"]
    client.token = None
    client.get("/api/users/", 401)


def test_progress_is_logged_until_the_days_quota_is_used_up(client: Client) -> None:
    """The free tier has ten requests a day; other endpoints are not affected."""
    _signed_in(client)
    client.post("/api/goals/", A_GOAL, 201)
    made = client.post("/api/goals/1/progress/", A_STEP, 201)
    assert (made["progress_num"], made["logged_hours"], made["total_hours"]) == (
        1,
        "02:30:00",
        "05:00:00",
    )
    assert (made["is_complete"], made["percentage_complete"]) == (False, 50)
    assert client.get("/api/goals/1/progress/1")["progress"] == "The first module"
    done = {"logged_hours": "05:00:00"}
    status, changed, _ = client.call("PATCH", "/api/goals/1/progress/1", done)
    assert (status, changed["is_complete"]) == (200, True)
    refused = client.post("/api/goals/1/progress/", {**A_STEP, "logged_hours": "05:00:01"}, 400)
    assert "logged_hours" in refused["field_errors"]
    client.post("/api/goals/1/progress/", {**A_STEP, "total_hours": "100:00:00"}, 201)
    assert client.get("/api/goals/1/progress/")["count"] == 2
    assert client.get("/api/progress/")["count"] == 2
    client.get("/api/v1/progress")
    assert client.get("/api/goals/1")["completion_percentage"] == 7.14

    assert client.get("/api/v1/quota")["policies"][0]["remaining"] == 2
    assert b"The first module" in client.get("/api/v1/progress/export")
    _, _, headers = client.call("GET", "/api/progress/")
    assert '"free";r=0' in headers["ratelimit"]
    status, problem, headers = client.call("POST", "/api/goals/1/progress/", A_STEP)
    assert (status, problem["code"]) == (429, "throttled")
    assert int(headers["retry-after"]) > 86_000
    client.get("/api/goals/1")
    assert client.get("/api/v1/quota")["policies"][0]["used"] == 10

    _signed_in(client, username="paying", email="paying@example.org", tier="premium")
    client.post("/api/goals/", A_GOAL, 201)
    for _ in range(11):
        client.post("/api/goals/1/progress/", A_STEP, 201)
    assert client.get("/api/v1/quota")["policies"][0]["limit"] == 1000


def test_time_is_summarised_by_week_and_by_month(client: Client) -> None:
    """For all goals or one; new entries appear at once, despite the cache."""
    _signed_in(client)
    assert client.get("/api/summary/weekly/") == []
    for _ in range(2):
        client.post("/api/goals/", A_GOAL, 201)
    client.post("/api/goals/1/progress/", A_STEP, 201)
    (week,), (month,) = client.get("/api/summary/weekly/"), client.get("/api/summary/monthly/")
    assert (set(week), week["total_hours"]) == ({"week_start", "total_hours"}, 2.5)
    assert (set(month), month["total_hours"]) == ({"month_start", "total_hours"}, 2.5)
    assert date.fromisoformat(week["week_start"]).weekday() == 0
    assert date.fromisoformat(month["month_start"]).day == 1

    client.post("/api/goals/2/progress/", {**A_STEP, "logged_hours": "00:20:00"}, 201)
    assert client.get("/api/summary/weekly/")[0]["total_hours"] == 2.83
    assert client.get("/api/summary/weekly/2/")[0]["total_hours"] == 0.33
    assert client.get("/api/summary/monthly/1/")[0]["total_hours"] == 2.5
    client.get("/api/summary/weekly/3/", 404)
    assert client.get("/api/v1/summary/range")["streak"] == {"current": 1, "longest": 1}
    for _ in range(10):  # the quota is for progress only
        client.get("/api/summary/monthly/")
