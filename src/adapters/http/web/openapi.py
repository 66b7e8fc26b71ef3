"""OpenAPI 3.1 document, generated from the operation table."""

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, get_args

import attrs
from attrs import define, field

from workbell.adapters.http.web.browser_sessions import CSRF_HEADER, SAFE_METHODS, cookie_name
from workbell.adapters.http.web.operations import (
    JSON,
    PROBLEM,
    Access,
    AnyOperation,
    ListOf,
    Style,
    is_integer_parameter,
)
from workbell.adapters.http.web.problems import Problem, StaleVersionProblem
from workbell.adapters.http.web.request import MAX_ID
from workbell.domain.constraints import COUNT_CAP
from workbell.domain.search.query import MAX_MATCHES
from workbell.ports.serialization import Serializer

Schema = dict[str, Any]

TAGS: Mapping[str, str] = {
    "identity": "Registration, sign-in and account settings; user administration for superusers.",
    "schedules": "Schedules run a task at the times of a cron expression.",
    "jobs": "A job is one execution of a task, with its attempts, logs, files and result.",
    "tasks": "Task definitions, which schedules and jobs run; tasks of boards and their comments.",
    "projects": "Projects, their members and boards, service levels and calendars.",
    "queues": "Queues of waiting jobs, and the worker processes that run them.",
    "goals": "Goals, the time logged towards them, timers and summaries.",
    "notifications": "Notifications, preferences and unsubscribe links.",
    "delivery": "Accounts, their members and destinations, and the delivery of events by webhook.",
    "audit": "The audit log: changes by users, verification, erasure of personal data.",
    "operations": "Health checks, metrics and this document.",
    "InsightHub": "InsightHub API: sign-in, tasks and schedules.",
    "LearnFlow": "LearnFlow API: sign-in, goals, progress and summaries.",
    "DataManager": "DataManager API: sign-in with opaque tokens, accounts and destinations.",
    "Job Processing": "Job Processing API: sign-in by email address, and jobs.",
}
HEADERS: Mapping[str, tuple[str, str]] = {
    "Idempotency-Key": (
        "Repeating a request with the same key and body returns the first result.",
        "order-4711",
    ),
    "If-Match": (
        "The ETag of the version to change. A stale one is rejected with 412.",
        '"v3"',
    ),
    "If-None-Match": (
        "The ETag of a stored response. If it is current, GET returns 304, other methods 412.",
        '"v3-6f1ed002ab559585"',
    ),
}
ACCESS: Mapping[Access, str] = {
    Access.ANYONE: "No authentication required.",
    Access.SELF: "Requires authentication; the email address may be unverified.",
    Access.USER: "Requires authentication.",
    Access.VERIFIED: "Requires authentication and a verified email address.",
    Access.SUPERUSER: "Requires a superuser.",
}

INSIGHTHUB_PROBLEM = "InsightHubProblem"
"""A problem document that also has a member with messages for each invalid field."""
COMPATIBLE = ("/api/", "/users", "/accounts", "/destinations", "/server")
"""Prefixes of compatibility APIs; those below /api/v1/ are canonical."""
CAPPED = (
    f"True if the list has more than {COUNT_CAP:,} entries ({MAX_MATCHES:,} in a search), "
    "the maximum of `count`."
)
SEARCHED = (
    "Present if the filters or the ordering were applied to this many of the newest entries "
    "only, because there are more."
)
DISCLOSES_ACCOUNTS = " The response discloses whether an account has a username or email address."


def make_document(
    operations: Iterable[AnyOperation], serializer: Serializer, version: str, url: str
) -> Schema:
    """Return the OpenAPI document of the operations that are `documented`."""
    components = Components(serializer)
    paths: dict[str, Schema] = {}
    for operation in operations:
        if operation.documented:
            methods = paths.setdefault(_documented_path(operation.path), {})
            methods[operation.method.lower()] = _operation(operation, components)
    components.reference(Problem)
    components.reference(StaleVersionProblem)
    messages = {"type": "array", "items": {"type": "string"}}
    by_field = {**components.schemas[Problem.__name__], "additionalProperties": messages}
    components.schemas[INSIGHTHUB_PROBLEM] = {**by_field, "title": INSIGHTHUB_PROBLEM}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Workbell",
            "version": version,
            "summary": "Cron schedules and background jobs, with a history of every run.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": cookie_name(url)},
                "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
            },
        },
    }


