"""Hostile requests: privilege escalation, forged headers, log injection."""

import json
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from attrs import fields

from tests.adapters.http.conftest import PASSWORD, ApiFixture, build_api
from tests.adapters.http.web.test_permission_matrix import names_for
from workbell.adapters.http.app import make_operations
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.adapters.http.web.operations import Access, AnyOperation
from workbell.domain.identity.user import Role, Tier, User

ALL = {operation.name: operation for operation in make_operations(build_api(Path()).deps)}
PRIVILEGES: dict[str, Any] = {
    "role": "ADMIN",
    "tier": "premium",
    "is_super_user": True,
    "is_email_verified": True,
    "is_active": True,
    "is_staff": True,
    "is_superuser": True,
    "id": 4,
    "user_id": 4,
    "owner": 4,
    "token_version": 0,
    "password_hash": "x",
}
REQUIRED = {"cron_expression": "0 9 * * *", "url": "https://example.com/"}
"""Values of the fields that partial operations require."""
LOGIN = "/api/v1/auth/login"
FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("name", [name for name, one in ALL.items() if one.request])
def test_no_route_grants_privileges_from_the_request_body(api: ApiFixture, name: str) -> None:
    """Additional fields in a body never change privileges."""
    operation = ALL[name]
    names = dict.fromkeys(operation.path_names, api.users["ada"].id)
    for field, wish in PRIVILEGES.items():
        new = f"new{field}"
        body = {
            "username": new, "email": f"{new}@example.org", "password": "a compiler, 1952",
            "password_confirm": "a compiler, 1952", "first_name": "N", field: wish,
        }  # fmt: skip
        for bodies in (body, {field: wish}):
            api.tokens["ada"] = api.deps.login.login("ada", PASSWORD).access
            api.call(operation.method, operation.path.format(**names), "ada", bodies)
        with api.store.view() as tx:
            ada, made = tx.users.by_login("ada"), tx.users.by_login(new)
        assert ada is not None
        is_nobody_special(ada)
        assert ada.is_email_verified
        assert ada.tier is Tier.FREE
        if made is not None:
            is_nobody_special(made)
            assert not made.is_email_verified
            assert made.tier is Tier.FREE or name in {"register", "learnflow_register"}


GRANTED: dict[str, set[str]] = {
    "register": {"role", "tier", "is_super_user"},
    "learnflow_register": {"tier"},
    "change_user": {"role", "tier", "is_super_user"},
    "add_project_member": {"role"},
}
"""Routes with privileged fields: registration, user administration, roles in projects."""


@pytest.mark.parametrize(
    "name", [name for name, one in ALL.items() if one.request not in {None, dict}]
)
def test_a_privileged_field_is_refused_by_name(api: ApiFixture, name: str) -> None:
    """The field is not ignored silently."""
    operation = ALL[name]
    caller = "root" if operation.access is Access.SUPERUSER else "ada"
    needed = {name: REQUIRED[name] for name in operation.required}
    for field in (
        PRIVILEGES.keys() - {"id", "user_id", "owner", "is_active"} - GRANTED.get(name, set())
    ):
        path = operation.path.format(**names_for(api, operation))
        answer = api.call(operation.method, path, caller, {**needed, field: PRIVILEGES[field]})
        assert answer.status_code == 400, field
        assert answer.json["field_errors"].keys() >= {field}, field


@pytest.mark.parametrize("field", ["role", "is_super_user"])
def test_registration_with_a_privileged_field_requires_a_superuser(
    api: ApiFixture, field: str
) -> None:
    body = {"email": "new@example.org", "password": "a compiler, 1952"}
    answer = api.post("/api/v1/auth/users", None, {**body, field: PRIVILEGES[field]})
    assert answer.status_code == 400
    assert answer.json["field_errors"].keys() == {field}


def is_nobody_special(user: User) -> None:
    assert user.role is Role.MEMBER
    assert not user.is_super_user
    assert user.password_hash != "x"
    assert user.id != 4


