"""Permission matrix: every route with every kind of caller."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from falcon.inspect import inspect_routes

from tests.adapters.http.conftest import PASSWORD, ApiFixture, add_users, build_api
from tests.adapters.http.identity.test_browser_sessions import HTTP, make_page
from tests.adapters.http.web.test_project_permissions import PROJECT_ROUTES
from tests.adapters.http.workspace import Workspace
from workbell.adapters.http.app import build_app, make_operations
from workbell.adapters.http.web.docs_pages import DocsRoutes
from workbell.adapters.http.web.docs_pages import operations as docs_operations
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.adapters.http.web.operations import AnyOperation, Style
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import RULES, Action, Relation, get_relations, key_allows
from workbell.domain.identity.user import KeyScope, Role
from workbell.services.identity.users import UserChange

ROUTES: Mapping[Action, str] = {
    Action.REGISTER: "register insighthub_register learnflow_register datamanager_register jobprocessing_register",
    Action.SIGN_IN: """
        login insighthub_login learnflow_login datamanager_login jobprocessing_login open_browser_session refresh insighthub_refresh learnflow_refresh
        verify_email jobprocessing_verify_email jobprocessing_verify_otp resend_otp
    """,
    Action.RESET_PASSWORD: "request_password_reset reset_password",
    Action.READ_PROFILE: """
        get_me insighthub_profile get_browser_session datamanager_list_users get_notification_preferences
    """,
    Action.CHANGE_PROFILE: "change_me datamanager_change_user set_notification_preferences",
    Action.CHANGE_PASSWORD: "change_password",
    Action.USE_SECOND_FACTOR: """
        get_second_factor begin_second_factor confirm_second_factor renew_recovery_codes
        remove_second_factor
    """,
    Action.SIGN_OUT: "logout datamanager_logout close_browser_session",
    Action.READ_SESSIONS: "list_sessions",
    Action.REVOKE_SESSION: "revoke_session",
    Action.READ_KEYS: "list_api_keys",
    Action.MAKE_KEY: "make_api_key",
    Action.REVOKE_KEY: "revoke_api_key",
    Action.LIST_NAMES: "learnflow_list_usernames",
    Action.READ_PEOPLE: "list_users get_user",
    Action.ADMINISTER_PEOPLE: "change_user sign_out_user remove_lost_second_factor",
    Action.INVITE_PEOPLE: "invite_account_member datamanager_invite",
    Action.READ_TASKS: """
        list_task_definitions get_task_definition insighthub_list_tasks insighthub_list_available_tasks
    """,
    Action.SWITCH_TASKS: "switch_task_definition",
    Action.READ_SCHEDULES: """
        list_schedules get_schedule list_schedule_runs list_upcoming_runs
        insighthub_list_schedules insighthub_get_schedule insighthub_search_schedules insighthub_list_schedule_runs
    """,
    Action.MAKE_SCHEDULE: "create_schedule insighthub_create_schedule preview_expression",
    Action.CHANGE_SCHEDULES: """
        replace_schedule change_schedule delete_schedule toggle_schedule run_schedule
        backfill_schedule insighthub_replace_schedule insighthub_change_schedule insighthub_delete_schedule insighthub_toggle_schedule
    """,
    Action.READ_JOBS: """
        list_jobs get_job get_job_result list_job_logs list_job_attempts list_job_artifacts
        download_job_artifact list_job_results get_job_stats list_cancellations
        jobprocessing_list_jobs jobprocessing_get_job jobprocessing_get_job_result jobprocessing_list_job_results
    """,
    Action.MAKE_JOB: "create_job jobprocessing_create_job",
    Action.CHANGE_JOBS: "cancel_job retry_job jobprocessing_delete_job",
    Action.READ_QUEUES: "list_queues",
    Action.SWITCH_QUEUES: "pause_queue resume_queue drain_queue",
    Action.READ_WORKERS: "list_workers",
    Action.READ_METRICS: "get_metrics",
    Action.MAKE_ACCOUNT: "create_account datamanager_create_account",
    Action.READ_ACCOUNT: """
        list_accounts get_account list_account_members list_destinations get_destination
        datamanager_list_accounts datamanager_get_account datamanager_list_account_members
        datamanager_list_destinations datamanager_get_destination
    """,
    Action.CHANGE_ACCOUNT: """
        replace_account change_account delete_account rotate_account_token add_account_member
        change_account_member remove_account_member create_destination delete_destination
        enable_destination test_destination rotate_destination_secret
        datamanager_replace_account datamanager_change_account datamanager_delete_account
        datamanager_add_account_member datamanager_change_account_member
        datamanager_remove_account_member datamanager_create_destination
        datamanager_delete_destination
    """,
    Action.CHANGE_DESTINATIONS: """
        replace_destination change_destination
        datamanager_replace_destination datamanager_change_destination
    """,
    Action.READ_DELIVERIES: """
        get_destination_statistics list_events list_deliveries get_delivery datamanager_list_logs
    """,
    Action.RETRY_DELIVERIES: "retry_delivery replay_destination",
    Action.SEND_EVENTS: "publish_events datamanager_receive_data",
    Action.READ_AUDIT: "list_audit_entries",
    Action.VERIFY_AUDIT: "verify_audit_log list_audit_checkpoints",
    Action.ERASE_PERSONAL_DATA: "erase_personal_data",
    Action.READ_NOTIFICATIONS: "list_notifications",
    Action.CHANGE_NOTIFICATIONS: "mark_notifications_read",
    Action.READ_GOALS: """
        list_goals get_goal list_goal_progress get_progress list_progress export_progress get_quota
        get_weekly_summary get_weekly_summary_of_goal get_monthly_summary
        get_monthly_summary_of_goal get_summary_range
        learnflow_list_goals learnflow_get_goal learnflow_list_goal_progress learnflow_get_progress learnflow_list_progress
        learnflow_get_weekly_summary learnflow_get_weekly_summary_of_goal learnflow_get_monthly_summary
        learnflow_get_monthly_summary_of_goal
    """,
    Action.USE_GOALS: """
        create_goal change_goal delete_goal pause_goal resume_goal archive_goal start_timer
        stop_timer log_progress change_progress delete_progress
        learnflow_create_goal learnflow_change_goal learnflow_delete_goal learnflow_log_progress learnflow_change_progress
        learnflow_delete_progress
    """,
}
"""Routes by the permission they require; every route must be listed."""

PUBLIC = """
    get_health get_liveness get_readiness show_unsubscribe unsubscribe get_schema
    show_api_docs show_api_redoc show_api_schema_swagger_ui show_api_schema_redoc
    get_static_file get_viewer_file
