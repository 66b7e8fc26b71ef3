"""Conventions of every operation: invalid input, headers, problem documents."""

import json
from collections import abc
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NewType, get_args, get_origin

import attrs
import falcon.testing
import pytest
from attrs import evolve

from tests.adapters.http.conftest import A_SCHEDULE, ApiFixture, build_api
from workbell.adapters.http.app import make_operations
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.adapters.http.web.operations import Access, AnyOperation

ALL = {operation.name: operation for operation in make_operations(build_api(Path()).deps)}
WITH_BODY = [name for name, operation in ALL.items() if operation.request]
WITH_FIELDS = [name for name in WITH_BODY if ALL[name].request is not dict]
GETS = [name for name, operation in ALL.items() if operation.method == "GET"]
DEEP = "[" * 5000
MALFORMED = [
    b"", b" ", b"[]", b"null", b'"text"', b"{", b"{}}", b'{"a": NaN}', b'{"a": 1e999}',
    b"\xff\xfe", DEEP.encode(), b'{"a":' * 40 + b"1" + b"}" * 40, b'{"a": "\\ud800"}',
    b'{"a": "\\u0000"}', b'{"a": 1, "a": 2}', b'{"a": 123456789012345678901234567890}',
]  # fmt: skip
REFUSED = {400, 413, 415}
NAIVE = "2026-05-04T12:00:00"


def make_path(operation: AnyOperation) -> str:
    """Return an existing path: every row has the id 1."""
    names = {
        name: 1 if name.endswith(("_id", "_num")) else "default" for name in operation.path_names
    }
    return operation.path.format(**names)


def send(
    api: ApiFixture, operation: AnyOperation, body: bytes, **more: Any
) -> falcon.testing.Result:
    caller = None if operation.access is Access.ANYONE else "root"
    headers = {"Content-Type": "application/json", **more.pop("headers", {})}
    return api.call(
        operation.method, make_path(operation), caller, body=body, headers=headers, **more
    )


def is_problem(
    result: falcon.testing.Result, statuses: set[int], of: object = None
) -> Mapping[str, Any]:
    """Check that the response is a problem document, and return it."""
    assert result.status_code in statuses, (of, result.status_code, result.text)
    assert result.headers["content-type"] == "application/problem+json"
    problem: Mapping[str, Any] = result.json
    members = {"type", "title", "status", "detail", "code", "field_errors", "request_id"}
    assert members <= set(problem)
    assert problem["status"] == result.status_code
    assert problem["request_id"] == result.headers["x-request-id"]
    return problem


def fields(operation: AnyOperation) -> Mapping[str, Any]:
    assert operation.request is not None
    attrs.resolve_types(operation.request)
    return {a.name: a.type for a in attrs.fields(operation.request)}


def kinds(kind: Any) -> Iterator[Any]:
    """Yield the scalar types of a field or of its entries."""
    if get_origin(kind) is Annotated or isinstance(kind, NewType):
        yield from kinds(kind.__supertype__ if isinstance(kind, NewType) else kind.__origin__)
    elif get_origin(kind) is None or get_origin(kind) is abc.Mapping:
        yield get_origin(kind) or kind
    else:
        for part in get_args(kind):
            yield from kinds(part)


def a_body(operation: AnyOperation) -> dict[str, Any]:
    """Return a valid body."""
    whole = {
        **A_SCHEDULE, "email": "new@example.org", "password": "a long enough 1", "otp": "123456",
        "password_confirm": "a long enough 1", "username": "newcomer", "refresh": "x",
        "is_active": True, "name": "n", "scheduled_time": "2027-01-01T00:00:00Z",
        "start": "2026-05-01T00:00:00Z", "end": "2026-05-02T00:00:00Z", "dry_run": True,
        "goal_name": "n", "category": "Minor", "progress": "p", "logged_hours": "01:00:00",
        "url": "https://example.com/", "title": "t", "board": 1, "project": 1, "content": "c",
        "ids": [1], "set": {"priority": "LOW"}, "user_id": 1, "assignee_id": 1, "intervals": {},
    }  # fmt: skip
    if operation.name in {"create_job", "jobprocessing_create_job"}:
        whole |= {"task_definition": "echo", "parameters": {}}
    known = fields(operation)
    return {name: value for name, value in whole.items() if name in known}


@pytest.mark.parametrize("name", WITH_BODY)
def test_a_malformed_body_is_a_problem_document(used: ApiFixture, name: str) -> None:
    for body in MALFORMED:
        may_be_left_out = ALL[name].optional and not body.strip()
        statuses = {409} if may_be_left_out else {400}
        is_problem(send(used, ALL[name], body), statuses, of=body)