@define
class Components:
    """Component schemas, named after their classes."""

    _serializer: Serializer
    schemas: dict[str, Schema] = field(factory=dict[str, Schema])
    _classes: dict[str, type] = field(factory=dict[str, type])

    def reference(self, cls: type) -> Schema:
        """
        Add the schema of a class and return a reference to it; `str` and `dict` are inline.

        Raises:
            ValueError: Another class has the same name.
        """
        if cls is str:
            return {"type": "string"}
        if cls is dict:
            return {"type": "object", "additionalProperties": True}
        self._claim_names(cls)
        if cls.__name__ not in self.schemas:
            schema = dict(self._serializer.schema(cls))
            schema.pop("$schema", None)
            definitions = schema.pop("$defs", {})
            self.schemas[cls.__name__] = _rewrite_references(schema)
            self._add(definitions)
        return {"$ref": f"#/components/schemas/{cls.__name__}"}

    def properties(self, cls: type) -> Mapping[str, Schema]:
        """Return the schemas of a class's fields."""
        for field_class in _field_classes(cls):
            self._claim_names(field_class)
        schema = self._serializer.schema(cls)
        self._add(schema.get("$defs", {}))
        properties: Mapping[str, Schema] = _rewrite_references(schema["properties"])
        return properties

    def _add(self, definitions: Mapping[str, Schema]) -> None:
        for name, schema in definitions.items():
            self.schemas.setdefault(name, _rewrite_references(schema))

    def _claim_names(self, cls: type) -> None:
        """Reserve the names of a class and of the classes in its fields."""
        claimed = self._classes.setdefault(cls.__name__, cls)
        if claimed is not cls:
            raise ValueError(
                f"Two classes have the schema name {cls.__name__}: "
                f"{claimed.__module__} and {cls.__module__}; rename one."
            )
        for field_class in _field_classes(cls):
            if field_class is not self._classes.get(field_class.__name__):
                self._claim_names(field_class)


def _field_classes(cls: type) -> Iterator[type]:
    """Yield the attrs classes in the types of a class's fields."""
    attrs.resolve_types(cls)
    for attribute in attrs.fields(cls):
        yield from _classes_in(attribute.type)


def _classes_in(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and attrs.has(kind):
        yield kind
    for part in get_args(kind):
        yield from _classes_in(part)


def _rewrite_references(value: Any) -> Any:
    """
    Return a schema whose references point to the document's components.

    Objects without `properties` get an explicit `additionalProperties: true`,
    because client generators would treat them as empty.
    """
    if isinstance(value, dict):
        rewritten = {
            name: inner.replace("#/$defs/", "#/components/schemas/")
            if name == "$ref" and isinstance(inner, str)
            else _rewrite_references(inner)
            for name, inner in value.items()
        }
        if value.get("type") == "object" and "properties" not in value:
            rewritten.setdefault("additionalProperties", True)
        return rewritten
    return [_rewrite_references(inner) for inner in value] if isinstance(value, list) else value


def _documented_path(path: str) -> str:
    """Return the documented path; compatibility APIs end with a slash."""
    is_compatible = path.startswith(COMPATIBLE) and not path.startswith("/api/v1/")
    return f"{path}/" if is_compatible else path


def _operation(operation: AnyOperation, components: Components) -> Schema:
    disclosure = DISCLOSES_ACCOUNTS if operation.discloses_accounts else ""
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": ACCESS[operation.access] + disclosure,
        "tags": [operation.tag],
        "parameters": _parameters(operation, components),
        "responses": _responses(operation, components),
    }
    if operation.access is not Access.ANYONE:
        described["security"] = [{"bearer": []}, *_cookie_security(operation)]
    if operation.request is not None:
        described["requestBody"] = {
            "required": not operation.optional,
            "content": {JSON: {"schema": _request(operation, components)} | _example(operation)},
        }
    return described


def _example(described: object) -> Schema:
    example = getattr(described, "example", None)
    return {} if example is None else {"example": example}


def _cookie_security(operation: AnyOperation) -> list[Schema]:
    if not operation.by_cookie:
        return []
    return [{"cookie": []} if operation.method in SAFE_METHODS else {"cookie": [], "csrf": []}]


