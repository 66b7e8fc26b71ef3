"""OpenAPI 3.1, made from the operation table and the classes' schemas."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    is_number,
)
from workbell.adapters.http.web.problems import Problem, StaleVersionProblem
from workbell.adapters.http.web.request import MAX_ID
from workbell.domain.constraints import COUNT_CAP
from workbell.ports.serialization import Serializer

Schema = dict[str, Any]

TAGS: Mapping[str, str] = {
    "identity": "Register, sign in, look after one's own account; superusers: after people.",
    "schedules": "One task, run whenever a cron expression fires.",
    "jobs": "Pieces of work, and what came of them.",
    "tasks": "What can be run.",
    "queues": "Where work waits, and who does it.",
    "goals": "What somebody wants to reach, and the time that goes into it.",
    "notifications": "Which mails somebody wants, and how to get no more of them.",
    "operations": "Health, metrics and this document.",
    "InsightHub": "InsightHub's routes: sign-in, tasks, and schedules in its format.",
    "LearnFlow": "LearnFlow's routes: sign-in, goals, progress and summaries.",
    "DataManager": "DataManager's routes: sign-in with opaque tokens, and users.",
    "Job Processing": "Job Processing's routes: sign-in by email, and jobs with its statuses.",
}
HEADERS: Mapping[str, tuple[str, str]] = {
    "Idempotency-Key": (
        "The same key and body answer the job that was made first.",
        "order-4711",
    ),
    "If-Match": ("The ETag that was read; if it is stale, nothing is changed (412).", '"v3"'),
}
WHO: Mapping[Access, str] = {
    Access.ANYONE: "Anyone may call this.",
    Access.SELF: "For signed-in users, verified or not.",
    Access.USER: "For signed-in users.",
    Access.VERIFIED: "For signed-in users whose e-mail address is verified.",
    Access.SUPERUSER: "For superusers.",
}

INSIGHTHUB_PROBLEM = "InsightHubProblem"
"""A problem with each field at fault as a member of its own, a list of messages."""
CAPPED = f"True where the list is longer than {COUNT_CAP:,}, at which counting stops."
REVEALS = " A name or an address that somebody has is told as such."


def document(
    operations: Iterable[AnyOperation], serializer: Serializer, version: str, url: str
) -> Schema:
    """Return the OpenAPI document of the documented operations."""
    components = Components(serializer)
    paths: dict[str, Schema] = {}
    for operation in operations:
        if operation.documented:
            at_path = paths.setdefault(_shown_path(operation.path), {})
            at_path[operation.method.lower()] = _operation(operation, components)
    components.of(Problem)
    components.of(StaleVersionProblem)
    messages = {"type": "array", "items": {"type": "string"}}
    by_field = {**components.schemas[Problem.__name__], "additionalProperties": messages}
    components.schemas[INSIGHTHUB_PROBLEM] = {**by_field, "title": INSIGHTHUB_PROBLEM}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Workbell",
            "version": version,
            "summary": "Schedules, jobs, and proof that they ran.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
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
    """The schemas of classes, each under the name of its class."""

    _serializer: Serializer
    schemas: dict[str, Schema] = field(factory=dict[str, Schema])
    _classes: dict[str, type] = field(factory=dict[str, type])

    def of(self, cls: type) -> Schema:
        """
        Return a reference to a class's schema; text is its own.

        Raises:
            ValueError: Another class has the same name.
        """
        if cls is str:
            return {"type": "string"}
        self._claim_names(cls)
        if cls.__name__ not in self.schemas:
            whole = dict(self._serializer.schema(cls))
            whole.pop("$schema", None)
            parts = whole.pop("$defs", {})
            self.schemas[cls.__name__] = _relocated(whole)
            for name, part in parts.items():
                self.schemas.setdefault(name, _relocated(part))
        return {"$ref": f"#/components/schemas/{cls.__name__}"}

    def properties(self, cls: type) -> Mapping[str, Schema]:
        """Return the schemas of a class's fields."""
        for held in _field_classes(cls):
            self._claim_names(held)
        whole = self._serializer.schema(cls)
        for name, part in whole.get("$defs", {}).items():
            self.schemas.setdefault(name, _relocated(part))
        found: Mapping[str, Schema] = _relocated(whole["properties"])
        return found

    def _claim_names(self, cls: type) -> None:
        """Reserve the names of a class and of the classes in its fields."""
        known = self._classes.setdefault(cls.__name__, cls)
        if known is not cls:
            raise ValueError(
                f"Two classes have the schema name {cls.__name__}: "
                f"{known.__module__} and {cls.__module__}; rename one."
            )
        for held in _field_classes(cls):
            if held is not self._classes.get(held.__name__):
                self._claim_names(held)


def _field_classes(cls: type) -> Iterator[type]:
    """Yield the attrs classes that the fields of a class hold."""
    attrs.resolve_types(cls)
    for attribute in attrs.fields(cls):
        yield from _classes_in(attribute.type)


