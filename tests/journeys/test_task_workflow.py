"""The story of Task & Workflow: projects, boards, tasks, comments, service levels."""

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from tests.contract.servers import address, new_database
from tests.journeys.conftest import Client, eventually, open_service
from tests.processes.fleet import Fleet, own_redis
from tests.response_validation import response_validator
from workbell.domain.rate_limits.policy import Rate

PASSWORD = "SecurePass123!"


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("postgresql and redis", marks=pytest.mark.integration)],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Return a client of the embedded default, or of processes on PostgreSQL and Redis."""
    folder = tmp_path_factory.mktemp("service")
    if request.param == "embedded":
        with open_service(folder, rate_limit_anon=Rate(100, 3600)) as client:
            yield client
        return
    with own_redis(folder) as redis:
        fleet = Fleet(folder, address(new_database("postgresql")), redis.url)
        port = fleet.start("api", rate_limit_anon="100/hour", rate_limit_user="1000/hour").port
        for part in ("worker", "scheduler"):
            fleet.start(part)
        validator = response_validator(fleet.application.app_dependencies())
        yield Client(port, folder / "data" / "mail", validator)
        fleet.close()


def call(client: Client, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """Send a request and return its decoded answer."""
    found, answer, _ = client.call(method, f"/api/v1{path}", body)
    assert found == status, answer
    return answer


def register(service: Client, name: str) -> Client:
    """Register and sign in as the seed document does; return a client with the token."""
    email = f"{name}@example.com"
    registration = {
        "username": name,
        "email": email,
        "password": PASSWORD,
        "password_confirm": PASSWORD,
    }
    call(service, "POST", "/auth/users/", registration, 201)
    login = call(service, "POST", "/auth/login/", {"email": email, "password": PASSWORD})
    client = evolve(service, token=login["access"])
    assert call(client, "GET", "/auth/users/me/")["username"] == name
    return client


@pytest.fixture(scope="module")
def john(service: Client) -> Client:
    return register(service, "john")


@pytest.fixture(scope="module")
def jane(service: Client) -> Client:
    return register(service, "jane")


@pytest.fixture(scope="module")
def board(john: Client, jane: Client) -> int:
    """Return the first board of john's project, of which jane is a member."""
    project = call(john, "POST", "/projects/", {"name": "Website"}, 201)["id"]
    user_id = call(jane, "GET", "/auth/users/me/")["id"]
    new = {"user_id": user_id, "role": "MEMBER"}
    call(john, "POST", f"/projects/{project}/add_member/", new, 201)
    made = call(john, "POST", "/projects/boards/", {"project": project, "name": "Dev"}, 201)
    return int(made["id"])


def create(client: Client, board: int, **fields: Any) -> Any:
    """Create a task."""
    return call(client, "POST", "/tasks/", {"title": "Task", "board": board, **fields}, 201)


def test_the_service_is_healthy(service: Client) -> None:
    status, answer, headers = service.call("GET", "/api/health/")
    assert (status, answer["status"], answer["database"]) == (200, "healthy", "connected")
    assert answer["cache"] == "connected"
    assert "ratelimit" not in headers


def test_limits_are_100_an_hour_for_anonymous_and_1000_for_users(
    service: Client, john: Client
) -> None:
    _, _, headers = john.call("GET", "/api/v1/projects/")
    assert "q=1000;w=3600" in headers["ratelimit-policy"]
    _, _, headers = service.call("GET", "/api/v1/projects/")
    assert "q=100;w=3600" in headers["ratelimit-policy"]


def test_tasks_are_created_and_filtered_as_documented(john: Client, board: int) -> None:
    task = {
        "title": "Implement feature X",
        "board": board,
        "priority": "HIGH",
        "status": "TODO",
    }
    made = call(john, "POST", "/tasks/", task, 201)
    assert {name: made[name] for name in task} == task
    call(john, "PATCH", f"/tasks/{made['id']}/", {"status": "IN_PROGRESS"})
    found = call(john, "GET", "/tasks/?priority=HIGH&status=IN_PROGRESS")
    assert [each["id"] for each in found["results"]] == [made["id"]]