@pytest.mark.parametrize("name", WITH_FIELDS)
def test_an_unknown_field_is_named(used: ApiFixture, name: str) -> None:
    body = {**a_body(ALL[name]), "no_such_field": 1}
    problem = is_problem(send(used, ALL[name], json.dumps(body).encode()), {400})
    assert "no_such_field" in problem["field_errors"]


@pytest.mark.parametrize("name", WITH_FIELDS)
def test_every_field_rejects_values_of_another_type(used: ApiFixture, name: str) -> None:
    """Wrong types, long texts, control characters and naive times are named errors."""
    operation = ALL[name]
    for field, kind in fields(operation).items():
        possible = set(kinds(kind))
        is_object = abc.Mapping in possible or attrs.has(kind)
        wrong: list[Any] = ["text", 5, []] if is_object else [{"$": 1.5}, [[]]]
        if str in possible:
            wrong += ["x" * 60_001, "nul\0"]
        if any(k is not str and k is not NoneType for k in possible) and str not in possible:
            wrong += [NAIVE]
        if NoneType not in possible:
            wrong += [None]
        for value in wrong:
            body = {**a_body(operation), field: value}
            result = send(used, operation, json.dumps(body).encode())
            problem = is_problem(result, {400}, of=(field, value))
            at_fault = {path.partition(".")[0] for path in problem["field_errors"]}
            if "\0" not in str(value):
                assert field in at_fault, (field, value, problem)


