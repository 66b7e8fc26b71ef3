"""Tasks and comments over HTTP: shapes, statuses, versions, refusals."""

import csv
import io
import json
from typing import Any

import pytest

from tests.adapters.http.conftest import ApiFixture
from tests.adapters.http.workspace import BOARDS, COMMENTS, PROJECTS, TASKS, Workspace
from workbell.domain.identity.user import Role

AT = "2026-05-04T12:00:00Z"


@pytest.fixture
def work(api: ApiFixture) -> Workspace:
    """Return ada's workspace: project 1 with the MEMBER una, board 1; bob's with task 1."""
    bobs = Workspace(api, "bob")
    made = Workspace(api)
    project = made.project(una="MEMBER")
    made.board(project)
    bobs.task(bobs.board(bobs.project("Secret")), title="Secret")
    return made


def person(api: ApiFixture, name: str) -> dict[str, Any]:
    return {
        "id": api.users[name].id,
        "username": name,
        "email": f"{name}@example.org",
        "full_name": name,
    }


def test_a_task_is_shown_with_all_its_fields(api: ApiFixture, work: Workspace) -> None:
    made = api.post(f"{TASKS}/", "ada", {"title": "Write", "board": 1})
    assert (made.status_code, made.headers["location"]) == (201, f"{TASKS}/2")
    assert made.headers["etag"].startswith('"v1')
    body = dict(made.json)
    assert isinstance(body.pop("position"), str)
    assert body == {
        "id": 2,
        "title": "Write",
        "description": "",
        "board": 1,
        "project": 1,
        "status": "BACKLOG",
        "priority": "MEDIUM",
        "assignee": None,
        "assignee_detail": None,
        "reporter": api.users["ada"].id,
        "reporter_detail": person(api, "ada"),
        "labels": [],
        "watchers": [],
        "due_date": None,
        "sla_breached": False,
        "sla_due_at": None,
        "estimated_hours": None,
        "comment_count": 0,
        "created_at": AT,
        "updated_at": AT,
        "completed_at": None,
        "version": 1,
        "highlights": None,
    }
    assert api.get(f"{TASKS}/2/").json == {**made.json, "comments": []}


def test_put_without_a_status_resets_it(api: ApiFixture, work: Workspace) -> None:
    """As every other field that the body omits; PATCH leaves it."""
    task = work.task(1, status="REVIEW", priority="HIGH")
    path = f"{TASKS}/{task}"
    assert api.call("PATCH", path, "ada", {"title": "T"}).json["status"] == "REVIEW"
    replaced = api.call("PUT", path, "ada", {"title": "T", "board": 1}).json
    assert (replaced["status"], replaced["priority"]) == ("BACKLOG", "MEDIUM")


def test_a_project_that_one_may_only_read_is_a_field_error(
    api: ApiFixture, work: Workspace
) -> None:
    """In a body; on the path of the object the answer is 403."""
    work.member(1, "bob")
    refused = api.post("/api/v1/projects/boards", "bob", {"name": "B", "project": 1})
    assert refused.status_code == 400
    assert refused.json["field_errors"] == {"project": ["is not a project that you may use"]}
    api.join("max", role=Role.MANAGER)  # reads every project
    refused = api.post(TASKS, "max", {"title": "T", "board": 1})
    assert refused.status_code == 400
    assert refused.json["field_errors"] == {"board": ["is not a board that you may use"]}
    assert api.call("DELETE", "/api/v1/projects/boards/1", "bob").status_code == 403