def test_a_task_lives_from_backlog_to_done(john: Client, jane: Client, board: int) -> None:
    task = create(john, board)
    assert (task["status"], task["priority"]) == ("BACKLOG", "MEDIUM")
    jane_id = call(jane, "GET", "/auth/users/me/")["id"]
    assigned = call(john, "POST", f"/tasks/{task['id']}/assign/", {"assignee_id": jane_id})
    assert assigned["assignee_detail"]["username"] == "jane"
    comment = {"content": "On it, @john. <script>alert(1)</script>"}
    made = call(jane, "POST", f"/tasks/{task['id']}/add_comment/", comment, 201)
    reply = {"content": "Thanks", "parent": made["id"]}
    call(john, "POST", f"/tasks/{task['id']}/add_comment/", reply, 201)
    moved: Any = None
    for status in ("TODO", "IN_PROGRESS", "REVIEW", "DONE"):
        moved = call(jane, "POST", f"/tasks/{task['id']}/move/", {"status": status})
        assert moved["status"] == status
    assert moved["completed_at"] is not None
    [thread] = call(john, "GET", f"/tasks/{task['id']}/")["comments"]
    assert [each["content"] for each in thread["replies"]] == ["Thanks"]
    assert "<script>" not in thread["content_html"]
    activity = call(john, "GET", f"/tasks/{task['id']}/activity/")["results"]
    assert [each["action"] for each in activity] == ["MOVE"] * 4 + ["ASSIGN", "CREATE"]
    kinds = {each["kind"] for each in call(jane, "GET", "/notifications/")["results"]}
    assert {"assignment", "comment"} <= kinds
    assert "mention" in {each["kind"] for each in call(john, "GET", "/notifications/")["results"]}


def test_an_assignment_is_mailed_with_the_title(john: Client, jane: Client, board: int) -> None:
    jane_id = call(jane, "GET", "/auth/users/me/")["id"]
    create(john, board, title="Paint the shed", assignee=jane_id)
    message = eventually(
        lambda: next((m for m in mails(john, "jane") if "Paint the shed" in m), None)
    )
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in message


def mails(client: Client, name: str) -> list[str]:
    """Return the emails that were sent to a user."""
    found = [path.read_text() for path in sorted(client.mail.glob("*.eml"))]
    return [text for text in found if f"To: {name}@example.com" in text]


def test_words_in_titles_and_descriptions_are_found(john: Client, board: int) -> None:
    create(john, board, title="Fix the printer", description="It prints <b>pelicans</b>")
    [found] = call(john, "GET", "/tasks/?search=pelican*")["results"]
    assert found["highlights"]["description"] == (
        "It prints &lt;b&gt;<mark>pelicans</mark>&lt;/b&gt;"
    )


def test_an_overdue_task_breaches_its_sla_and_is_mailed(
    john: Client, jane: Client, board: int
) -> None:
    jane_id = call(jane, "GET", "/auth/users/me/")["id"]
    task = create(john, board, title="Renew it", due_date="2020-01-01T00:00:00Z", assignee=jane_id)

    def breached() -> Any:
        found = call(john, "GET", f"/tasks/{task['id']}/")
        return found if found["sla_breached"] else None

    assert eventually(breached)["assignee"] == jane_id
    [clock] = call(john, "GET", f"/tasks/{task['id']}/sla/")["clocks"]
    assert (clock["kind"], clock["breached_at"]) == ("due", "2020-01-01T00:00:00Z")
    assert eventually(lambda: [m for m in mails(john, "jane") if "SLA" in m and "Renew it" in m])
    listed = call(john, "GET", "/tasks/?sla_breached=true")["results"]
    assert [each["id"] for each in listed] == [task["id"]]


def test_others_see_nothing(service: Client, john: Client, board: int) -> None:
    task, eve = create(john, board), register(service, "eve")
    assert call(eve, "GET", "/projects/")["count"] == 0
    for path in (f"/projects/boards/{board}", f"/tasks/{task['id']}"):
        call(eve, "GET", path, status=404)
    call(service, "GET", f"/tasks/{task['id']}", status=401)


def test_changes_are_audited_with_address_and_client(john: Client, board: int) -> None:
    task = create(john, board)
    call(john, "PATCH", f"/tasks/{task['id']}", {"title": "Renamed"})
    found = call(john, "GET", f"/audit/logs/?model_name=task&object_id={task['id']}")["results"]
    assert [entry["action"] for entry in found] == ["UPDATE", "CREATE"]
    assert found[0]["changes"]["title"] == ["Task", "Renamed"]
    assert found[0]["ip_address"] == "127.0.0.1"


def test_a_member_who_was_removed_sees_nothing(john: Client, jane: Client, board: int) -> None:
    task = create(john, board)
    call(jane, "POST", f"/tasks/{task['id']}/watch")
    project = task["project"]
    user_id = call(jane, "GET", "/auth/users/me/")["id"]
    call(john, "DELETE", f"/projects/{project}/remove_member/", {"user_id": user_id}, 204)
    call(jane, "GET", f"/tasks/{task['id']}", status=404)
    assert call(john, "GET", f"/tasks/{task['id']}")["watchers"] == []
