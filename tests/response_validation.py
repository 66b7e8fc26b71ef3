"""Validation of JSON responses against the OpenAPI document."""

import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from attrs import define, field
from falcon.routing import CompiledRouter

from workbell.adapters.http.app import AppDependencies, make_openapi

JSON_TYPES = ("application/json", "application/problem+json")
WITHOUT_BODY = frozenset({304, 308})
"""Not Modified, and the redirect from HTTP, which precedes every operation."""
UNDOCUMENTED_STATUSES = frozenset({405, 406, 500, 503})
"""Errors that every operation may return, documented as `default`."""
REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')


@define
class ResponseValidator:
    """The responses of every operation in the document, each schema compiled once."""

    document: Mapping[str, Any]
    _router: CompiledRouter = field(init=False, factory=CompiledRouter)
    _compiled: dict[str, jsonschema_rs.Validator] = field(
        init=False, factory=dict[str, jsonschema_rs.Validator]
    )

    def __attrs_post_init__(self) -> None:
        for path in self.document["paths"]:
            self._router.add_route(path.rstrip("/"), _Path(path))

    def check(self, method: str, path: str, status: int, media_type: str, body: Any) -> None:
        """
        Check a response; undocumented operations are not checked.

        Raises:
            AssertionError: The status, the media type or the body is not as documented.
        """
        media_type = media_type.partition(";")[0]
        found = self._router.find(path.partition("?")[0].rstrip("/"))
        if found is None or status in WITHOUT_BODY:
            return
        template: str = found[0].template  # type: ignore[attr-defined]  # set by add_route
        operation = self.document["paths"][template].get(method.lower())
        if operation is None:
            return
        responses = operation["responses"]
        where = f"{method} {path} -> {status}"
        response = responses.get(str(status))
        if response is None:
            assert status in UNDOCUMENTED_STATUSES, f"{where} is not documented"
            response = responses["default"]
        content = response.get("content", {})
        if media_type not in JSON_TYPES or "*/*" in content:
            return
        assert media_type in content, f"{where}: {media_type} is not documented"
        errors = [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._validator(content[media_type]["schema"]).iter_errors(body)
        ]
        assert not errors, f"{where} is not as documented: {errors[:5]}"

    def _validator(self, schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
        """Compile a schema with only what it refers to: a validator copies all it is given."""
        key = json.dumps(schema)
        if key not in self._compiled:
            schemas = self.document["components"]["schemas"]
            needed: dict[str, Any] = {}
            found = REFERENCE.findall(key)
            while found:
                if (name := found.pop()) not in needed:
                    needed[name] = schemas[name]
                    found += REFERENCE.findall(json.dumps(needed[name]))
            whole = {**schema, "components": {"schemas": needed}}
            self._compiled[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._compiled[key]


_VALIDATORS: list[ResponseValidator] = []


def response_validator(dependencies: AppDependencies) -> ResponseValidator:
    """Return the validator of this process, created once."""
    if not _VALIDATORS:
        _VALIDATORS.append(ResponseValidator(json.loads(make_openapi(dependencies, "/"))))
    return _VALIDATORS[0]


@define
class _Path:
    """A documented path, as the router's resource."""

    template: str