@pytest.mark.parametrize(
    "fields",
    [
        {"title": None}, {"title": ""}, {"title": "\u200b"}, {"title": "x" * 256}, {"title": 5},
        {"description": None}, {"description": "x" * 50_001}, {"status": "LATER"}, {"status": 1},
        {"priority": None}, {"priority": "urgent"}, {"assignee": 999}, {"assignee": "ada"},
        {"assignee": 0}, {"labels": None}, {"labels": "a"}, {"labels": [""]}, {"labels": [None]},
        {"labels": ["x" * 51]}, {"labels": [str(n) for n in range(21)]}, {"labels": ["\u2800"]},
        {"due_date": "tomorrow"}, {"due_date": "2026-05-04T12:00:00"}, {"due_date": 1},
        {"due_date": "0001-01-01T00:00:00+14:00"}, {"due_date": "9999-12-31T23:59:59-14:00"},
        {"due_date": "1969-12-31T23:59:59Z"}, {"due_date": "9999-01-01T00:00:00Z"},
        {"due_date": "2026-02-30T00:00:00Z"}, {"estimated_hours": -1}, {"estimated_hours": 1e9},
        {"estimated_hours": "NaN"}, {"estimated_hours": 1.234}, {"board": 2}, {"board": 999},
        {"board": 2**63}, {"board": None}, {"assignee": 2**64}, {"reporter": 1}, {"position": "a"}, {"version": 1},
        {"project": 1}, {"completed_at": None}, {"id": 1},
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_task_is_named(
    api: ApiFixture, work: Workspace, fields: dict[str, Any]
) -> None:
    task = work.task(1)
    for method, path, body in (
        ("POST", TASKS, {"title": "T", "board": 1, **fields}),
        ("PUT", f"{TASKS}/{task}", {"title": "T", "board": 1, **fields}),
        ("PATCH", f"{TASKS}/{task}", fields),
    ):
        refused = api.call(method, path, "ada", body)
        assert refused.status_code == 400, (method, refused.json)
        [found] = refused.json["field_errors"]
        assert found.split(".")[0] == next(iter(fields)), method
        assert "Secret" not in refused.text
    assert api.get(f"{TASKS}/{task}").json["version"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "👩‍👩‍👧 Größe 项目 مشروع"}, {"title": "<script>alert(1)</script>"}, {"title": "' OR 1=1 --"},
        {"labels": ["a, b", "ä", "a\u0308"]}, {"due_date": "1970-01-01T00:00:00Z"},
        {"due_date": "9998-12-31T23:59:59Z"}, {"due_date": "2026-05-04T14:00:00+02:00"},
        {"estimated_hours": "2.50"}, {"estimated_hours": 0}, {"description": "x" * 50_000},
    ],
)  # fmt: skip
def test_unusual_values_are_stored(
    api: ApiFixture, work: Workspace, fields: dict[str, Any]
) -> None:
    made = api.post(TASKS, "ada", {"title": "T", "board": 1, **fields})
    assert made.status_code == 201, made.json
    [(name, value)] = fields.items()
    expected = {"2026-05-04T14:00:00+02:00": AT, "2.50": 2.5}.get(str(value), value)
    assert made.json[name] == expected
    task = made.json["id"]
    assert api.get(f"{TASKS}/{task}").json[name] == expected
    assert api.get(f"{TASKS}/{task}/sla").status_code == 200


def test_completion_follows_the_status(api: ApiFixture, work: Workspace) -> None:
    path = f"{TASKS}/{work.task(1, status='DONE')}"
    assert api.get(path).json["completed_at"] == AT
    assert api.call("PATCH", path, "una", {"status": "TODO"}).json["completed_at"] is None


def test_lists_are_filtered_and_ordered(api: ApiFixture, work: Workspace) -> None:
    una = api.users["una"].id
    low = work.task(1, priority="LOW", status="TODO", labels=["x"], due_date="2026-06-01T00:00:00Z")
    top = work.task(1, priority="CRITICAL", assignee=una, due_date="2026-07-01T00:00:00Z")

    def ids(query: str, caller: str = "ada") -> list[int]:
        found = api.get(f"{TASKS}/?{query}", caller)
        assert found.status_code == 200, found.json
        return [each["id"] for each in found.json["results"]]

    assert ids("ordering=-priority") == [top, low]
    assert ids("ordering=priority") == ids("ordering=due_date") == ids("board=1") == [low, top]
    assert ids("status=TODO,DONE&priority=LOW,HIGH") == ids("label=x") == [low]
    assert ids(f"assignee={una}") == [top]
    assert ids(f"reporter={una}") == ids("project=2") == ids("board=2") == ids("board=99") == []
    assert ids("due_date_from=2026-06-01T00:00:00Z&due_date_to=2026-06-30T00:00:00Z") == [low]
    assert ids("sla_breached=true") == []
    for query, field in (
        ("status=LATER", "status"), ("ordering=reporter", "ordering"), ("ordering=", "ordering"),
        ("label=" + "x" * 51, "label"), ("assignee=me", "assignee"), ("due_date_from=x", "due_date_from"),
        ("search=status:LATER", "status"), ("search=board:x", "board"), ("colour=red", "colour"),
    ):  # fmt: skip
        refused = api.get(f"{TASKS}?{query}")
        assert refused.status_code == 400, query
        assert {each.split(".")[0] for each in refused.json["field_errors"]} == {field}, query


