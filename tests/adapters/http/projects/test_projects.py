"""Projects, members and boards over HTTP: shapes, statuses, versions, refusals."""

from typing import Any

import pytest
from attrs import evolve

from tests.adapters.http.conftest import ApiFixture
from tests.adapters.http.workspace import BOARDS, PROJECTS, Workspace

AT = "2026-05-04T12:00:00Z"
STATUSES = ["BACKLOG", "TODO", "IN_PROGRESS", "REVIEW", "DONE"]


@pytest.fixture
def work(api: ApiFixture) -> Workspace:
    """Return ada's workspace, with project 1 of the MANAGER bob and the MEMBER una."""
    made = Workspace(api)
    made.project(bob="MANAGER", una="MEMBER")
    return made


def person(api: ApiFixture, name: str) -> dict[str, Any]:
    email = f"{name}@example.org"
    return {"id": api.users[name].id, "username": name, "email": email, "full_name": name}


def test_a_project_is_shown_with_all_its_fields(api: ApiFixture) -> None:
    made = api.post(f"{PROJECTS}/", "ada", {"name": "Website", "description": "Ours"})
    assert (made.status_code, made.headers["location"]) == (201, f"{PROJECTS}/1")
    assert made.json == {
        "id": 1,
        "name": "Website",
        "description": "Ours",
        "owner": person(api, "ada"),
        "members": [{"user": person(api, "ada"), "role": "ADMIN", "joined_at": AT}],
        "is_archived": False,
        "board_count": 0,
        "member_count": 1,
        "created_at": AT,
        "updated_at": AT,
    }
    assert api.get(f"{PROJECTS}/1/").json == made.json
    assert api.get(PROJECTS).json["results"] == [made.json]


def test_projects_are_filtered_searched_and_ordered(api: ApiFixture, work: Workspace) -> None:
    work.archive(work.project("Old shop"))
    work.project("Another")

    def names(query: str) -> list[str]:
        return [each["name"] for each in api.get(f"{PROJECTS}?{query}").json["results"]]

    assert names("ordering=name") == ["Another", "Old shop", "Website"]
    assert names("ordering=-name") == ["Website", "Old shop", "Another"]
    assert names("is_archived=true") == ["Old shop"]
    assert names("is_archived=false&ordering=created_at,name") == ["Another", "Website"]
    assert names("search=SHOP") == ["Old shop"]
    for query, field in (("ordering=owner", "ordering"), ("owner=1", "owner")):
        refused = api.get(f"{PROJECTS}?{query}")
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, [field])
    assert api.get(f"{PROJECTS}?page=2").status_code == 404
    assert api.get(f"{PROJECTS}?page=1&search=nothing").json["count"] == 0


def test_put_replaces_and_patch_changes_a_project(api: ApiFixture, work: Workspace) -> None:
    body = {"name": "Shop", "description": "d"}
    assert api.call("PUT", f"{PROJECTS}/1", "ada", body).json["description"] == "d"
    changed = api.call("PATCH", f"{PROJECTS}/1", "ada", {"name": "Store"}).json
    assert (changed["name"], changed["description"]) == ("Store", "d")
    replaced = api.call("PUT", f"{PROJECTS}/1", "ada", {"name": "Store"}).json
    assert replaced["description"] == ""


@pytest.mark.parametrize(
    "name", [None, "", " ", "\u200b", "\u2028 \u3164", "x" * 256, 5, [], {"a": 1}, "a\0b"]
)
def test_a_project_needs_a_visible_name(api: ApiFixture, work: Workspace, name: Any) -> None:
    for method, path in (("POST", PROJECTS), ("PUT", f"{PROJECTS}/1"), ("PATCH", f"{PROJECTS}/1")):
        refused = api.call(method, path, "ada", {"name": name})
        assert refused.status_code == 400, (method, name)
        assert "\0" in str(name) or list(refused.json["field_errors"]) == ["name"]


