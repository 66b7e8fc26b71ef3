"""Permission matrix of projects: every route and every id with every kind of caller."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NewType, get_args, get_origin

import attrs
import pytest
from attrs import frozen

from tests.adapters.http.conftest import PASSWORD, ApiFixture, add_users, build_api
from tests.adapters.http.workspace import (
    BOARDS,
    CALENDARS,
    POLICIES,
    PROJECTS,
    TASKS,
    WEEK,
    Workspace,
)
from workbell.adapters.http.app import make_operations
from workbell.adapters.http.web.operations import AnyOperation
from workbell.domain.constraints import find_constraints
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import RULES, Action, Relation, get_relations, key_allows
from workbell.domain.identity.user import KeyScope, Role
from workbell.services.projects.requests import BulkChange

PROJECT_ROUTES: Mapping[Action, str] = {
    Action.MAKE_PROJECT: "create_project",
    Action.READ_PROJECT: """
        list_projects get_project list_project_activity list_boards get_board list_tasks
        export_tasks get_task list_task_comments list_task_activity get_task_sla list_calendars
        get_calendar list_sla_policies get_sla_policy
    """,
    Action.MANAGE_PROJECT: "replace_project change_project delete_project add_project_member",
    Action.LEAVE_PROJECT: "remove_project_member",
    Action.MANAGE_BOARDS: "create_board replace_board change_board delete_board",
    Action.MANAGE_SLA: """
        create_calendar change_calendar delete_calendar create_sla_policy change_sla_policy
        delete_sla_policy apply_sla_policy
    """,
    Action.WRITE_TASKS: "create_task replace_task change_task assign_task move_task edit_tasks",
    Action.WATCH_TASK: "watch_task unwatch_task",
    Action.DELETE_TASK: "delete_task",
    Action.COMMENT: "add_task_comment",
    Action.EDIT_COMMENT: "edit_comment",
    Action.DELETE_COMMENT: "delete_comment",
}
"""Routes of projects by the permission they require; every route must be listed."""

ALSO = {"remove_project_member": Action.MANAGE_PROJECT}
"""Alternative permissions: members leave, admins remove others."""

BASES = (PROJECTS, TASKS, "/api/v1/comments", CALENDARS, POLICIES)
ALL = {
    one.name: one
    for one in make_operations(build_api(Path()).deps)
    if any(one.path == base or one.path.startswith(f"{base}/") for base in BASES)
}
ACTIONS = {name: action for action, names in PROJECT_ROUTES.items() for name in names.split()}
ROLES = {
    "ada": Relation.PROJECT_ADMIN,
    "max": Relation.PROJECT_MANAGER,
    "mia": Relation.PROJECT_MEMBER,
}


@frozen
class Caller:
    """A user, or an API key of one with a scope."""

    name: str
    scope: KeyScope | None = None

    def actor(self, api: ApiFixture) -> Actor:
        scopes = frozenset([self.scope]) if self.scope else None
        return Actor.of(api.users[self.name], key_scopes=scopes)

    def token(self, api: ApiFixture) -> str:
        if self.scope is None:
            return api.deps.login.login(self.name, PASSWORD).access
        return api.deps.api_keys.create(api.actor(self.name), self.scope, [self.scope]).text


CALLERS = {
    "owner": Caller("ada"),
    "manager": Caller("max"),
    "member": Caller("mia"),
    "removed member": Caller("rex"),
    "member of another project": Caller("bob"),
    "outsider": Caller("una"),
    "superuser": Caller("root"),
    "platform ADMIN": Caller("pat"),
    "platform MANAGER": Caller("meg"),
    **{f"owner's key, {scope}": Caller("ada", scope) for scope in KeyScope},
    "member's key, write": Caller("mia", KeyScope.WRITE),
    "outsider's key, admin": Caller("una", KeyScope.ADMIN),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ApiFixture:
    """Return an application with the callers; bob has a project of his own."""
    api = add_users(build_api(tmp_path_factory.mktemp("world")))
    for name, role in (("max", None), ("mia", None), ("rex", None), ("pat", Role.ADMIN),
                       ("meg", Role.MANAGER)):  # fmt: skip
        api.join(name, **({"role": role} if role else {}))
    Workspace(api, "bob").project("Secret")
    return api


def fill(api: ApiFixture) -> Mapping[str, int]:
    """Create a project of ada with members, one who was removed, and one of each object."""
    work = Workspace(api)
    made = work.fill()
    for name, role in (("max", "MANAGER"), ("mia", "MEMBER"), ("rex", "MEMBER")):
        work.member(made["project_id"], name, role)
    path, body = f"{PROJECTS}/{made['project_id']}", {"user_id": api.users["rex"].id}
    assert api.call("DELETE", f"{path}/remove_member", "ada", body).status_code == 204
    return made


def allowed(actor: Actor, action: Action) -> bool:
    """Whether the rules alone allow an action on what ada has made."""
    relations = set(get_relations(actor))
    relations |= {ROLES[actor.username]} if actor.username in ROLES else set()
    relations |= {Relation.OWNER} if actor.username == "ada" else set()
    return not RULES[action].relations.isdisjoint(relations)


def refused_by(actor: Actor, operation: AnyOperation) -> int:
    """Return the status of a refusal by the rules alone, or 0."""
    action = ACTIONS[operation.name]
    if not key_allows(actor, RULES[action].key):
        return 403
    if not operation.path_names:
        return 0  # which project it is about is in the body or the query
    if allowed(actor, action) or (operation.name in ALSO and allowed(actor, ALSO[operation.name])):
        return 0
    return 403 if allowed(actor, Action.READ_PROJECT) else 404


def test_every_route_of_projects_has_a_row() -> None:
    named = [name for names in PROJECT_ROUTES.values() for name in names.split()]
    assert len(named) == len(set(named))
    assert set(named) == set(ALL)


@pytest.mark.parametrize("name", list(ALL))
def test_the_rules_decide_for_every_caller_and_before_the_body(
    world: ApiFixture, name: str
) -> None:
    api, operation, made = world, ALL[name], fill(world)
    assert api.call(operation.method, operation.path.format(**made)).status_code == 401
    for kind, caller in CALLERS.items():
        headers = {"Authorization": f"Bearer {caller.token(api)}"}
        path = operation.path.format(**made)
        status = api.call(operation.method, path, headers=headers).status_code
        expected = refused_by(caller.actor(api), operation)
        for key in api.deps.api_keys.list_keys(api.actor(caller.name)):
            api.deps.api_keys.revoke(api.actor(caller.name), key.id)
        if expected:
            assert status == expected, (kind, status)
            continue
        assert status == (400 if operation.request else status), (kind, status)
        assert status in {200, 201, 204, 400}, (kind, status)
        if status == 204:
            made = fill(api)


@pytest.mark.parametrize("name", [n for n, one in ALL.items() if not one.path_names and
                                  one.method == "GET"])  # fmt: skip
def test_lists_hold_what_the_caller_may_see(world: ApiFixture, name: str) -> None:
    fill(world)
    for kind, caller in CALLERS.items():
        if caller.scope is not None:
            continue
        query = "" if name == "export_tasks" else "?page_size=100"
        text = world.get(f"{ALL[name].path}{query}", caller.name).text
        sees_all = caller.name in {"root", "pat", "meg"}
        word = {"list_projects": "Website", "list_boards": "Board", "list_calendars": "Office",
                "list_sla_policies": "Gold"}.get(name, "Task")  # fmt: skip
        assert (word in text) is (sees_all or caller.name in ROLES), kind
        if name == "list_projects":
            assert ("Secret" in text) is (sees_all or caller.name == "bob"), kind


def test_reporters_delete_their_tasks_and_authors_their_comments(world: ApiFixture) -> None:
    made = fill(world)
    mia = Workspace(world, "mia")
    task = mia.task(made["board_id"])
    comment = mia.comment(made["task_id"])
    path = f"/api/v1/comments/{comment}"
    assert world.call("PATCH", path, "max", {"content": "x"}).status_code == 403
    assert world.call("PATCH", path, "root", {"content": "x"}).status_code == 403
    assert world.call("PATCH", path, "mia", {"content": "x"}).status_code == 200
    assert world.call("DELETE", path, "mia").status_code == 204
    assert world.call("DELETE", f"{TASKS}/{task}", "mia").status_code == 204
    rex = Workspace(world)
    rex.member(made["project_id"], "rex")
    theirs = Workspace(world, "rex").task(made["board_id"])
    body = {"user_id": world.users["rex"].id}
    path = f"{PROJECTS}/{made['project_id']}/remove_member"
    assert world.call("DELETE", path, "ada", body).status_code == 204
    assert world.call("DELETE", f"{TASKS}/{theirs}", "rex").status_code == 404


Row = tuple[str, str, Callable[[Mapping[str, int], Mapping[str, int], ApiFixture], Any], str]
CALENDAR: Mapping[str, Any] = {"name": "C", "intervals": WEEK}
BODY_IDS: Mapping[str, Row] = {
    "create_board.project": (
        "POST", BOARDS, lambda _, o, __: {"name": "B", "project": o["project_id"]}, "project"),
    "create_task.board": (
        "POST", TASKS, lambda _, o, __: {"title": "T", "board": o["board_id"]}, "board"),
    "create_task.assignee": (
        "POST", TASKS,
        lambda m, _, api: {"title": "T", "board": m["board_id"], "assignee": api.users["bob"].id},
        "assignee"),
    "change_task.board": (
        "PATCH", f"{TASKS}/{{task_id}}", lambda _, o, __: {"board": o["board_id"]}, "board"),
    "change_task.assignee": (
        "PATCH", f"{TASKS}/{{task_id}}", lambda _, __, api: {"assignee": api.users["bob"].id},
        "assignee"),
    "replace_task.board": (
        "PUT", f"{TASKS}/{{task_id}}", lambda _, o, __: {"title": "T", "board": o["board_id"]},
        "board"),
    "replace_task.assignee": (
        "PUT", f"{TASKS}/{{task_id}}",
        lambda m, _, api: {"title": "T", "board": m["board_id"], "assignee": api.users["bob"].id},
        "assignee"),
    "assign_task.assignee_id": (
        "POST", f"{TASKS}/{{task_id}}/assign", lambda _, __, api: {"assignee_id": api.users["bob"].id},
        "assignee_id"),
    "move_task.before": (
        "POST", f"{TASKS}/{{task_id}}/move", lambda _, o, __: {"before": o["task_id"]}, "before"),
    "move_task.after": (
        "POST", f"{TASKS}/{{task_id}}/move", lambda _, o, __: {"after": o["task_id"]}, "after"),
    "add_task_comment.parent": (
        "POST", f"{TASKS}/{{task_id}}/add_comment",
        lambda _, o, __: {"content": "C", "parent": o["comment_id"]}, "parent"),
    "create_calendar.project": (
        "POST", CALENDARS, lambda _, o, __: {**CALENDAR, "project": o["project_id"]}, "project"),
    "change_calendar.project": (
        "PATCH", f"{CALENDARS}/{{calendar_id}}", lambda _, o, __: {"project": o["project_id"]},
        "project"),
    "create_sla_policy.project": (
        "POST", POLICIES, lambda _, o, __: {"name": "P", "project": o["project_id"]}, "project"),
    "create_sla_policy.calendar": (
        "POST", POLICIES,
        lambda m, o, __: {"name": "P", "project": m["project_id"], "calendar": o["calendar_id"]},
        "calendar"),
    "change_sla_policy.project": (
        "PATCH", f"{POLICIES}/{{policy_id}}", lambda _, o, __: {"project": o["project_id"]},
        "project"),
    "change_sla_policy.calendar": (
        "PATCH", f"{POLICIES}/{{policy_id}}", lambda _, o, __: {"calendar": o["calendar_id"]},
        "calendar"),
    "add_project_member.user_id": (
        "POST", f"{PROJECTS}/{{project_id}}/add_member", lambda _, __, ___: {"user_id": 10**6},
        "user_id"),
    "remove_project_member.user_id": (
        "DELETE", f"{PROJECTS}/{{project_id}}/remove_member",
        lambda _, __, api: {"user_id": api.users["bob"].id}, "user_id"),
}  # fmt: skip
"""A request for each id in a body, with the id of another project's object."""