def _classes_in(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and attrs.has(kind):
        yield kind
    for part in get_args(kind):
        yield from _classes_in(part)


def _relocated(value: Any) -> Any:
    """
    Return a schema whose references point to the document's components.

    An object without members says that it admits any: generators of clients
    would read it as an empty one.
    """
    if isinstance(value, dict):
        found = {
            name: inner.replace("#/$defs/", "#/components/schemas/")
            if name == "$ref" and isinstance(inner, str)
            else _relocated(inner)
            for name, inner in value.items()
        }
        if value.get("type") == "object" and "properties" not in value:
            found.setdefault("additionalProperties", True)
        return found
    return [_relocated(inner) for inner in value] if isinstance(value, list) else value


def _shown_path(path: str) -> str:
    """Return a path as it is documented: with a slash at the end but for our own ones."""
    own = path.startswith("/api/v1/") or not path.startswith(("/api/", "/users"))
    return path if own else f"{path}/"


def _operation(operation: AnyOperation, components: Components) -> Schema:
    found: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": WHO[operation.who] + (REVEALS if operation.reveals else ""),
        "tags": [operation.tag],
        "parameters": _parameters(operation, components),
        "responses": _responses(operation, components),
    }
    if operation.who is not Access.ANYONE:
        found["security"] = [{"bearer": []}, *_cookie(operation)]
    if operation.request is not None:
        found["requestBody"] = {
            "required": not operation.optional,
            "content": {JSON: {"schema": _request(operation, components)}},
        }
    return found


def _cookie(operation: AnyOperation) -> list[Schema]:
    """Return what a browser's session needs, where it serves."""
    if not operation.by_cookie:
        return []
    return [{"cookie": []} if operation.method in SAFE_METHODS else {"cookie": [], "csrf": []}]


def _request(operation: AnyOperation, components: Components) -> Schema:
    """Return the body's schema; in a partial one nothing is required."""
    assert operation.request is not None
    if not operation.partial:
        return components.of(operation.request)
    properties = {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in components.properties(operation.request).items()
    }
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if operation.method == "PUT":
        found["required"] = ["cron_expression"]
    return found


def _parameters(operation: AnyOperation, components: Components) -> list[Schema]:
    found: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in operation.path_names
    ]
    if operation.query is not None:
        for name, schema in components.properties(operation.query).items():
            found.append(_query_parameter(name, schema))
    for name, used in (
        ("Idempotency-Key", operation.idempotent),
        ("If-Match", operation.etag and operation.method != "GET"),
    ):
        if used:
            said, example = HEADERS[name]
            found.append(
                {
                    "name": name,
                    "in": "header",
                    "description": said,
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                    "example": example,
                }
            )
    return found


def _path_schema(name: str) -> Schema:
    if is_number(name):
        return {"type": "integer", "minimum": 1, "maximum": MAX_ID, "examples": [1]}
    return {"type": "string", "minLength": 1}


def _query_parameter(name: str, schema: Mapping[str, Any]) -> Schema:
    plain = _without_null(schema)
    said = plain.pop("description", None)
    found: Schema = {"name": name, "in": "query", "schema": plain}
    if said:
        found["description"] = said
    if plain.get("type") == "array":
        found |= {"style": "form", "explode": False}
    return found


def _without_null(schema: Mapping[str, Any]) -> Schema:
    """Return a schema without null, which no query string can give."""
    rest = {key: value for key, value in schema.items() if key not in {"default", "anyOf"}}
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if schema.get("default") is not None:
        rest["default"] = schema["default"]
    if len(options) == 1:
        return {**options[0], **rest}
    return {**rest, "anyOf": options} if options else rest


def _responses(operation: AnyOperation, components: Components) -> Schema:
    found: Schema = {}
    for status, answer in operation.answers.items():
        response: Schema = {"description": HTTPStatus(status).phrase}
        if status != 204:
            schema = _answer(answer, components)
            media_types = (PROBLEM,) if _is_problem(answer) else operation.media
            response["content"] = {media: {"schema": schema} for media in media_types}
        if operation.etag and status != 204:
            response["headers"] = {"ETag": {"schema": {"type": "string"}}}
        if status in {201, 202} and operation.who is not Access.ANYONE:
            response["headers"] = {"Location": {"schema": {"type": "string"}}}
        found[str(status)] = response
    for status in operation.error_statuses:
        problem = _problem_name(operation, status)
        found.setdefault(str(status), _problem(HTTPStatus(status).phrase, problem))
    found["default"] = _problem("Any other error.", Problem.__name__)
    return found


def _is_problem(answer: type | ListOf | None) -> bool:
    return isinstance(answer, type) and issubclass(answer, Problem)


def _problem_name(operation: AnyOperation, status: int) -> str:
    """Return the schema name of the problem that an operation answers with a status."""
    if operation.style is Style.INSIGHTHUB and status == HTTPStatus.BAD_REQUEST:
        return INSIGHTHUB_PROBLEM
    if status == HTTPStatus.PRECONDITION_FAILED:
        return StaleVersionProblem.__name__
    return Problem.__name__


def _problem(said: str, name: str) -> Schema:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": said, "content": {PROBLEM: {"schema": schema}}}


def _answer(answer: type | ListOf | None, components: Components) -> Schema:
    if answer is None:
        return {}
    if not isinstance(answer, ListOf):
        return components.of(answer)
    items: Schema = {"type": "array", "items": components.of(answer.item)}
    if answer.plain:
        return items
    link = {"type": ["string", "null"], "format": "uri"}
    properties: Schema = {
        "count": {"type": "integer", "minimum": 0},
        "next": link,
        "previous": link,
        "results": items,
        "count_capped": {"type": "boolean", "description": CAPPED},
    }
    required: Sequence[str] = ("count", "next", "previous", "results")
    if answer.history:
        required = required[1:]  # a page by cursor has no count
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