def test_names_may_be_of_any_script(api: ApiFixture) -> None:
    for name in ("Größe", "Gro\u0308ße", "项目", "مشروع", "👩‍👩‍👧", "<b>&amp;</b>", "x" * 255):
        assert api.post(PROJECTS, "ada", {"name": name}).json["name"] == name


def test_a_deleted_project_is_gone_with_all_that_is_in_it(api: ApiFixture) -> None:
    made = Workspace(api).fill()
    assert api.call("DELETE", f"{PROJECTS}/1", "ada").status_code == 204
    for path in (
        f"{PROJECTS}/1",
        f"{PROJECTS}/1/activity",
        f"{BOARDS}/{made['board_id']}",
        f"/api/v1/tasks/{made['task_id']}",
        f"/api/v1/tasks/{made['task_id']}/sla",
        f"/api/v1/calendars/{made['calendar_id']}",
        f"/api/v1/sla-policies/{made['policy_id']}",
    ):
        assert api.get(path).status_code == 404, path
    for path in (PROJECTS, BOARDS, "/api/v1/tasks", "/api/v1/calendars", "/api/v1/sla-policies"):
        assert api.get(path).json["count"] == 0, path
    assert api.call("DELETE", f"{PROJECTS}/1", "ada").status_code == 404
    comment = f"/api/v1/comments/{made['comment_id']}"
    assert api.call("PATCH", comment, "ada", {"content": "x"}).status_code == 404


def test_members_are_added_changed_and_removed(api: ApiFixture) -> None:
    path = f"{PROJECTS}/{Workspace(api).project()}"
    bob = api.users["bob"].id
    added = api.post(f"{path}/add_member/", "ada", {"user_id": bob})
    assert (added.status_code, added.headers["location"]) == (201, path)
    assert added.json == {"user": person(api, "bob"), "role": "MEMBER", "joined_at": AT}
    changed = api.post(f"{path}/add_member", "ada", {"user_id": bob, "role": "MANAGER"})
    assert (changed.status_code, changed.json["role"]) == (201, "MANAGER")
    repeated = api.post(f"{path}/add_member", "ada", {"user_id": bob, "role": "MANAGER"})
    assert repeated.status_code == 409
    assert api.get(path, "bob").json["member_count"] == 2
    removed = api.call("DELETE", f"{path}/remove_member/", "ada", {"user_id": bob})
    assert removed.status_code == 204
    assert api.get(path, "bob").status_code == 404
    again = api.call("DELETE", f"{path}/remove_member", "ada", {"user_id": bob})
    assert (again.status_code, list(again.json["field_errors"])) == (400, ["user_id"])


def test_the_owner_can_be_neither_removed_nor_demoted(api: ApiFixture, work: Workspace) -> None:
    ada = api.users["ada"].id
    for method, action, body in (
        ("DELETE", "remove_member", {"user_id": ada}),
        ("POST", "add_member", {"user_id": ada, "role": "MEMBER"}),
    ):
        refused = api.call(method, f"{PROJECTS}/1/{action}", "ada", body)
        assert refused.status_code == 400
        assert len(refused.json["field_errors"]) == 1


def test_unknown_and_inactive_users_are_not_added(api: ApiFixture, work: Workspace) -> None:
    api.join("off")
    with api.store.begin() as tx:
        tx.users.replace(evolve(api.users["off"], is_active=False))
    for user_id in (999, api.users["off"].id):
        refused = api.post(f"{PROJECTS}/1/add_member", "ada", {"user_id": user_id})
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, ["user_id"])


def test_a_board_is_shown_with_all_its_fields(api: ApiFixture, work: Workspace) -> None:
    made = api.post(f"{BOARDS}/", "ada", {"project": 1, "name": "Development"})
    assert (made.status_code, made.headers["location"]) == (201, f"{BOARDS}/1")
    assert made.headers["etag"].startswith('"v1')
    body = dict(made.json)
    columns = body.pop("columns")
    assert [column["status"] for column in columns] == STATUSES
    assert all(set(column) == {"name", "status", "wip_limit"} for column in columns)
    assert body == {
        "id": 1,
        "name": "Development",
        "description": "",
        "project": 1,
        "position": 1,
        "transitions": None,
        "task_count": 0,
        "wip_warnings": [],
        "created_at": AT,
        "updated_at": AT,
        "version": 1,
    }
    assert api.get(f"{BOARDS}/1/").json == made.json