def test_a_stale_version_of_a_task_is_412_and_names_its_own_changes_only(
    api: ApiFixture, work: Workspace
) -> None:
    path = f"{TASKS}/{work.task(1)}"
    tag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    other = work.task(1)
    work.comment(int(path.rpartition("/")[2]))
    assert api.post(f"{path}/watch", "una").status_code == 200
    assert api.post(f"{path}/move", "una", {"after": other}).status_code == 200
    kept = api.call("PATCH", path, "ada", {"title": "A"}, headers={"If-Match": tag})
    assert (kept.status_code, kept.json["version"]) == (200, 2)
    for method, body in (
        ("PATCH", {"title": "B"}),
        ("PUT", {"title": "B", "board": 1}),
        ("DELETE", None),
    ):
        stale = api.call(method, path, "una" if body else "ada", body, headers={"If-Match": tag})
        assert (stale.status_code, stale.json["changed"]) == (412, ["title"]), method
        assert stale.json["version"] == 2
    assert api.call("DELETE", path, "ada", headers={"If-Match": '"v2"'}).status_code == 204
    assert api.get(path).status_code == 404
    assert api.call("DELETE", path, "ada").status_code == 404


def test_a_task_is_assigned_and_watched(api: ApiFixture, work: Workspace) -> None:
    path, una = f"{TASKS}/{work.task(1)}", api.users["una"].id
    assigned = api.post(f"{path}/assign/", "ada", {"assignee_id": una}).json
    assert (assigned["assignee"], assigned["assignee_detail"]) == (una, person(api, "una"))
    assert api.post(f"{path}/assign", "ada", {"assignee_id": None}).json["assignee"] is None
    for body in ({"assignee_id": api.users["bob"].id}, {"assignee_id": 999}, {}):
        refused = api.post(f"{path}/assign", "ada", body)
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, ["assignee_id"])
    for _ in range(2):
        assert api.post(f"{path}/watch/", "una").json["watchers"] == [una]
    for _ in range(2):
        assert api.call("DELETE", f"{path}/watch/", "una").status_code == 204
    assert api.get(path).json["watchers"] == []


def test_moves_put_tasks_beside_others(api: ApiFixture, work: Workspace) -> None:
    first, second, third = (work.task(1) for _ in range(3))

    def order() -> list[int]:
        return [each["id"] for each in api.get(f"{TASKS}?board=1").json["results"]]

    moved = api.post(f"{TASKS}/{third}/move/", "una", {"before": first, "status": "TODO"})
    assert (moved.status_code, moved.json["status"], moved.json["version"]) == (200, "TODO", 2)
    assert order() == [third, first, second]
    assert api.get(f"{TASKS}/{third}").json["position"] == moved.json["position"]
    assert api.post(f"{TASKS}/{third}/move", "ada", {"after": second}).json["version"] == 2
    assert order() == [first, second, third]
    assert api.call("DELETE", f"{TASKS}/{second}", "ada").status_code == 204
    assert api.post(f"{TASKS}/{first}/move", "ada", {"after": second}).status_code == 200
    assert order() == [first, third]
    for body, field in (
        ({"before": 1}, "before"),
        ({"after": 999}, "after"),
        ({"status": "LATER"}, "status"),
        ({}, "status"),
        ({"status": None}, "status"),
        ({"before": "x"}, "before"),
        ({"position": "a"}, "position"),
    ):
        refused = api.post(f"{TASKS}/{third}/move", "ada", body)
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, [field])
    board = {"transitions": {"BACKLOG": ["TODO"]}}
    assert api.call("PATCH", f"{BOARDS}/1", "ada", board).status_code == 200
    refused = api.post(f"{TASKS}/{first}/move", "ada", {"status": "DONE"})
    assert (refused.status_code, refused.json["code"]) == (409, "transition_refused")


