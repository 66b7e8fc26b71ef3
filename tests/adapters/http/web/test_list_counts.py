"""Every list stops counting at the cap."""

import pytest
from attrs import fields_dict

from tests.adapters.http.conftest import NOON, PASSWORD, ApiFixture, add_users, build_api
from tests.adapters.http.web.test_conventions import ALL, make_path
from tests.adapters.http.workspace import Workspace
from workbell.adapters.http.audit.routes import CheckpointQuery
from workbell.adapters.http.web.operations import AnyOperation, ListOf
from workbell.domain import constraints
from workbell.domain.jobs.attempt import LogLine
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.notifications.notice import Notice, NoticeKind
from workbell.ports.jobs.queues import WorkerInfo
from workbell.services.notifications.dispatch import Notifier


def paged(operation: AnyOperation) -> bool:
    answer = operation.responses.get(200)
    by_cursor_only = operation.query is CheckpointQuery
    return isinstance(answer, ListOf) and not answer.plain and not by_cursor_only


LISTS = [name for name, operation in ALL.items() if paged(operation)]


def a_worker(id: str) -> WorkerInfo:
    return WorkerInfo(
        id=id,
        host="h",
        pid=7,
        started_at=NOON,
        seen_at=NOON,
        threads=1,
        running=0,
        queues=("mail",),
    )


@pytest.fixture(scope="module")
def twofold(tmp_path_factory: pytest.TempPathFactory) -> ApiFixture:
    """An application with at least two entries in each list of the superuser."""
    api = add_users(build_api(tmp_path_factory.mktemp("twofold")))
    work = Workspace(api, "root")
    for number in (1, 2):
        api.deps.login.login("root", PASSWORD)
        api.post("/api/v1/auth/api-keys", "root", {"name": f"key{number}", "scopes": ["read"]})
        api.schedule("root")
        run = api.post("/api/v1/schedules/1/run_now", "root").json["id"]
        api.end(run, JobState.FAILED)
        api.job("root")
        api.goal("root")
        api.log(1, "root")
        api.account("root")
        api.destination(1, "root")
        api.publish(1, "root")
        work.fill()
        work.comment(1)
        api.call("PATCH", "/api/v1/tasks/1", "root", {"title": f"Title {number}"})
        notice = Notice(
            kind=NoticeKind.STATUS,
            key=str(number),
            recipients=[api.users["root"].id],
            title="Task",
        )
        with api.store.begin() as tx:
            Notifier(clock=api.clock).notify(tx, notice)
        api.store_artifact(1, f"{number}.txt", b"text", "text/plain")
        cancelling = Cancellation(
            owner=api.users["root"].id, last_job_id=JobId(9), reason="paused", started_at=NOON
        )
        with api.store.begin() as tx:
            tx.workers.heartbeat(a_worker(f"worker{number}"))
            tx.cancellations.add(cancelling)
    api.member(1, "ada", caller="root")
    api.post("/api/v1/jobs/1/retry", "root")
    api.end(1)
    lines = [LogLine(1, seq, NOON, "info", "hello") for seq in (1, 2)]
    with api.store.begin() as tx:
        tx.jobs.add([Job(task="echo", queue="mail", created_at=NOON, due_at=NOON)], NOON)
        tx.logs.append(JobId(1), lines, keep_head=9, keep_tail=9)
    return api


def test_the_table_has_lists() -> None:
    assert len(LISTS) > 20


@pytest.mark.parametrize("name", LISTS)
def test_a_list_stops_counting_at_the_cap(
    twofold: ApiFixture, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = ALL[name]
    body: dict[str, object] | None = None if operation.request is None else {}

    size = "page_size" in (fields_dict(operation.query) if operation.query else ())
    path = make_path(operation) + "?page_size=100" * size
    whole = twofold.call(operation.method, path, "root", body).json
    assert "count_capped" not in whole
    assert whole["count"] == len(whole["results"]) >= 2

    monkeypatch.setattr(constraints, "COUNT_CAP", 1)
    capped = twofold.call(operation.method, path, "root", body).json
    assert (capped["count"], capped["count_capped"]) == (1, True)
    if name != "list_queues":  # each of which has counts of its own
        assert capped["results"] == whole["results"]


def test_links_continue_beyond_the_cap(api: ApiFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        api.schedule()
    monkeypatch.setattr(constraints, "COUNT_CAP", 1)
    path = "/api/v1/schedules"
    page = api.get(path, query_string="page_size=1&page=2").json
    assert (page["count"], page["count_capped"]) == (1, True)
    assert page["next"]
    last = api.get(path, query_string="page_size=2&page=2").json
    assert (len(last["results"]), last["next"]) == (1, None)


def test_numbered_pages_of_jobs_end_at_the_cap(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        api.job()
    monkeypatch.setattr(constraints, "COUNT_CAP", 3)
    path = "/api/v1/jobs"
    page = api.get(path, query_string="page_size=2&page=1").json
    assert (page["count"], page["count_capped"]) == (3, True)
    assert page["next"]
    assert api.get(path, query_string="page_size=2&page=2").json["next"] is None
    refused = api.get(path, query_string="page_size=2&page=3")
    assert refused.status_code == 404
    assert "cursor" in refused.json["detail"]