def test_boards_are_listed_by_project_and_position(api: ApiFixture, work: Workspace) -> None:
    second, first = work.board(1, position=9), work.board(1, position=2)
    other = work.board(work.project("Other"))
    listed = api.get(BOARDS).json["results"]
    assert [each["id"] for each in listed] == [first, second, other]
    of_one = api.get(f"{BOARDS}?project=1").json
    assert (of_one["count"], of_one["results"][0]["id"]) == (2, first)
    assert api.get(f"{BOARDS}?project=2", "bob").json["count"] == 0
    assert api.get(f"{BOARDS}?project=x").status_code == 400


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"columns": []}, "columns"),
        (
            {"columns": [{"name": "A", "status": "TODO"}, {"name": "B", "status": "TODO"}]},
            "columns",
        ),
        ({"columns": [{"name": "", "status": "TODO"}]}, "columns.0.name"),
        ({"columns": [{"name": "A", "status": "LATER"}]}, "columns.0.status"),
        ({"columns": [{"name": "A", "status": "TODO", "wip_limit": 0}]}, "columns.0.wip_limit"),
        ({"columns": [{"name": "A", "status": "TODO", "colour": "red"}]}, "columns.0.colour"),
        ({"transitions": {"TODO": ["LATER"]}}, "transitions.TODO.0"),
        ({"transitions": {"LATER": []}}, "transitions.LATER"),
        ({"transitions": {"TODO": ["DONE", "DONE"]}}, "transitions.TODO"),
        ({"position": -1}, "position"),
        ({"position": 1e30}, "position"),
        ({"name": "\u2800"}, "name"),
        ({"project": 2}, "project"),
        ({"project": 999}, "project"),
        ({"project": None}, "project"),
    ],
)
def test_a_wrong_field_of_a_board_is_named(
    api: ApiFixture, work: Workspace, fields: dict[str, Any], path: str
) -> None:
    Workspace(api, "root").project()
    board = work.board(1)
    bodies = {"POST": {"name": "B", "project": 1, **fields}, "PATCH": fields}
    for method, body in bodies.items():
        target = BOARDS if method == "POST" else f"{BOARDS}/{board}"
        refused = api.call(method, target, "ada", body)
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, [path]), method


def test_columns_with_tasks_and_limits(api: ApiFixture, work: Workspace) -> None:
    board = work.board(1, columns=[{"name": "Do", "status": "TODO", "wip_limit": 1}])
    path = f"{BOARDS}/{board}"
    assert [work.task(board), work.task(board)] == [1, 2]
    shown = api.get(path).json
    assert (shown["task_count"], shown["wip_warnings"]) == (2, ["TODO"])
    done = {"columns": [{"name": "Done", "status": "DONE"}]}
    refused = api.call("PATCH", path, "ada", done)
    assert (refused.status_code, list(refused.json["field_errors"])) == (400, ["columns"])
    elsewhere = api.post("/api/v1/tasks", "ada", {"title": "T", "board": board, "status": "DONE"})
    assert (elsewhere.status_code, list(elsewhere.json["field_errors"])) == (400, ["status"])


def test_a_stale_version_of_a_board_is_412_and_names_the_changed_fields(
    api: ApiFixture, work: Workspace
) -> None:
    path = f"{BOARDS}/{work.board(1)}"
    tag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert api.call("PATCH", path, "ada", {"name": "New"}).headers["etag"] == '"v2"'
    for method, body in (("PATCH", {"name": "X"}), ("PUT", {"name": "X"}), ("DELETE", None)):
        stale = api.call(method, path, "ada", body, headers={"If-Match": tag})
        assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
        assert (stale.json["version"], stale.json["changed"]) == (2, ["name"])
    assert api.get(path).json["name"] == "New"
    current = api.get(path).headers["etag"]
    assert api.call("DELETE", path, "ada", headers={"If-Match": current}).status_code == 204


