"""SLA policies, calendars and the clocks of tasks over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from tests.adapters.http.conftest import ApiFixture

POLICIES, CALENDARS, TASKS = "/api/v1/sla-policies", "/api/v1/calendars", "/api/v1/tasks"
OFFICE: dict[str, Any] = {
    "name": "Office",
    "project": 1,
    "time_zone": "Europe/Berlin",
    "intervals": {"mon": [["09:00", "12:30"], ["13:30", "24:00"]], "sun": [["00:00", "24:00"]]},
    "exceptions": {"2030-12-25": []},
}
GOLD: dict[str, Any] = {
    "name": "Gold",
    "project": 1,
    "targets": {"HIGH": {"first_response_minutes": 5, "resolution_minutes": 480}},
    "pausing_statuses": ["REVIEW"],
    "reopen": "restart",
    "warn_percent": 75,
    "escalation": [{"after_minutes": 60, "notify": ["MANAGER", "assignee"]}],
}


@pytest.fixture
def team(api: ApiFixture) -> ApiFixture:
    """Return a project of ada with the member bob, and a board."""
    assert api.post("/api/v1/projects", "ada", {"name": "Website"}).status_code == 201
    member = {"user_id": api.users["bob"].id, "role": "MEMBER"}
    assert api.post("/api/v1/projects/1/add_member", "ada", member).status_code == 201
    board = {"name": "Board", "project": 1}
    assert api.post("/api/v1/projects/boards", "ada", board).status_code == 201
    return api


def create_task(api: ApiFixture, **fields: Any) -> dict[str, Any]:
    made = api.post(TASKS, "bob", {"title": "Broken", "board": 1, "priority": "HIGH"} | fields)
    assert made.status_code == 201, made.json
    return dict(made.json)


def test_a_calendar_is_shown_with_all_its_fields(team: ApiFixture) -> None:
    made = team.post(CALENDARS, "ada", OFFICE)
    assert (made.status_code, made.headers["location"]) == (201, f"{CALENDARS}/1")
    assert made.headers["etag"] == '"v1"'
    assert made.json == team.get(f"{CALENDARS}/1", "bob").json
    assert made.json == team.get(CALENDARS, "bob").json["results"][0]
    closed: dict[str, Any] = {day: [] for day in ("tue", "wed", "thu", "fri", "sat")}
    assert made.json == OFFICE | {
        "id": 1,
        "intervals": OFFICE["intervals"] | closed,
        "created_at": made.json["created_at"],
        "updated_at": made.json["updated_at"],
        "version": 1,
    }


def test_a_policy_is_shown_with_all_its_fields(team: ApiFixture) -> None:
    team.post(CALENDARS, "ada", OFFICE)
    made = team.post(POLICIES, "ada", GOLD | {"calendar": 1})
    assert (made.status_code, made.headers["location"]) == (201, f"{POLICIES}/1")
    assert made.json == team.get(f"{POLICIES}/1", "bob").json
    assert made.json == team.get(f"{POLICIES}?project=1", "bob").json["results"][0]
    assert made.json == GOLD | {
        "id": 1,
        "is_active": True,
        "calendar": 1,
        "created_at": made.json["created_at"],
        "updated_at": made.json["updated_at"],
        "version": 1,
    }


def test_the_defaults_of_a_policy(team: ApiFixture) -> None:
    made = team.post(POLICIES, "ada", {"name": "Plain", "project": 1}).json
    defaults = {
        "is_active": True,
        "targets": {},
        "calendar": None,
        "pausing_statuses": [],
        "reopen": "resume",
        "warn_percent": 80,
        "escalation": [],
    }
    assert {name: made[name] for name in defaults} == defaults


def test_changes_are_guarded_by_the_version(team: ApiFixture) -> None:
    team.post(CALENDARS, "ada", OFFICE)
    team.post(POLICIES, "ada", GOLD)
    for one in (f"{CALENDARS}/1", f"{POLICIES}/1"):
        seen = {"If-Match": '"v1"'}
        changed = team.call("PATCH", one, "ada", {"name": "Other"}, headers=seen)
        assert (changed.status_code, changed.headers["etag"]) == (200, '"v2"')
        stale = team.call("PATCH", one, "ada", {"name": "Third"}, headers=seen)
        assert stale.status_code == 412
        assert "name" in stale.json["detail"]
        assert team.call("DELETE", one, "ada", headers=seen).status_code == 412
        assert team.call("DELETE", one, "ada").status_code == 204
        assert team.get(one, "ada").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (POLICIES, GOLD | {"project": 99}, "project"),
        (POLICIES, GOLD | {"calendar": 99}, "calendar"),
        (POLICIES, GOLD | {"targets": {"HIGH": {"resolution": 1}}}, "targets.HIGH.resolution"),
        (POLICIES, GOLD | {"reopen": "never"}, "reopen"),
        (POLICIES, GOLD | {"pausing_statuses": ["DONE"]}, "pausing_statuses"),
        (POLICIES, GOLD | {"escalation": [{"after_minutes": 1}]}, "escalation.0.notify"),
        (CALENDARS, OFFICE | {"time_zone": "Nowhere"}, "time_zone"),
        (CALENDARS, OFFICE | {"intervals": {"mon": [["25:00", "26:00"]]}}, "intervals.mon.0.0"),
        (CALENDARS, OFFICE | {"intervals": {}}, "intervals"),
        (CALENDARS, OFFICE | {"exceptions": {"2030-13-01": []}}, "exceptions.2030-13-01"),
    ],
)
def test_a_wrong_field_is_named(
    team: ApiFixture, path: str, body: dict[str, Any], field: str
) -> None:
    refused = team.post(path, "ada", body)
    assert refused.status_code == 400
    assert field in refused.json["field_errors"]


def test_a_second_active_policy_conflicts(team: ApiFixture) -> None:
    team.post(POLICIES, "ada", GOLD)
    refused = team.post(POLICIES, "ada", GOLD)
    assert (refused.status_code, refused.json["code"]) == (409, "other_policy_active")
    assert team.post(POLICIES, "ada", GOLD | {"is_active": False}).status_code == 201


def test_a_calendar_in_use_conflicts(team: ApiFixture) -> None:
    team.post(CALENDARS, "ada", OFFICE)
    team.post(POLICIES, "ada", GOLD | {"calendar": 1})
    refused = team.call("DELETE", f"{CALENDARS}/1", "ada")
    assert (refused.status_code, refused.json["code"]) == (409, "calendar_in_use")


def test_members_read_and_outsiders_see_nothing(team: ApiFixture) -> None:
    team.post(CALENDARS, "ada", OFFICE)
    team.post(POLICIES, "ada", GOLD)
    create_task(team)
    for path, body in ((POLICIES, GOLD), (CALENDARS, OFFICE)):
        refused = team.post(path, "bob", body)
        assert refused.json["field_errors"] == {"project": ["is not a project that you may use"]}
    assert team.post(f"{POLICIES}/1/apply", "bob").status_code == 403
    for path in (f"{POLICIES}/1", f"{CALENDARS}/1"):
        assert team.call("PATCH", path, "bob", {"name": "x"}).status_code == 403
        assert team.get(path, "una").status_code == 404
        assert team.call("DELETE", path, "una").status_code == 404
    assert team.get(f"{TASKS}/1/sla", "una").status_code == 404
    assert team.get(POLICIES, "una").json["count"] == 0


def test_the_clocks_of_a_task_are_explained(team: ApiFixture) -> None:
    team.post(POLICIES, "ada", GOLD)
    task = create_task(team)
    begun = team.clock.at
    team.clock.at += timedelta(minutes=10)
    assert team.post(f"{TASKS}/1/move", "bob", {"status": "REVIEW"}).status_code == 200
    team.clock.at += timedelta(minutes=2)
    response, resolution = team.get(f"{TASKS}/1/sla", "bob").json["clocks"]
    assert task["sla_due_at"] == text(begun + timedelta(minutes=5))
    assert (response["kind"], response["state"]) == ("first_response", "breached")
    assert response["breached_at"] == text(begun + timedelta(minutes=5))
    assert resolution == {
        "kind": "resolution",
        "state": "paused",
        "cycle": 1,
        "target_minutes": 480,
        "started_at": text(begun),
        "deadline": None,
        "consumed_seconds": 600,
        "warn_at": None,
        "breached_at": None,
        "stopped_at": None,
        "policy": 1,
        "policy_version": 1,
        "calendar": None,
        "calendar_version": None,
        "segments": [
            {
                "from": text(begun),
                "to": text(begun + timedelta(minutes=10)),
                "counts": True,
                "reason": "counting",
                "counted_seconds": 600,
            },
            {
                "from": text(begun + timedelta(minutes=10)),
                "to": None,
                "counts": False,
                "reason": "status REVIEW",
                "counted_seconds": 0,
            },
        ],
        "explanation": (
            "The target is 480 min around the clock; 10 min are consumed. "
            "It is paused: status REVIEW."
        ),
    }


def test_an_applied_policy_moves_open_clocks(team: ApiFixture) -> None:
    team.post(POLICIES, "ada", GOLD)
    create_task(team)
    team.call("PATCH", f"{POLICIES}/1", "ada", {"targets": {"HIGH": {"resolution_minutes": 10}}})
    (_, resolution) = team.get(f"{TASKS}/1/sla", "bob").json["clocks"]
    assert resolution["target_minutes"] == 480
    applied = team.post(f"{POLICIES}/1/apply", "ada")
    assert (applied.status_code, applied.json) == (200, {"changed": 2})
    (_, resolution) = team.get(f"{TASKS}/1/sla", "bob").json["clocks"]
    assert (resolution["target_minutes"], resolution["policy_version"]) == (10, 2)


def text(instant: Any) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}Z"