"""
"""Routes without permission: health, documentation, unsubscribe links (RFC 8058)."""

WITHIN = {
    Action.CHANGE_ADDRESS, Action.EXCEED_SCHEDULES, Action.RAISE_JOB_PRIORITY,
    Action.LEAVE_ACCOUNT, Action.READ_ACCOUNT_SECRET,
}  # fmt: skip
"""Actions checked within routes of other actions; tested with the services."""

ALSO = {"datamanager_change_user": Action.ADMINISTER_PEOPLE}
"""Alternative permissions: superusers may change other users."""

WITH_DOCS = HttpSettings(docs=True)
DOCS = {one.name: one for one in docs_operations(DocsRoutes.from_schema(b"", ""))}
ALL = {one.name: one for one in make_operations(build_api(Path()).deps)} | DOCS
PUBLIC_NAMES = {n for n in ALL if n.startswith("redirect_from_")} | set(PUBLIC.split())
ACTIONS = {name: action for action, names in ROUTES.items() for name in names.split()}
OWN_IDS = {"schedule_id", "job_id", "goal_num", "progress_num", "key_id", "session"}
MEMBERS = {Relation.ACCOUNT_ADMIN, Relation.ACCOUNT_NORMAL}
"""Relations to an account: of ada, its Admin, and of nor, a Normal user."""
OPEN = {Action.REGISTER, Action.SIGN_IN, Action.RESET_PASSWORD}


@frozen
class Caller:
    """A caller: the credential, and the actor that it authenticates, if any."""

    credential: Callable[[ApiFixture], str]
    known_as: str | None
    scope: KeyScope | None = None

    def actor(self, api: ApiFixture) -> Actor | None:
        if self.known_as is None:
            return None
        with api.store.view() as tx:
            user = tx.users.by_login(self.known_as)
        assert user is not None
        return Actor.of(user, key_scopes=frozenset([self.scope]) if self.scope else None)


def signed_in(name: str) -> Caller:
    return Caller(lambda api: api.deps.login.login(name, PASSWORD).access, name)


def opaque(name: str) -> Caller:
    return Caller(lambda api: api.deps.login.login_opaque(name, PASSWORD).token.text, name)


def a_key(api: ApiFixture, name: str, scope: KeyScope) -> str:
    """Return a new key and revoke the previous one, as the number of keys is limited."""
    api_keys, actor = api.deps.api_keys, api.actor(name)
    for old in api_keys.list_keys(actor):
        if old.name == scope:
            api_keys.revoke(actor, old.id)
    return api_keys.create(actor, scope, [scope]).text


def with_key(name: str, scope: KeyScope) -> Caller:
    return Caller(lambda api: a_key(api, name, scope), name, scope)


def a_revoked_key(api: ApiFixture) -> str:
    text = a_key(api, "root", KeyScope.ADMIN)
    a_key(api, "root", KeyScope.ADMIN)
    return text


def changed(api: ApiFixture, name: str, **facts: Any) -> str:
    """Return the token of a user whom a superuser has changed since sign-in."""
    user_id, people = api.users[name].id, api.deps.users
    before = UserChange(is_active=True, is_super_user=True)
    people.change(api.actor("root"), user_id, before)
    token = api.deps.login.login(name, PASSWORD).access
    assert api.deps.login.authenticate(token).user_id == user_id
    people.change(api.actor("root"), user_id, UserChange(**facts))
    return token


def signed_in_again(api: ApiFixture) -> str:
    changed(api, "was", is_super_user=False)
    return api.deps.login.login("was", PASSWORD).access


def key_of_deactivated_user(api: ApiFixture) -> str:
    changed(api, "off", is_super_user=False)
    key = a_key(api, "off", KeyScope.ADMIN)
    changed(api, "off", is_active=False)
    return key


CALLERS: Mapping[str, Caller] = {
    "nobody": Caller(lambda _: "", None),
    "garbage": Caller(lambda _: "x.y.z", None),
    "a refresh token": Caller(lambda api: api.deps.login.login("root", PASSWORD).refresh, None),
    "ada, the owner": signed_in("ada"),
    "ada, opaque": opaque("ada"),
    "bob": signed_in("bob"),
    "nor, account Normal": signed_in("nor"),
    "una, unverified": signed_in("una"),
    "pat, platform ADMIN": signed_in("pat"),
    "meg, platform MANAGER": signed_in("meg"),
    "root": signed_in("root"),
    **{f"ada's key, {one}": with_key("ada", one) for one in KeyScope},
    **{f"bob's key, {one}": with_key("bob", one) for one in KeyScope},
    **{f"root's key, {one}": with_key("root", one) for one in KeyScope},
    "una's key": with_key("una", KeyScope.ADMIN),
    "a revoked key": Caller(a_revoked_key, None),
    "demoted": Caller(lambda api: changed(api, "was", is_super_user=False), None),
    "demoted, signed in again": Caller(signed_in_again, "was"),
    "switched off": Caller(lambda api: changed(api, "off", is_active=False), None),
    "the key of a deactivated user": Caller(key_of_deactivated_user, None),
}


def names_for(api: ApiFixture, operation: AnyOperation) -> Mapping[str, Any]:
    """Create the rows that the path names, owned by ada."""
    made: dict[str, Any] = {"name": "default", "file": "x", "token": "x", "task_definition_id": 1}
    made["user_id"] = api.users["ada"].id
    names = set(operation.path_names)
    if "schedule_id" in names:
        made["schedule_id"] = api.schedule("ada", is_active=False)["id"]
    if "job_id" in names:
        made["job_id"] = api.job("ada")["id"]
        api.end(made["job_id"], result={"ok": True})
        api.store_artifact(made["job_id"], "default", b"content", "text/plain")
    if "goal_num" in names:
        made["goal_num"], made["progress_num"] = api.goal("ada")["goal_num"], 1
        api.log(made["goal_num"], "ada")
    if names & {"account_id", "destination_id", "delivery_id"}:
        made["account_id"] = account_id = shared_account(api)
        made["destination_id"] = api.destination(account_id)["id"]
    if "delivery_id" in names:
        api.publish(made["account_id"])
        [row] = api.get(f"/api/v1/accounts/{made['account_id']}/logs").json["results"]
        made["delivery_id"] = api.set_delivery(row["id"], DeliveryState.FAILED, attempts=1).id
    if {"account_id", "user_id"} <= names:
        made["user_id"] = api.join(f"member{len(api.users)}").id
        api.member(made["account_id"], f"member{len(api.users) - 1}")
    if names & {"project_id", "board_id", "task_id", "comment_id", "calendar_id", "policy_id"}:
        made |= Workspace(api).fill()
    ada = api.actor("ada")
    if "key_id" in names:
        made["key_id"] = api.deps.api_keys.create(ada, "one", [KeyScope.READ]).key.id
    if "session" in names:
        other = api.deps.login.login("ada", PASSWORD).access
        made["session"] = api.deps.login.authenticate(other).session_id
    return {name: made[name] for name in names}


def shared_account(api: ApiFixture) -> int:
    """Create an account with the Admin ada and the Normal user nor."""
    account_id = int(api.account("ada")["id"])
    if "nor" in api.users:
        api.member(account_id, "nor")
    return account_id


def body_for(api: ApiFixture, operation: AnyOperation) -> Any:
    """Return the body of an operation that names its account there or in a header."""
    if operation.name == "datamanager_invite":
        return {"email": "new@example.org", "account_id": shared_account(api)}
    if operation.name == "publish_events":
        account_id = shared_account(api)
        api.destination(account_id)
        return {"account": account_id, "event_type": "order.paid", "data": {}}
    return {} if operation.name == "datamanager_receive_data" else None


def headers_for(api: ApiFixture, operation: AnyOperation) -> Mapping[str, str]:
    """Return the headers of an operation that names its account there."""
    if operation.name != "datamanager_receive_data":
        return {}
    account_id = shared_account(api)
    api.destination(account_id)
    account = api.get(f"/api/v1/accounts/{account_id}").json
    return {"CL-X-TOKEN": account["app_secret_token"]}


def needs_verified(operation: AnyOperation) -> bool:
    """Whether Job Processing requires a verified address for the operation."""
    path = operation.path.removeprefix("/api/").removeprefix("v1/")
    return path.split("/")[0] in {"jobs", "job-results"}


def refused_by(actor: Actor | None, operation: AnyOperation, owner: Actor) -> int:
    """Return the status of a refusal by the rules alone, or 0."""
    if actor is None:
        return 401
    action = ACTIONS[operation.name]
    rule = RULES[action]
    if not key_allows(actor, rule.key):
        return 403
    if needs_verified(operation) and not actor.is_email_verified:
        return 403
    if Relation.SIGNED_IN in rule.relations:
        return 0
    if not rule.relations.isdisjoint(MEMBERS):
        return refused_by_membership(actor, operation, owner)
    theirs = bool(OWN_IDS & set(operation.path_names)) or operation.name in ALSO
    is_owned = Relation.OWNER in rule.relations
    whose = owner.user_id if theirs else actor.user_id
    if not rule.relations.isdisjoint(get_relations(actor, whose if is_owned else None)):
        return 0
    if operation.name in ALSO and refused_by_rule(actor, ALSO[operation.name]) == 0:
        return 0
    return 404 if is_owned else 403


def refused_by_membership(actor: Actor, operation: AnyOperation, owner: Actor) -> int:
    """Return the status of a refusal by the actor's role in ada's account, or 0."""
    if not operation.path_names and operation.method == "GET":
        return 0
    role = {owner.username: Relation.ACCOUNT_ADMIN, "nor": Relation.ACCOUNT_NORMAL}
    relations = set(get_relations(actor)) | {role.get(actor.username, Relation.ANYONE)}
    if not RULES[ACTIONS[operation.name]].relations.isdisjoint(relations):
        return 0
    is_hidden = relations.isdisjoint({*MEMBERS, Relation.SUPERUSER})
    if is_hidden and operation.name == "publish_events":
        return 400  # an account in a body that the caller may not see is a field error
    return 404 if is_hidden and operation.path_names else 403


def refused_by_rule(actor: Actor, action: Action) -> int:
    rule = RULES[action]
    related = not rule.relations.isdisjoint(get_relations(actor))
    return 0 if related and key_allows(actor, rule.key) else 403


def a_world(folder: Path, settings: HttpSettings | None = None) -> ApiFixture:
    api = add_users(build_api(folder, settings))
    api.join("pat", role=Role.ADMIN)
    api.join("meg", role=Role.MANAGER)
    api.join("was", is_super_user=True)
    api.join("off")
    api.join("nor")
    return api


def each_on_the_same_rows(api: ApiFixture) -> Iterator[None]:
    """Restore the rows of now before each step, which is cheaper than to create them again."""
    rows = api.store._tables
    while True:
        api.store._tables = rows
        yield


def test_every_route_has_an_entry_and_every_action_has_routes() -> None:
    named = [name for names in ROUTES.values() for name in names.split()]
    assert len(named) == len(set(named))
    assert set(named).isdisjoint(PUBLIC_NAMES)
    of_projects = {name for names in PROJECT_ROUTES.values() for name in names.split()}
    assert set(named) | of_projects | PUBLIC_NAMES == set(ALL)
    assert set(ROUTES) | set(PROJECT_ROUTES) | WITHIN == set(Action)
    assert set(ROUTES).isdisjoint(WITHIN)


def test_the_application_has_no_other_routes(tmp_path: Path) -> None:
    app = build_app(build_api(tmp_path, WITH_DOCS).deps)
    found = {
        (one.method, route.path)
        for route in inspect_routes(app)
        for one in route.methods
        if one.method not in {"HEAD", "OPTIONS"} and not one.internal
    }
    assert found == {(one.method, one.path) for one in ALL.values()}


@pytest.mark.parametrize("name", [n for n in ALL if n in ACTIONS and ACTIONS[n] not in OPEN])
def test_the_table_decides_for_every_caller(tmp_path: Path, name: str) -> None:
    """Every kind of credential is refused or admitted as the rules say."""
    api, operation = a_world(tmp_path), ALL[name]
    path = operation.path.format(**names_for(api, operation))
    named, body = headers_for(api, operation), body_for(api, operation)
    for (kind, caller), _ in zip(CALLERS.items(), each_on_the_same_rows(api), strict=False):
        token = caller.credential(api)
        expected = refused_by(caller.actor(api), operation, api.actor("ada"))
        headers = {**named, **({"Authorization": f"Bearer {token}"} if token else {})}
        status = api.call(operation.method, path, json=body, headers=headers).status_code
        if expected:
            assert status == expected, (kind, status)
        else:
            assert status not in {401, 403, 404}, (kind, status)
            assert status < 500, kind


@pytest.mark.parametrize("name", [n for n in ALL if n in ACTIONS and ACTIONS[n] not in OPEN])
def test_a_cookie_has_its_users_permissions_on_canonical_routes(tmp_path: Path, name: str) -> None:
    api, operation = a_world(tmp_path), ALL[name]
    path = operation.path.format(**names_for(api, operation))
    body = body_for(api, operation) if operation.style is Style.CANONICAL else None
    page = make_page(api, HTTP)
    for username, _ in zip(
        ("ada", "bob", "nor", "una", "root"), each_on_the_same_rows(api), strict=False
    ):
        page.cookie = page.csrf = ""
        page.login(username)
        expected = refused_by(signed_in(username).actor(api), operation, api.actor("ada"))
        if operation.style is not Style.CANONICAL or name == "get_metrics":
            expected = 401
        status = page.ask(operation.method, path, body).status_code
        if expected:
            assert status == expected, (username, status)
        else:
            assert status not in {401, 403, 404}, (username, status)
        forged = page.ask(operation.method, path, Sec_Fetch_Site="cross-site")
        assert forged.status_code in {401, 403}, username


@pytest.mark.parametrize("name", [n for n in ALL if n in PUBLIC_NAMES or ACTIONS.get(n) in OPEN])
def test_public_routes_are_open_to_every_caller(tmp_path: Path, name: str) -> None:
    """With any credential; without a body the response is at worst 400."""
    api, operation = a_world(tmp_path, WITH_DOCS if name in DOCS else None), ALL[name]
    found = set()
    path = operation.path.format(**names_for(api, operation))
    for caller, _ in zip(CALLERS.values(), each_on_the_same_rows(api), strict=False):
        headers = {"Authorization": f"Bearer {caller.credential(api)}"}
        answer = api.call(operation.method, path, headers=headers)
        found.add(answer.status_code)
    assert len(found) == 1
    assert found <= {200, 302, 400, 404}
    assert found == {400} or operation.request is None