def holds_ids(kind: Any) -> bool:
    """Whether a type is an id, or a sequence of ids: an integer from 1 without an end."""
    if isinstance(kind, NewType):
        return holds_ids(kind.__supertype__)
    if get_origin(kind) is Annotated:
        found = find_constraints(kind.__metadata__)
        if kind.__origin__ is int and found is not None:
            return found.ge == 1 and found.le is None
    return any(holds_ids(part) for part in get_args(kind) if not isinstance(part, str))


def id_fields(operation: AnyOperation) -> Iterator[str]:
    assert operation.request is not None
    attrs.resolve_types(operation.request, include_extras=True)
    for attribute in attrs.fields(operation.request):
        if holds_ids(attribute.type):
            yield f"{operation.name}.{attribute.name}"


def test_every_id_in_a_body_has_a_row() -> None:
    """A new id in a body needs a request with the id of another project's object."""
    found = {path for one in ALL.values() if one.request for path in id_fields(one)}
    assert found == set(BODY_IDS) | {"edit_tasks.ids"}
    attrs.resolve_types(BulkChange, include_extras=True)
    assert {a.name for a in attrs.fields(BulkChange) if holds_ids(a.type)} == {"assignee", "board"}


@pytest.mark.parametrize("name", BODY_IDS)
def test_an_id_of_another_project_in_a_body_is_a_field_error(world: ApiFixture, name: str) -> None:
    made, others = fill(world), Workspace(world, "bob").fill()
    method, path, make_body, field = BODY_IDS[name]
    body, shown = make_body(made, others, world), None
    for id_ in (None, 10**9):  # one that exists, and one that does not
        sent = body if id_ is None else {**body, field: id_}
        refused = world.call(method, path.format(**made), "ada", sent)
        assert refused.status_code == 400, refused.json
        [(found, messages)] = refused.json["field_errors"].items()
        assert found == field
        if id_ is None:
            shown = messages
        assert messages == shown, "The answer tells whether the object exists."


