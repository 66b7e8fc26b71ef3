"""Summaries, in both APIs."""

from datetime import timedelta

import pytest

from tests.adapters.http.conftest import NOON, ApiFixture


def log(
    api: ApiFixture, hours: str, days_ago: float = 0, goal: int = 1, caller: str = "ada"
) -> None:
    """Log time as of some days ago."""
    api.clock.at = NOON - timedelta(days=days_ago)
    body = {"progress": "x", "logged_hours": hours, "total_hours": "99:00:00"}
    made = api.post(f"/api/v1/goals/{goal}/progress", caller, body)
    assert made.status_code == 201, made.json
    api.clock.at = NOON


@pytest.fixture
def logged(api: ApiFixture) -> ApiFixture:
    """An application where ada has logged time for two goals, and bob for one."""
    api.goal()
    api.goal()
    api.goal("bob")
    log(api, "01:20:00")
    log(api, "00:30:00", 1, goal=2)
    log(api, "02:00:00", 40)
    log(api, "09:00:00", caller="bob")
    return api


@pytest.mark.parametrize("root", ["/api/v1", "/api"])
def test_weeks_and_months_are_listed_oldest_first_with_two_decimals(
    logged: ApiFixture, root: str
) -> None:
    assert logged.get(f"{root}/summary/weekly").json == [
        {"week_start": "2026-03-23", "total_hours": 2.0},
        {"week_start": "2026-04-27", "total_hours": 0.5},
        {"week_start": "2026-05-04", "total_hours": 1.33},
    ]
    assert logged.get(f"{root}/summary/monthly/").json == [
        {"month_start": "2026-03-01", "total_hours": 2.0},
        {"month_start": "2026-05-01", "total_hours": 1.83},
    ]
    assert logged.get(f"{root}/summary/weekly/2/").json == [
        {"week_start": "2026-04-27", "total_hours": 0.5}
    ]
    assert logged.get(f"{root}/summary/monthly/2").json[0]["total_hours"] == 0.5
    assert logged.get(f"{root}/summary/weekly/3").status_code == 404
    assert logged.get(f"{root}/summary/monthly/3").status_code == 404
    assert logged.get(f"{root}/summary/weekly", "root").json == []


def test_an_entry_shows_in_the_next_summary_and_the_cache_is_counted(logged: ApiFixture) -> None:
    for _ in range(2):
        logged.get("/api/v1/summary/weekly")
    log(logged, "01:00:00")
    assert logged.get("/api/summary/weekly").json[-1]["total_hours"] == 2.33
    seen = logged.get("/metrics", "root").text
    assert 'workbell_cache_requests_total{outcome="hit",summary="week"} 1.0\n' in seen
    assert 'workbell_cache_requests_total{outcome="miss",summary="week"} 2.0\n' in seen


def test_a_range_has_buckets_a_comparison_streaks_and_a_heat_map(logged: ApiFixture) -> None:
    path = "/api/v1/summary/range?first=2026-04-27&last=2026-05-04"
    assert logged.get(f"{path}&group=week").json == {
        "first": "2026-04-27",
        "last": "2026-05-04",
        "group": "week",
        "goal": None,
        "total_time": "01:50:00",
        "total_hours": 1.83,
        "buckets": [
            {
                "first": "2026-04-27", "last": "2026-05-03",
                "total_time": "00:30:00", "total_hours": 0.5,
            },
            {
                "first": "2026-05-04", "last": "2026-05-04",
                "total_time": "01:20:00", "total_hours": 1.33,
            },
        ],
        "previous": {
            "first": "2026-04-19", "last": "2026-04-26", "total_time": "00:00:00",
            "total_hours": 0.0, "delta_hours": 1.83, "percent_change": None,
        },
        "streak": {"current": 2, "longest": 2},
        "heat_map": [
            {"day": "2026-03-25", "total_hours": 2.0, "level": 4},
            {"day": "2026-05-03", "total_hours": 0.5, "level": 1},
            {"day": "2026-05-04", "total_hours": 1.33, "level": 3},
        ],
    }  # fmt: skip
    assert len(logged.get(path).json["buckets"]) == 8
    of_one = logged.get("/api/v1/summary/range?goal=2").json
    assert (of_one["goal"], of_one["total_time"], of_one["first"]) == (2, "00:30:00", "2026-04-05")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("first=2026-05-02&last=2026-05-01", "last"),
        ("first=2020-01-01&last=2026-05-01", "last"),
        ("first=0001-01-01&last=1970-01-02", "first"),
        ("last=0001-01-02", "last"),
        ("last=9999-12-31", "last"),
        ("first=9999-12-31", "first"),
        ("first=soon", "first"),
        ("last=2026-02-30", "last"),
        ("group=year", "group"),
        ("goal=0", "goal"),
        ("goal=x", "goal"),
    ],
)
def test_an_invalid_range_names_the_parameter(api: ApiFixture, query: str, field: str) -> None:
    refused = api.get(f"/api/v1/summary/range?{query}")
    assert refused.status_code == 400
    assert list(refused.json["field_errors"]) == [field]


def test_a_range_of_an_unknown_goal_is_404(logged: ApiFixture) -> None:
    assert logged.get("/api/v1/summary/range?goal=2", "bob").status_code == 404