def test_a_bulk_edit_answers_for_each_task(api: ApiFixture, work: Workspace) -> None:
    task, same = work.task(1), work.task(1, priority="HIGH")
    body = {"ids": [task, 1, same], "set": {"priority": "HIGH"}}
    atomic = api.post(f"{TASKS}/bulk/", "ada", body)
    hidden = {
        "id": 1,
        "outcome": "refused",
        "code": "not_found",
        "detail": "There is no such task.",
    }
    none = {"code": None, "detail": None}
    results = [
        {"id": task, "outcome": "changed", **none},
        hidden,
        {"id": same, "outcome": "unchanged", **none},
    ]
    assert (atomic.status_code, atomic.headers["content-type"]) == (409, "application/json")
    assert atomic.json == {"changed": 1, "refused": 1, "results": results}
    dry = api.post(f"{TASKS}/bulk", "ada", {**body, "mode": "each", "dry_run": True})
    assert (dry.status_code, dry.json) == (200, atomic.json)
    assert api.get(f"{TASKS}/{task}").json["version"] == 1
    each = api.post(f"{TASKS}/bulk", "ada", {**body, "mode": "each"})
    assert (each.status_code, each.json) == (200, atomic.json)
    assert api.get(f"{TASKS}/{task}").json["priority"] == "HIGH"
    assert api.get(f"{TASKS}/1", "bob").json["priority"] == "MEDIUM"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"ids": []}, "ids"), ({"ids": list(range(1, 502))}, "ids"), ({"ids": [0]}, "ids.0"),
        ({"ids": ["x"]}, "ids.0"), ({"ids": None}, "ids"), ({"set": {}}, "set"), ({"set": None}, "set"),
        ({"set": {"title": "x"}}, "set.title"), ({"set": {"status": None}}, "set.status"),
        ({"set": {"labels_add": ["\u200b"]}}, "set.labels_add.0"), ({"mode": "some"}, "mode"),
        ({"set": {"estimated_hours": 1.005}}, "set.estimated_hours"), ({"dry_run": 1}, "dry_run"),
        ({"set": {"board": True}}, "set.board"), ({"set": [1]}, "set"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_bulk_edit_is_named(
    api: ApiFixture, work: Workspace, fields: dict[str, Any], path: str
) -> None:
    body = {"ids": [work.task(1)], "set": {"priority": "LOW"}, **fields}
    refused = api.post(f"{TASKS}/bulk", "ada", body)
    assert (refused.status_code, list(refused.json["field_errors"])) == (400, [path])


def test_ids_of_others_in_a_bulk_change_are_refused_for_each_task(
    api: ApiFixture, work: Workspace
) -> None:
    task, bob = work.task(1), api.users["bob"].id
    for change in ({"board": 2}, {"board": 999}, {"assignee": bob}, {"assignee": 999}):
        refused = api.post(f"{TASKS}/bulk", "ada", {"ids": [task], "set": change})
        assert refused.status_code == 409
        [result] = refused.json["results"]
        assert (result["outcome"], result["code"]) == ("refused", "invalid")
        assert "Secret" not in refused.text


def test_the_document_names_the_fields_of_a_bulk_change(documented: ApiFixture) -> None:
    schemas = documented.get("/api/schema/", None).json["components"]["schemas"]
    change = schemas["BulkEdit"]["properties"]["set"]
    names = {
        "status", "priority", "assignee", "due_date", "board", "estimated_hours", "labels_add",
        "labels_remove",
    }  # fmt: skip
    assert set(change["properties"]) == names
    assert change["minProperties"] == 1
    assert "required" not in change


def test_tasks_are_exported_as_csv_and_json(api: ApiFixture, work: Workspace) -> None:
    work.task(1, title='=HYPERLINK("x")', labels=["a", "b"])
    work.task(1, title='Quote " and\nline', description="ä")
    made = api.get(f"{TASKS}/export/?format=csv")
    assert made.status_code == 200
    assert made.headers["content-type"].startswith("text/csv")
    assert made.headers["content-disposition"] == 'attachment; filename="tasks.csv"'
    rows = list(csv.DictReader(io.StringIO(made.text)))
    assert [row["title"] for row in rows] == ['\'=HYPERLINK("x")', 'Quote " and\nline']
    assert (rows[0]["labels"], rows[1]["description"]) == ("a, b", "ä")
    as_json = api.get(f"{TASKS}/export?format=json")
    assert as_json.headers["content-type"].startswith("application/json")
    exported = json.loads(as_json.text)
    listed = api.get(f"{TASKS}?ordering=created_at").json["results"]
    assert exported == listed
    assert json.loads(api.get(f"{TASKS}/export?format=json&status=DONE").text) == []
    for query, field in (
        ("format=xml", "format"),
        ("search=status:LATER", "status"),
        ("ordering=title", "ordering"),
        ("page=1", "page"),
    ):
        refused = api.get(f"{TASKS}/export?{query}")
        assert refused.status_code == 400, query
        assert {each.split(".")[0] for each in refused.json["field_errors"]} == {field}


def test_comments_are_threaded(api: ApiFixture, work: Workspace) -> None:
    task = work.task(1)
    added = api.post(f"{TASKS}/{task}/add_comment/", "una", {"content": "**Hi**"})
    assert (added.status_code, added.headers["location"]) == (201, f"{TASKS}/{task}/comments")
    assert added.json == {
        "id": 1,
        "author": person(api, "una"),
        "content": "**Hi**",
        "content_html": "<p><strong>Hi</strong></p>\n",
        "parent": None,
        "deleted": False,
        "created_at": AT,
        "edited_at": None,
        "replies": [],
    }
    reply = work.comment(task, parent=1)
    [thread] = api.get(f"{TASKS}/{task}/comments/").json["results"]
    assert [each["id"] for each in thread["replies"]] == [reply]
    assert api.get(f"{TASKS}/{task}").json["comments"] == [thread]
    assert api.get(f"{TASKS}/{task}").json["comment_count"] == 2
    edited = api.call("PATCH", f"{COMMENTS}/1/", "una", {"content": "Ho"})
    assert (edited.status_code, edited.json["edited_at"]) == (200, AT)
    assert api.call("PATCH", f"{COMMENTS}/1", "ada", {"content": "x"}).status_code == 403
    assert api.call("DELETE", f"{COMMENTS}/1/", "una").status_code == 204
    [thread] = api.get(f"{TASKS}/{task}/comments").json["results"]
    assert (thread["deleted"], thread["content"], thread["content_html"]) == (True, "", "")
    assert [each["id"] for each in thread["replies"]] == [reply]
    for method in ("PATCH", "DELETE"):
        gone = api.call(
            method, f"{COMMENTS}/1", "una", {"content": "x"} if method == "PATCH" else None
        )
        assert gone.status_code == 404


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"content": ""}, "content"), ({"content": "\u200b\n"}, "content"), ({"content": None}, "content"),
        ({"content": "x" * 10_001}, "content"), ({"content": 1}, "content"), ({"parent": 999}, "parent"),
        ({"parent": 1}, "parent"), ({"parent": "x"}, "parent"), ({"author": 1}, "author"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_comment_is_named(
    api: ApiFixture, work: Workspace, fields: dict[str, Any], path: str
) -> None:
    Workspace(api, "bob").comment(1, content="Secret")
    refused = api.post(f"{TASKS}/{work.task(1)}/add_comment", "ada", {"content": "x", **fields})
    assert (refused.status_code, list(refused.json["field_errors"])) == (400, [path])
    assert "Secret" not in refused.text


def test_comments_nest_ten_deep(api: ApiFixture, work: Workspace) -> None:
    task, parent = work.task(1), None
    for _ in range(10):
        parent = work.comment(task, parent=parent)
    refused = api.post(f"{TASKS}/{task}/add_comment", "ada", {"content": "x", "parent": parent})
    assert (refused.status_code, list(refused.json["field_errors"])) == (400, ["parent"])


def test_nothing_of_another_project_is_found_by_its_id(api: ApiFixture, work: Workspace) -> None:
    comment = Workspace(api, "bob").comment(1)
    for method, path in (
        ("GET", f"{TASKS}/1"), ("PUT", f"{TASKS}/1"), ("PATCH", f"{TASKS}/1"), ("DELETE", f"{TASKS}/1"),
        ("POST", f"{TASKS}/1/assign"), ("POST", f"{TASKS}/1/move"), ("POST", f"{TASKS}/1/add_comment"),
        ("POST", f"{TASKS}/1/watch"), ("DELETE", f"{TASKS}/1/watch"), ("GET", f"{TASKS}/1/comments"),
        ("GET", f"{TASKS}/1/activity"), ("GET", f"{TASKS}/1/sla"), ("GET", f"{PROJECTS}/2"),
        ("GET", f"{PROJECTS}/2/activity"), ("POST", f"{PROJECTS}/2/add_member"),
        ("DELETE", f"{PROJECTS}/2/remove_member"), ("PATCH", f"{COMMENTS}/{comment}"),
        ("DELETE", f"{COMMENTS}/{comment}"), ("GET", f"{BOARDS}/2"), ("DELETE", f"{BOARDS}/2"),
    ):  # fmt: skip
        assert api.call(method, path, "ada", body=b"[").status_code == 404, (method, path)
    assert api.get(f"{TASKS}?search=Secret").json["count"] == 0