@pytest.mark.parametrize("name", WITH_FIELDS)
def test_a_lone_surrogate_in_a_text_is_refused(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    for field in a_body(operation):
        body = json.dumps({**a_body(operation), field: "\ud800"}).encode()
        is_problem(send(used, operation, body), {400}, of=field)


@pytest.mark.parametrize("name", WITH_BODY)
def test_a_body_with_another_media_type_is_415(used: ApiFixture, name: str) -> None:
    for kind in ("text/plain", "application/xml", "application/json; charset=latin-1", ""):
        sent = send(used, ALL[name], b'{"a": 1}', headers={"Content-Type": kind})
        is_problem(sent, {415}, of=kind)


@pytest.mark.parametrize("name", WITH_BODY)
def test_a_body_of_more_than_a_mebibyte_is_413(used: ApiFixture, name: str) -> None:
    is_problem(send(used, ALL[name], b" " * (1024 * 1024 + 1)), {413})


@pytest.mark.parametrize("name", GETS)
def test_an_unknown_parameter_is_named(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    caller = None if operation.access is Access.ANYONE else "root"
    for query in ("no_such=1", "a=1&a=2", "x=%00", "x=%ff", "%00=1"):
        result = used.call("GET", make_path(operation), caller, query_string=query)
        problem = is_problem(result, {400}, of=query)
        if query == "no_such=1":
            assert "no_such" in problem["field_errors"]


@pytest.mark.parametrize("name", [name for name, o in ALL.items() if o.query])
def test_every_parameter_rejects_values_of_another_type(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    assert operation.query is not None
    attrs.resolve_types(operation.query)
    for attribute in attrs.fields(operation.query):
        possible = set(kinds(attribute.type))
        values = ["x" * 10_001] if str in possible else ["no%20such", NAIVE, "", "9" * 30]
        for value in values:
            result = used.get(
                make_path(operation), "root", query_string=f"{attribute.name}={value}"
            )
            problem = is_problem(result, {400}, of=(attribute.name, value))
            at_fault = {path.partition(".")[0] for path in problem["field_errors"]}
            assert attribute.name in at_fault, (attribute.name, value)


@pytest.mark.parametrize("name", [name for name, o in ALL.items() if o.path_names])
def test_a_path_with_an_invalid_id_is_404(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    for id_ in ("0", "-1", "x", "1.0", "01", "9" * 19, "9" * 40, "%00", "٣"):
        names = {n: id_ if n.endswith(("_id", "_num")) else "missing" for n in operation.path_names}
        result = used.call(operation.method, operation.path.format(**names), "root")
        is_problem(result, {404}, of=id_)


@pytest.mark.parametrize("name", list(ALL))
def test_the_trailing_slash_is_optional(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    without = used.call("OPTIONS", make_path(operation))
    with_slash = used.call("OPTIONS", make_path(operation) + "/")
    assert without.status_code == with_slash.status_code == 200
    assert operation.method in without.headers["allow"]
    assert without.headers["allow"] == with_slash.headers["allow"]


@pytest.mark.parametrize("name", list(ALL))
def test_an_unsupported_method_is_405_and_lists_the_supported_ones(
    used: ApiFixture, name: str
) -> None:
    operation = ALL[name]
    result = used.call("TRACE", make_path(operation))
    is_problem(result, {405})
    assert operation.method in result.headers["allow"]


@pytest.mark.parametrize("name", GETS)
def test_head_responds_like_get_without_a_body(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    got = used.get(make_path(operation), "root")
    head = used.call("HEAD", make_path(operation), "root")
    assert head.status_code == got.status_code
    assert head.content == b""
    assert set(head.headers) == set(got.headers)


@pytest.mark.parametrize("name", list(ALL))
def test_every_response_has_the_security_headers(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    result = used.call(operation.method, make_path(operation))
    headers = result.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert len(headers["x-request-id"]) == 32
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize("name", [n for n in GETS if "application/json" in ALL[n].media_types])
def test_a_client_that_does_not_accept_json_gets_406(used: ApiFixture, name: str) -> None:
    operation = ALL[name]
    headers = {"Accept": "image/png"}
    is_problem(used.get(make_path(operation), "root", headers=headers), {406})


def test_an_unknown_path_is_a_problem_document(api: ApiFixture) -> None:
    is_problem(api.get("/no/such/address"), {404})


@pytest.mark.parametrize(
    ("given", "taken"), [("abc-1", True), ("x" * 64, True), ("x" * 65, False), ("a b", False)]
)
def test_a_valid_request_id_is_used(api: ApiFixture, given: str, taken: bool) -> None:
    result = api.get("/livez", headers={"X-Request-ID": given})
    assert (result.headers["x-request-id"] == given) is taken


def test_an_unexpected_error_discloses_no_details(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(type(api.store), "ping", fail)
    result = api.get("/api/health/")
    problem = is_problem(result, {500})
    assert problem["code"] == "internal_error"
    assert "secret" not in result.text


def test_a_host_that_is_not_allowed_is_refused(api: ApiFixture) -> None:
    is_problem(api.get("/api/v1/schedules", headers={"Host": "evil.example"}), {400})
    is_problem(api.get("/api/v1/schedules", headers={"Host": "localhost:99999x"}), {400})
    assert api.get("/livez", headers={"Host": "10.0.0.1"}).status_code == 200
    assert api.get("/metrics", "root", headers={"Host": "10.0.0.1"}).status_code == 200
    assert api.get("/api/v1/schedules", headers={"Host": "LOCALHOST:1"}).status_code == 200
    assert api.get("/api/v1/schedules", headers={"Host": "[::1]:80"}).status_code == 200


def test_hsts_is_sent_if_the_public_url_is_https(make_api: Any) -> None:
    api = make_api(HttpSettings(public_url="https://bell.example"))
    headers = api.get("/livez").headers
    assert headers["strict-transport-security"] == "max-age=31536000"


def test_plain_http_is_redirected_to_https_if_configured(make_api: Any) -> None:
    behind = HttpSettings(force_https=True, trusted_proxies=(ip_network("127.0.0.0/8"),))
    api = make_api(behind)
    plain = api.get("/api/v1/schedules?page=2")
    assert plain.status_code == 308
    assert plain.headers["location"] == "https://localhost/api/v1/schedules?page=2"
    assert api.get("/livez").status_code == 200
    for said, status in ("https", 200), ("http, HTTPS", 200), ("https, http", 308):
        answer = api.get("/api/v1/schedules", headers={"X-Forwarded-Proto": said})
        assert answer.status_code == status, said
    directly = make_api(evolve(behind, trusted_proxies=()))
    claimed = directly.get("/api/v1/schedules", headers={"X-Forwarded-Proto": "https"})
    assert claimed.status_code == 308


def test_options_for_the_whole_server_returns_204(api: ApiFixture) -> None:
    """`*` is not a path; only OPTIONS may use it."""
    environ = {
        **falcon.testing.create_environ("/", method="OPTIONS", host="localhost"),
        "PATH_INFO": "*",
    }
    started = falcon.testing.StartResponseMock()
    assert list(api.client.app(environ, started)) == []
    assert started.status == "204 No Content"


def test_cors_is_allowed_for_configured_origins_only(api: ApiFixture, make_api: Any) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
    }
    closed = api.call("OPTIONS", "/api/v1/jobs", headers=asked)
    assert "access-control-allow-origin" not in closed.headers

    shared = make_api(HttpSettings(cors_origins=("https://app.example",)))
    preflight = shared.call("OPTIONS", "/api/v1/jobs", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    got = shared.get("/livez", headers={"Origin": "https://app.example"})
    assert got.headers["access-control-allow-origin"] == "https://app.example"
    assert "Origin" in got.headers["vary"]
    other = shared.get("/livez", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_existence_is_checked_before_the_body(api: ApiFixture) -> None:
    for name in WITH_BODY:
        operation = ALL[name]
        if any(n.endswith(("_id", "_num")) for n in operation.path_names):
            # an empty store has task definition 1 and user 1
            exists = any(part in operation.path for part in ("/task-definitions/", "/users/"))
            result = api.call(operation.method, make_path(operation), "root", body=b"[")
            is_problem(result, {415} if exists else {404})