@pytest.mark.parametrize(
    "agent", ["a\r\nX-Injected: 1", "a\nlevel=critical user=root", "\x1b[2J", "x" * 9000, "é"]
)
def test_a_user_agent_cannot_inject_into_log_or_audit_trail(api: ApiFixture, agent: str) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = api.post(
            LOGIN, None, {"username": "ada\r\nroot", "password": "x\r\n"},
            headers={"User-Agent": agent.encode().decode("latin-1")},
        )  # fmt: skip
    assert answer.status_code == 401
    assert "x-injected" not in answer.headers
    for line in lines:
        assert "\n" not in json.dumps(line, default=str)
    with api.store.view() as tx:
        [entry] = tx.audit.latest(limit=1)
    assert entry.action == "LOGIN_FAILED"
    assert len(entry.user_agent) <= 256
    assert "root" not in str(entry.changes)


@pytest.mark.parametrize("found", ["a b", "x" * 65, "a\tb", "é", ""])
def test_an_invalid_request_id_is_replaced(api: ApiFixture, found: str) -> None:
    headers = {"X-Request-ID": found.encode().decode("latin-1")}
    answer = api.get("/livez", None, headers=headers)
    assert answer.headers["x-request-id"] not in {found, ""}


def test_no_secret_is_logged_or_audited(api: ApiFixture) -> None:
    with structlog.testing.capture_logs() as lines:
        login = api.post(LOGIN, None, {"username": "ada", "password": PASSWORD}).json
        api.post(LOGIN, None, {"username": "ada", "password": "a wrong one 99"})
        api.post("/api/v1/auth/password/reset", None, {"email": "ada@example.org"})
        code = api.mail.code()
        made = api.post("/api/v1/auth/api-keys", "ada", {"name": "k", "scopes": ["read"]}).json
        api.tokens["robot"] = made["key"]
        api.get("/api/v1/auth/users/me", "robot")
        api.post("/api/v1/auth/refresh", None, {"refresh": login["refresh"]})
        opaque = {"email": "ada@example.org", "password": PASSWORD}
        token = api.post("/users/login/", None, opaque).json["token"]
    with api.store.view() as tx:
        trail = str(tx.audit.latest(limit=100))
    secrets = (PASSWORD, "a wrong one 99", login["access"], login["refresh"], code,
               made["key"].rpartition("_")[2], token.rpartition("_")[2])  # fmt: skip
    for secret in secrets:
        assert secret not in str(lines)
        assert secret not in trail


def test_forwarded_addresses_are_ignored_unless_the_proxy_is_trusted(
    api: ApiFixture, make_api: Callable[[HttpSettings], ApiFixture]
) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}

    def address(one: ApiFixture) -> str:
        one.post(LOGIN, None, {"username": "x", "password": "y"}, headers=forged)
        with one.store.view() as tx:
            return tx.audit.latest(limit=1)[0].address

    assert address(api) == "127.0.0.1"
    behind = make_api(HttpSettings(trusted_proxies=(ip_network("127.0.0.0/8"),)))
    assert address(behind) == "198.51.100.7"


def list_fields(operation: AnyOperation) -> frozenset[str]:
    """Return the field names of an operation's body."""
    taken: Any = operation.request
    return frozenset(one.name for one in fields(taken)) if taken else frozenset()


NAMING = [
    name
    for name, one in ALL.items()
    if one.access is Access.ANYONE and {"email", "username"} & list_fields(one)
]


@pytest.mark.parametrize("name", NAMING)
def test_responses_do_not_disclose_whether_an_account_exists(api: ApiFixture, name: str) -> None:
    """Except for operations that are documented to disclose it."""
    operation = ALL[name]
    taken = list_fields(operation)
    answers = []
    for caller in ("ada", "una", "nobody"):
        known = {"email": f"{caller}@example.org", "password": "a compiler, 1952", "otp": "123456"}
        body = {key: value for key, value in known.items() if key in taken}
        if "email" not in taken or name in {"learnflow_register", "insighthub_register"}:
            body["username"] = caller
        if name == "insighthub_register":
            body |= {"first_name": "A", "last_name": "B", "password_confirm": known["password"]}
        answers.append(api.call("POST", operation.path, None, body, headers=FROM_OUR_PAGE))
    headers = [{k: v for k, v in one.headers.items() if k != "x-request-id"} for one in answers]
    texts = [one.text.replace(one.headers["x-request-id"], "") for one in answers]
    alike = texts[0] == texts[1] == texts[2] and headers[0] == headers[1] == headers[2]
    assert (
        alike and len({one.status_code for one in answers}) == 1
    ) is not operation.discloses_accounts
