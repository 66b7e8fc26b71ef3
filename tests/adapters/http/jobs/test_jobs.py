"""Jobs, queues and statistics over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import fields

from tests.adapters.http.conftest import NOON, ApiFixture
from tests.response_validation import response_validator
from workbell.adapters.http.jobs.views import AttemptBody, WorkerBody
from workbell.domain import constraints
from workbell.domain.jobs.attempt import Attempt
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import TaskId
from workbell.ports.jobs.queues import WorkerInfo

BASE = "/api/v1/jobs"
FIELDS = [
    "id", "owner", "name", "description", "task_definition", "parameters", "scheduled_time",
    "progress", "attempt", "max_attempts", "queue", "priority", "schedule_id", "rerun_of",
    "origin", "created_at", "started_at", "completed_at", "error_message", "status",
    "cancel_requested",
]  # fmt: skip


def test_creating_a_job_returns_all_fields(api: ApiFixture) -> None:
    made = api.post(BASE, json={"name": "once", "parameters": {"a": [1]}})
    assert made.status_code == 201
    assert made.headers["location"] == f"{BASE}/1"
    assert list(made.json) == FIELDS
    assert (made.json["status"], made.json["origin"]) == ("pending", "api")
    assert made.json["scheduled_time"] == "2026-05-04T12:00:00Z"
    assert api.get(f"{BASE}/1").json == made.json


def test_a_past_time_is_refused(api: ApiFixture) -> None:
    past = api.post(BASE, json={"scheduled_time": "2026-05-04T11:59:59Z"})
    assert list(past.json["field_errors"]) == ["scheduled_time"]


@pytest.mark.parametrize("path", [BASE, "/api/jobs"])
def test_the_same_idempotency_key_and_body_create_one_job(api: ApiFixture, path: str) -> None:
    body = {"name": "n", "scheduled_time": "2026-06-01T00:00:00Z"}
    key = {"Idempotency-Key": "order-1"}
    first = api.post(path, json=body, headers=key)
    again = api.post(path, json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json == again.json
    other = api.post(path, json={**body, "name": "m"}, headers=key)
    assert other.status_code == 409
    assert api.get(path).json["count"] == 1
    bad = api.post(path, json=body, headers={"Idempotency-Key": "x" * 256})
    assert bad.status_code == 400
    assert list(bad.json["field_errors"]) == ["Idempotency-Key"]


def test_a_job_is_cancelled_and_retried(api: ApiFixture) -> None:
    api.job()
    cancelled = api.post(f"{BASE}/1/cancel")
    assert (cancelled.status_code, cancelled.json["status"]) == (200, "cancelled")
    assert api.post(f"{BASE}/1/cancel").status_code == 409
    retried = api.post(f"{BASE}/1/retry")
    assert (retried.status_code, retried.json["id"]) == (200, 1)
    assert api.post(f"{BASE}/1/retry").status_code == 409


def test_retrying_a_succeeded_job_creates_a_new_job(api: ApiFixture) -> None:
    api.job()
    api.end(1)
    again = api.post(f"{BASE}/1/retry")
    assert again.status_code == 201
    assert again.json["rerun_of"] == 1
    assert again.headers["location"] == f"{BASE}/2"


def test_a_result_is_available_when_the_job_is_completed(api: ApiFixture) -> None:
    api.job()
    early = api.get(f"{BASE}/1/result")
    assert early.status_code == 400
    api.end(1, result={"sum": 3})
    assert api.get(f"{BASE}/1/result").json == {
        "job": 1,
        "output": {"sum": 3},
        "error_message": None,
        "completed_at": "2026-05-04T12:00:02Z",
    }
    api.job()
    assert [row["job"] for row in api.get("/api/v1/job-results").json["results"]] == [1]


def test_attempts_list_their_outcomes(api: ApiFixture) -> None:
    api.job()
    api.end(1, JobState.FAILED)
    (attempt,) = api.get(f"{BASE}/1/attempts").json["results"]
    assert (attempt["number"], attempt["outcome"]) == (1, "failed")
    assert attempt["error_message"] == "it broke"
    assert attempt["traceback"] == "Traceback: it broke\n"
    assert attempt["worker"] == "w"
    assert (attempt["queue_wait_seconds"], attempt["duration_seconds"]) == (0.0, 2.0)
    assert api.get(f"{BASE}/1/logs", query_string="attempt=1&after=5&limit=2").json == {
        "count": 0,
        "next": None,
        "previous": None,
        "results": [],
    }


def test_a_running_attempt_is_listed_without_its_end(api: ApiFixture) -> None:
    api.job()
    claim_all(api)
    (attempt,) = api.get(f"{BASE}/1/attempts").json["results"]
    assert attempt["started_at"] == "2026-05-04T12:00:00Z"
    ends = ("ended_at", "duration_seconds", "outcome", "error_message", "traceback")
    assert [attempt[name] for name in ends] == [None] * len(ends)


def claim_all(api: ApiFixture) -> None:
    """Claim every ready job, as a worker does."""
    now = api.clock.now()
    with api.store.begin() as tx:
        tx.jobs.claim(
            "default", worker="w", now=now, lease_until=now + timedelta(minutes=1),
            limit=100, free_threads=100,
        )  # fmt: skip


def test_every_field_of_attempts_and_workers_is_shown() -> None:
    shown = {each.name for each in fields(AttemptBody)}
    renamed = {"error": "error_message", "job_id": None}
    expected = {renamed.get(each.name, each.name) for each in fields(Attempt)} - {None}
    assert expected <= shown
    assert {each.name for each in fields(WorkerInfo)} == {each.name for each in fields(WorkerBody)}


def test_the_owner_and_superusers_read_attempts(api: ApiFixture) -> None:
    api.job("ada")
    api.end(1, JobState.FAILED)
    for caller, status in {"ada": 200, "root": 200, "bob": 404}.items():
        assert api.get(f"{BASE}/1/attempts", caller).status_code == status


def test_no_list_and_no_compatibility_route_has_tracebacks(api: ApiFixture) -> None:
    api.job()
    api.end(1, JobState.FAILED)
    paths = [BASE, f"{BASE}/1", f"{BASE}/1/result", "/api/v1/job-results", "/api/jobs"]
    for path in [*paths, "/api/jobs/1", "/api/job-results"]:
        found = api.get(path)
        assert found.status_code == 200, path
        assert "Traceback" not in found.text, path


def test_only_attempts_document_a_traceback(api: ApiFixture) -> None:
    schemas = response_validator(api.deps).document["components"]["schemas"]
    found = [name for name in schemas if "traceback" in schemas[name].get("properties", {})]
    assert found == ["AttemptBody"]


def test_a_requested_cancellation_is_shown(api: ApiFixture) -> None:
    api.job()
    assert api.get(f"{BASE}/1").json["cancel_requested"] is False
    claim_all(api)
    cancelled = api.post(f"{BASE}/1/cancel").json
    assert (cancelled["status"], cancelled["cancel_requested"]) == ("running", True)
    assert api.get(BASE).json["results"][0]["cancel_requested"] is True


def test_a_file_is_sent_as_an_attachment(api: ApiFixture) -> None:
    api.job()
    content = b"<script>alert(1)</script>" * 10_000
    api.store_artifact(1, 'a "b" ü.html', content, "text/html")
    (listed,) = api.get(f"{BASE}/1/artifacts").json["results"]
    assert listed["size"] == len(content)
    path = listed["url"].partition("localhost")[2]
    got = api.get(path)
    assert got.content == content
    headers = got.headers
    assert headers["content-length"] == str(len(content))
    assert headers["content-type"] == "text/html"
    disposition = "attachment; filename*=UTF-8''a%20%22b%22%20%C3%BC.html"
    assert headers["content-disposition"] == disposition
    assert headers["content-security-policy"].startswith("sandbox;")
    assert headers["x-content-type-options"] == "nosniff"
    head = api.call("HEAD", path, "ada")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(content))
    assert api.get(f"{BASE}/1/artifacts/missing").status_code == 404


@pytest.mark.parametrize("accept", ["*/*", "text/csv", "application/json"])
def test_a_json_file_is_sent_unchanged(api: ApiFixture, accept: str) -> None:
    api.job()
    api.store_artifact(1, "sums.json", b'{"a":   1}', "application/json")
    got = api.get(f"{BASE}/1/artifacts/sums.json", headers={"Accept": accept})
    assert (got.status_code, got.content) == (200, b'{"a":   1}')
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [3, 2, 1]),
        ("status=pending", [3, 2]),
        ("status=pending,succeeded", [3, 2, 1]),
        ("task_definition=echo", [3, 2, 1]),
        ("task_definition=1", []),
        ("queue=default&origin=api", [3, 2, 1]),
        ("origin=schedule,run_now", []),
        ("schedule=1", []),
        ("search=sec", [2]),
        ("scheduled_time__gte=2026-06-01T00:00:00Z", [3]),
        ("scheduled_time__lte=2026-05-31T00:00:00Z", [2, 1]),
        ("created_at__gte=2026-05-05T00:00:00Z", []),
        ("ordering=name", [1, 2, 3]),
        ("ordering=-scheduled_time,name", [3, 1, 2]),
    ],
)
def test_filters_and_orderings(api: ApiFixture, query: str, ids: list[int]) -> None:
    api.job(name="first")
    api.end(1)
    api.job(name="second")
    api.job(name="third", scheduled_time="2026-06-01T00:00:00Z")
    listed = api.get(BASE, query_string=query).json
    assert [row["id"] for row in listed["results"]] == ids, listed


@pytest.mark.parametrize(
    "query",
    ["status=done", "owner=1", "ordering=owner", "cursor=@@@", "origin=x", "task_definition=nope"],
)
def test_an_invalid_filter_is_named(api: ApiFixture, query: str) -> None:
    refused = api.get(BASE, query_string=query)
    assert refused.status_code == 400
    at_fault = [path.partition(".")[0] for path in refused.json["field_errors"]]
    assert at_fault == [query.partition("=")[0]]


def test_a_search_says_that_it_reads_the_newest_jobs_only(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("needle", "needle", "hay", "hay", "hay", "hay", "needle"):
        api.post(BASE, json={"name": name})
    monkeypatch.setattr(constraints, "SEARCH_WINDOW", 3)
    found = api.get("/api/v1/jobs", query_string="search=needle").json
    assert (found["count"], found["search_window"], found["next"]) == (1, 3, None)
    sorted_ = api.get("/api/v1/jobs", query_string="ordering=name").json
    assert (sorted_["count"], sorted_["search_window"]) == (3, 3)
    for query in ("", "status=pending", "cursor=", "status=failed&cursor="):
        assert "search_window" not in api.get("/api/v1/jobs", query_string=query).json


def test_pages_by_cursor_search_all_jobs_window_by_window(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("needle", "needle", "hay", "hay", "hay", "hay", "needle"):
        api.post(BASE, json={"name": name})
    monkeypatch.setattr(constraints, "SEARCH_WINDOW", 3)
    pages = [api.get("/api/v1/jobs", query_string="search=needle&cursor=").json]
    while pages[-1]["next"]:
        pages.append(api.get(pages[-1]["next"].removeprefix("http://localhost")).json)
    assert [job["id"] for page in pages for job in page["results"]] == [7, 2, 1]
    assert [page.get("search_window") for page in pages] == [3, 3, None]


def test_superusers_pause_drain_and_resume_queues(api: ApiFixture) -> None:
    listed: dict[str, Any] = api.get("/api/v1/queues").json
    assert [queue["name"] for queue in listed["results"]] == ["default"]
    assert api.post("/api/v1/queues/default/pause", "ada").status_code == 403
    for word, state in {"pause": "paused", "resume": "running"}.items():
        switched = api.post(f"/api/v1/queues/default/{word}", "root")
        assert (switched.status_code, switched.json["state"]) == (200, state)
    assert api.post("/api/v1/queues/default/drain", "root").status_code == 200
    assert api.post("/api/v1/queues/missing/pause", "root").status_code == 404
    assert api.get("/api/v1/workers", "root").json["count"] == 0


def test_superusers_see_what_a_worker_knows_and_excludes(api: ApiFixture) -> None:
    now = api.clock.at
    with api.store.begin() as tx:
        tx.workers.heartbeat(
            WorkerInfo(
                id="w",
                host="h",
                pid=1,
                started_at=now,
                seen_at=now,
                threads=2,
                running=0,
                queues=("default",),
                knows=("echo",),
                excluded={"report": now},
            )
        )
    (worker,) = api.get("/api/v1/workers", "root").json["results"]
    assert worker["knows"] == ["echo"]
    assert worker["excluded"] == {"report": "2026-05-04T12:00:00Z"}


def test_a_parked_task_says_since_when(api: ApiFixture) -> None:
    path = "/api/v1/task-definitions/1"
    assert api.get(path).json["parked_since"] is None
    with api.store.begin() as tx:
        key = tx.definitions.get(TaskId(1)).key
        tx.definitions.set_parked(key, api.clock.at)
    assert api.get(path).json["parked_since"] == "2026-05-04T12:00:00Z"


def test_a_worker_is_shown_with_its_written_off_threads(api: ApiFixture) -> None:
    worker = WorkerInfo(
        id="w1",
        host="h",
        pid=7,
        started_at=NOON,
        seen_at=NOON,
        threads=8,
        running=1,
        written_off=2,
        queues=("default",),
    )
    with api.store.begin() as tx:
        tx.workers.heartbeat(worker)
    (shown,) = api.get("/api/v1/workers", "root").json["results"]
    assert (shown["threads"], shown["running"], shown["written_off"]) == (8, 1, 2)


def test_statistics_cover_the_callers_jobs(api: ApiFixture) -> None:
    api.job("ada")
    api.job("bob")
    assert api.get("/api/v1/stats/jobs").json["by_status"]["pending"] == 1
    assert api.get("/api/v1/stats/jobs", "root").json["by_status"]["pending"] == 2
