"""One valid request to each route that changes projects, by the route's name."""

from collections.abc import Mapping
from typing import Any

from tests.adapters.http.conftest import ApiFixture
from tests.adapters.http.web.mutations import Mutation, Names, given, no_body
from tests.adapters.http.workspace import WEEK, Workspace

TARGETS = {"MEDIUM": {"first_response_minutes": 60, "resolution_minutes": 480}}


def project_names(api: ApiFixture, _: Names) -> Names:
    """Create a project of ada with an object of each kind."""
    return Workspace(api).fill()


def with_member(api: ApiFixture, names: Names) -> Names:
    made = project_names(api, names)
    body = {"user_id": api.users["bob"].id}
    added = api.post(f"/api/v1/projects/{made['project_id']}/add_member", "ada", body)
    assert added.status_code in {200, 201}, added.json
    return made


def watched(api: ApiFixture, names: Names) -> Names:
    """Return the names, with a task that ada watches."""
    made = project_names(api, names)
    assert api.post(f"/api/v1/tasks/{made['task_id']}/watch", "ada").status_code < 300
    return made


def unwatched(api: ApiFixture, names: Names) -> Names:
    made = project_names(api, names)
    api.call("DELETE", f"/api/v1/tasks/{made['task_id']}/watch", "ada")
    return made


def bob(api: ApiFixture, _: Names) -> Any:
    return {"user_id": api.users["bob"].id}


def ada_as_assignee(api: ApiFixture, _: Names) -> Any:
    return {"assignee_id": api.users["ada"].id}


def change(action: str, model_name: str, body: Any = None, **how: Any) -> Mutation:
    how = {"prepare": project_names, **how}
    return Mutation(action, model_name, given(**body) if isinstance(body, dict) else body, **how)


PROJECT_MUTATIONS: Mapping[str, Mutation] = {
    "create_project": change("CREATE", "project", {"name": "Shop"}),
    "change_project": change("UPDATE", "project", {"name": "Shop"}),
    "replace_project": change("UPDATE", "project", {"name": "Shop"}),
    "delete_project": change("DELETE", "project", no_body),
    "add_project_member": change("ADD_MEMBER", "project_member", bob),
    "remove_project_member": change("REMOVE_MEMBER", "project_member", bob, prepare=with_member),
    "create_board": change("CREATE", "board", lambda _, n: {"name": "B", "project": n["project_id"]}),
    "change_board": change("UPDATE", "board", {"name": "Next sprint"}),
    "replace_board": change("UPDATE", "board", {"name": "Next sprint"}),
    "delete_board": change("DELETE", "board", no_body),
    "create_task": change("CREATE", "task", lambda _, n: {"title": "T", "board": n["board_id"]}),
    "change_task": change("UPDATE", "task", {"title": "Write more"}),
    "replace_task": change(
        "UPDATE", "task", lambda _, n: {"title": "Write more", "board": n["board_id"], "priority": "LOW"}
    ),
    "delete_task": change("DELETE", "task", no_body),
    "assign_task": change("ASSIGN", "task", ada_as_assignee),
    "move_task": change("MOVE", "task", {"status": "IN_PROGRESS"}),
    "edit_tasks": change(
        "UPDATE", "task", lambda _, n: {"ids": [n["task_id"]], "set": {"priority": "HIGH"}}
    ),
    "watch_task": change("WATCH", "task", no_body, prepare=unwatched),
    "unwatch_task": change("UNWATCH", "task", no_body, prepare=watched),
    "add_task_comment": change("CREATE", "comment", {"content": "Good"}),
    "edit_comment": change("UPDATE", "comment", {"content": "Better"}),
    "delete_comment": change("DELETE", "comment", no_body),
    "create_calendar": change(
        "CREATE", "calendar",
        lambda _, n: {"name": "Night", "project": n["project_id"], "intervals": WEEK},
    ),
    "change_calendar": change("UPDATE", "calendar", {"name": "Night"}),
    "delete_calendar": change("DELETE", "calendar", no_body),
    "create_sla_policy": change(
        "CREATE", "sla_policy",
        lambda _, n: {"name": "Silver", "project": n["project_id"], "targets": TARGETS,
                      "is_active": False},
    ),
    "change_sla_policy": change("UPDATE", "sla_policy", {"name": "Silver"}),
    "delete_sla_policy": change("DELETE", "sla_policy", no_body),
    "apply_sla_policy": change("APPLY", "sla_policy", no_body),
}  # fmt: skip