def test_an_archived_project_refuses_every_write_and_answers_reads(api: ApiFixture) -> None:
    work = Workspace(api)
    made = work.fill()
    path = {name.removesuffix("_id"): number for name, number in made.items()}
    other = work.task(work.board(work.project()))
    work.archive(made["project_id"])
    task, board = f"/api/v1/tasks/{path['task']}", f"{BOARDS}/{path['board']}"
    comment, bob = f"/api/v1/comments/{path['comment']}", {"user_id": api.users["bob"].id}
    refused: list[tuple[str, str, Any]] = [
        ("PATCH", f"{PROJECTS}/1", {"name": "New"}),
        ("DELETE", f"{PROJECTS}/1", None),
        ("POST", f"{PROJECTS}/1/add_member", bob),
        ("POST", BOARDS, {"name": "B", "project": 1}),
        ("PATCH", board, {"name": "B"}),
        ("DELETE", board, None),
        ("POST", "/api/v1/tasks", {"title": "T", "board": path["board"]}),
        ("PATCH", task, {"title": "T"}),
        ("DELETE", task, None),
        ("POST", f"{task}/assign", {"assignee_id": None}),
        ("POST", f"{task}/move", {"status": "DONE"}),
        ("POST", f"{task}/watch", None),
        ("DELETE", f"{task}/watch", None),
        ("POST", f"{task}/add_comment", {"content": "Hi"}),
        ("PATCH", comment, {"content": "Hi"}),
        ("DELETE", comment, None),
        ("POST", "/api/v1/calendars", {"name": "C", "project": 1, "intervals": {"mon": [["09:00", "17:00"]]}}),
        ("PATCH", f"/api/v1/calendars/{path['calendar']}", {"name": "C"}),
        ("DELETE", f"/api/v1/calendars/{path['calendar']}", None),
        ("POST", "/api/v1/sla-policies", {"name": "P", "project": 1, "is_active": False}),
        ("PATCH", f"/api/v1/sla-policies/{path['policy']}", {"name": "P"}),
        ("DELETE", f"/api/v1/sla-policies/{path['policy']}", None),
        ("POST", f"/api/v1/sla-policies/{path['policy']}/apply", None),
    ]  # fmt: skip
    for caller in ("ada", "root"):
        for method, target, body in refused:
            if caller == "root" and (target, method) == (comment, "PATCH"):
                continue  # only authors edit
            answer = api.call(method, target, caller, body)
            assert answer.status_code == 409, (caller, method, target, answer.json)
            assert answer.json["code"] == "project_archived", (caller, method, target)
    bulk = {"ids": [path["task"]], "set": {"priority": "LOW"}}
    assert api.post("/api/v1/tasks/bulk", "root", bulk).json["results"][0]["code"] == (
        "project_archived"
    )
    into = api.call("PATCH", f"/api/v1/tasks/{other}", "ada", {"board": path["board"]})
    assert into.status_code == 400
    for target in (
        f"{PROJECTS}/1",
        board,
        task,
        f"{task}/comments",
        f"{task}/sla",
        f"{task}/activity",
    ):
        assert api.get(target).status_code == 200, target
    work.archive(made["project_id"], archived=False)
    assert api.call("PATCH", task, "ada", {"title": "T"}).status_code == 200


def test_activity_is_counted_and_newest_first(api: ApiFixture, work: Workspace) -> None:
    work.task(work.board(1))
    path = f"{PROJECTS}/1/activity"
    first = api.get(f"{path}?page_size=2").json
    assert first["count"] > 2
    assert [each["model_name"] for each in first["results"]] == ["task", "board"]
    assert set(first["results"][0]) == {
        "id", "user", "user_detail", "action", "model_name", "object_id", "changes", "timestamp",
    }  # fmt: skip
    assert first["results"][0]["user_detail"] == person(api, "ada")
    rest = api.get(first["next"].removeprefix("http://localhost"), "una").json["results"]
    assert [each["action"] for each in rest] == ["ADD_MEMBER", "ADD_MEMBER"]
