"""Access control for every operation: authentication, ownership, superusers."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.http.conftest import ApiFixture, build_api
from workbell.adapters.http.app import make_operations
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.adapters.http.web.operations import Access, AnyOperation

ALL = {operation.name: operation for operation in make_operations(build_api(Path()).deps)}
IDS = {"schedule_id", "job_id"}
OWNED = [n for n, o in ALL.items() if IDS & set(o.path_names)]
PRIVATE = [n for n, o in ALL.items() if "goal_num" in o.path_names]


def call(api: ApiFixture, operation: AnyOperation, caller: str | None, **ids: int) -> int:
    names: dict[str, Any] = {"name": "default", "task_definition_id": 1, **ids}
    names = {name: names.get(name, 1) for name in operation.path_names}
    status: int = api.call(operation.method, operation.path.format(**names), caller).status_code
    return status


def things(api: ApiFixture, caller: str) -> Mapping[str, int]:
    """Return the ids of a user's schedule and finished job, with a file and a result."""
    schedule, job = api.schedule(caller), api.job(caller)
    api.end(job["id"], result={"ok": True})
    api.store_artifact(job["id"], "default", b"content", "text/plain")
    numbers = {"goal_num": api.goal(caller)["goal_num"], "progress_num": 1}
    api.log(1, caller)
    return {"schedule_id": schedule["id"], "job_id": job["id"], **numbers}


@pytest.mark.parametrize("name", [n for n, o in ALL.items() if o.access is not Access.ANYONE])
def test_an_invalid_token_is_401(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    names = {n: 1 if n.endswith(("_id", "_num")) else "x" for n in operation.path_names}
    for header in ("", "Bearer", "Bearer ", "Bearer x.y.z", "Basic YWRhOmFkYQ==", "Token nonsense"):
        result = used.call(
            operation.method, operation.path.format(**names), headers={"Authorization": header}
        )
        assert result.status_code == 401, header
        assert result.headers["www-authenticate"] == 'Bearer realm="workbell"'


@pytest.mark.parametrize("name", OWNED)
def test_resources_of_other_users_are_404(api: ApiFixture, name: str) -> None:
    ids = things(api, "ada")
    assert call(api, ALL[name], "bob", **ids) == 404
    assert call(api, ALL[name], "bob", schedule_id=99, job_id=99) == 404


@pytest.mark.parametrize("name", PRIVATE)
def test_superusers_cannot_access_goals_of_other_users(api: ApiFixture, name: str) -> None:
    """Goal numbers are per user, so they cannot refer to goals of others."""
    ids = things(api, "ada")
    for caller in ("bob", "root"):
        assert call(api, ALL[name], caller, **ids) == 404
    assert call(api, ALL[name], "ada", goal_num=9, progress_num=1) == 404
    if "progress_num" in ALL[name].path_names:
        assert call(api, ALL[name], "ada", goal_num=1, progress_num=9) == 404


@pytest.mark.parametrize("name", OWNED)
def test_superusers_can_access_resources_of_other_users(api: ApiFixture, name: str) -> None:
    operation = ALL[name]
    status = call(api, operation, "root", **things(api, "ada"))
    assert status not in {401, 403, 404}
    assert status < 500


def test_both_authorization_schemes_are_accepted(api: ApiFixture) -> None:
    for scheme in ("Bearer", "bearer", "Token"):
        headers = {"Authorization": f"{scheme} {api.tokens['ada']}"}
        assert api.get("/api/v1/schedules", None, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("needed", "schedules", "jobs"), [("jobs", 200, 403), ("all", 403, 403), ("none", 200, 200)]
)
def test_the_setting_decides_which_operations_require_a_verified_address(
    make_api: Any, needed: str, schedules: int, jobs: int
) -> None:
    api = make_api(HttpSettings(require_verified_email=needed))
    for path, status in {
        "/api/v1/schedules": schedules, "/api/schedules": schedules, "/api/v1/jobs": jobs,
        "/api/jobs": jobs, "/api/job-results": jobs, "/api/v1/auth/users/me": 200,
    }.items():  # fmt: skip
        assert api.get(path, "una").status_code == status, path
    refused = api.get("/api/v1/jobs", "una")
    if jobs == 403:
        assert refused.json["code"] == "email_not_verified"


def test_metrics_require_their_token(make_api: Any) -> None:
    api = make_api(HttpSettings(metrics_token="let me see", version="9"))
    assert api.get("/metrics", None).status_code == 401
    assert api.get("/metrics", "ada").status_code == 403
    assert api.get("/metrics", "root").status_code == 200
    wrong = api.get("/metrics", None, headers={"Authorization": "Bearer let me sea"})
    assert wrong.status_code == 401
    api.schedule("ada")
    seen = api.get("/metrics", None, headers={"Authorization": "Bearer let me see"})
    assert seen.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "workbell_schedules_active 1.0\n" in seen.text
    assert 'workbell_build_info{version="9"} 1.0\n' in seen.text
    waits = 'workbell_queue_oldest_wait_seconds{queue="default"}'
    assert f"{waits} 0.0\n" in seen.text
    api.job()
    api.clock.at += timedelta(seconds=90)
    assert f"{waits} 90.0\n" in api.get("/metrics", "root").text