def _request(operation: AnyOperation, components: Components) -> Schema:
    """Return the schema of the body; partial operations require no field."""
    assert operation.request is not None
    if operation.max_batch:
        one = components.reference(operation.request)
        several = {"type": "array", "items": one, "minItems": 1, "maxItems": operation.max_batch}
        return {"oneOf": [one, several]}
    if not operation.partial:
        return components.reference(operation.request)
    properties = {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in components.properties(operation.request).items()
    }
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if operation.required:
        schema["required"] = list(operation.required)
    return schema


def _parameters(operation: AnyOperation, components: Components) -> list[Schema]:
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in operation.path_names
    ]
    if operation.query is not None:
        for name, schema in components.properties(operation.query).items():
            parameters.append(_query_parameter(name, schema))
    for name, is_used in (
        ("Idempotency-Key", operation.idempotent),
        ("If-Match", operation.etag and operation.method != "GET"),
        ("If-None-Match", operation.etag),
    ):
        if is_used:
            description, example = HEADERS[name]
            parameters.append(
                {
                    "name": name,
                    "in": "header",
                    "description": description,
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                    "example": example,
                }
            )
    return parameters


def _path_schema(name: str) -> Schema:
    if is_integer_parameter(name):
        return {"type": "integer", "minimum": 1, "maximum": MAX_ID, "examples": [1]}
    return {"type": "string", "minLength": 1}


def _query_parameter(name: str, schema: Mapping[str, Any]) -> Schema:
    plain = _without_null(schema)
    description = plain.pop("description", None)
    parameter: Schema = {"name": name, "in": "query", "schema": plain}
    if description:
        parameter["description"] = description
    if plain.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    return parameter


def _without_null(schema: Mapping[str, Any]) -> Schema:
    """Return a schema without null, which a query string cannot express."""
    rest = {key: value for key, value in schema.items() if key not in {"default", "anyOf"}}
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if schema.get("default") is not None:
        rest["default"] = schema["default"]
    if len(options) == 1:
        return {**options[0], **rest}
    return {**rest, "anyOf": options} if options else rest


def _responses(operation: AnyOperation, components: Components) -> Schema:
    responses: Schema = {}
    for status, body in operation.responses.items():
        response: Schema = {"description": HTTPStatus(status).phrase}
        if status != 204:
            schema = _body(body, components)
            media_types = (PROBLEM,) if _is_problem(body) else operation.media_types
            content = {"schema": schema} | _example(body)
            response["content"] = dict.fromkeys(media_types, content)
        if operation.etag and status != 204:
            response["headers"] = {"ETag": {"schema": {"type": "string"}}}
        if status in {201, 202} and operation.access is not Access.ANYONE:
            response["headers"] = {"Location": {"schema": {"type": "string"}}}
        responses[str(status)] = response
    if operation.etag and operation.method == "GET":
        responses["304"] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    for status in operation.error_statuses:
        problem = _problem_name(operation, status)
        responses.setdefault(str(status), _problem(HTTPStatus(status).phrase, problem))
    responses["default"] = _problem("Any other error.", Problem.__name__)
    return responses


def _is_problem(body: type | ListOf | None) -> bool:
    return isinstance(body, type) and issubclass(body, Problem)


def _problem_name(operation: AnyOperation, status: int) -> str:
    """Return the name of the problem schema for an error status."""
    if operation.style is Style.INSIGHTHUB and status == HTTPStatus.BAD_REQUEST:
        return INSIGHTHUB_PROBLEM
    if status == HTTPStatus.PRECONDITION_FAILED:
        return StaleVersionProblem.__name__
    return Problem.__name__


def _problem(description: str, name: str) -> Schema:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": description, "content": {PROBLEM: {"schema": schema}}}


def _body(body: type | ListOf | None, components: Components) -> Schema:
    if body is None:
        return {}
    if not isinstance(body, ListOf):
        return components.reference(body)
    items: Schema = {"type": "array", "items": components.reference(body.item)}
    if body.plain:
        return {"oneOf": [items["items"], items]} if body.or_one else items
    link = {"type": ["string", "null"], "format": "uri"}
    properties: Schema = {
        "count": {"type": "integer", "minimum": 0},
        "next": link,
        "previous": link,
        "results": items,
        "count_capped": {"type": "boolean", "description": CAPPED},
    }
    if body.windowed:
        properties["search_window"] = {"type": "integer", "minimum": 1, "description": SEARCHED}
    required = ["next", "previous", "results"]
    if not body.history:  # pages by cursor have no count
        required.insert(0, "count")
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