@pytest.mark.parametrize("caller", ["root", "pat"])
@pytest.mark.parametrize("name", [n for n in BODY_IDS if not n.startswith("create_") or
                                  n.endswith(("assignee", "calendar"))])  # fmt: skip
def test_superusers_do_not_mix_projects_either(world: ApiFixture, name: str, caller: str) -> None:
    made, others = fill(world), Workspace(world, "bob").fill()
    method, path, make_body, field = BODY_IDS[name]
    refused = world.call(method, path.format(**made), caller, make_body(made, others, world))
    assert refused.status_code == 400, refused.json
    assert list(refused.json["field_errors"]) == [field]


@pytest.mark.parametrize("caller", ["una", "rex", "bob", "meg"])
def test_a_bulk_edit_changes_nothing_that_the_caller_may_not_change(
    world: ApiFixture, caller: str
) -> None:
    made = fill(world)
    body = {"ids": [made["task_id"]], "set": {"priority": "LOW"}, "mode": "each"}
    answer = world.post(f"{TASKS}/bulk", caller, body)
    code = "not_allowed" if caller == "meg" else "not_found"
    assert [each["code"] for each in answer.json["results"]] == [code]
    assert world.get(f"{TASKS}/{made['task_id']}").json["version"] == 1


def test_filters_with_ids_of_another_project_find_nothing(world: ApiFixture) -> None:
    others = Workspace(world, "bob").fill()
    bob = world.users["bob"].id
    for path in (
        f"{BOARDS}?project={others['project_id']}", f"{CALENDARS}?project={others['project_id']}",
        f"{POLICIES}?project={others['project_id']}", f"{TASKS}?project={others['project_id']}",
        f"{TASKS}?board={others['board_id']}", f"{TASKS}?reporter={bob}", f"{TASKS}?assignee={bob}",
        f"{TASKS}?search=board:{others['board_id']}", f"{TASKS}?search=reporter:{bob}",
    ):  # fmt: skip
        assert world.get(path, "una").json["count"] == 0, path
    assert world.get(f"{TASKS}/export?format=json&board={others['board_id']}", "una").json == []
