"""The OpenAPI document: valid, complete, and equal to the operation table."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pytest
from openapi_spec_validator import validate

from tests.adapters.http.conftest import ApiFixture
from workbell.adapters.http.web.openapi import Components
from workbell.adapters.serialization.serializer import JsonSerializer


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_document_is_valid(documented: ApiFixture) -> None:
    document = documented.get("/api/schema/", None).json
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "/"}]
    validate(document)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_every_operation_is_described(documented: ApiFixture) -> None:
    document = documented.get("/api/schema/", None).json
    described = {operation["operationId"]: operation for *_, operation in operations(document)}
    table = {operation.name: operation for operation in documented.operations()}
    assert set(table) | {"get_schema"} == set(described)
    for name, operation in table.items():
        entry = described[name]
        assert entry["summary"].endswith(".")
        assert entry["tags"] == [operation.tag]
        assert set(map(str, operation.error_statuses)) <= set(entry["responses"])
        assert ("requestBody" in entry) is (operation.request is not None)
        assert ("discloses whether" in entry["description"]) is operation.discloses_accounts
        assert ("security" in entry) is (operation.access != "anyone")
    tags = {tag["name"] for tag in document["tags"]}
    assert {operation.tag for operation in table.values()} <= tags


def test_headers_that_an_operation_reads_are_described(documented: ApiFixture) -> None:
    document = documented.get("/api/schema/", None).json
    create = document["paths"]["/api/v1/jobs"]["post"]
    assert [p["name"] for p in create["parameters"]] == ["Idempotency-Key"]
    change = document["paths"]["/api/v1/schedules/{schedule_id}"]["patch"]
    assert [p["name"] for p in change["parameters"]] == ["schedule_id", "If-Match", "If-None-Match"]
    assert "required" not in change["requestBody"]["content"]["application/json"]["schema"]


def test_the_document_is_served_as_json_or_yaml_and_cacheable(documented: ApiFixture) -> None:
    got = documented.get("/api/schema/", None)
    assert got.headers["content-type"] == "application/json"
    for accept in ("application/yaml", "text/yaml, application/yaml"):
        yaml = documented.get("/api/schema/", None, headers={"Accept": accept})
        assert yaml.headers["content-type"] == "application/yaml"
        assert json.loads(yaml.text) == got.json
    again = documented.get("/api/schema/", None, headers={"If-None-Match": got.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    changed = documented.get("/api/schema/", None, headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


def two_classes() -> tuple[type, type]:
    """Return two classes with the same name in two modules."""
    first = attrs.make_class("PageBody", {"page": attrs.field(type=int)}, frozen=True)
    second = attrs.make_class("PageBody", {"text": attrs.field(type=str)}, frozen=True)
    first.__module__, second.__module__ = "context.books", "context.letters"
    return first, second


def test_two_classes_with_the_same_name_are_refused_and_named() -> None:
    first, second = two_classes()
    components = Components(JsonSerializer())
    components.reference(first)
    components.reference(first)
    with pytest.raises(ValueError, match=r"PageBody: context\.books and context\.letters"):
        components.reference(second)


def test_a_class_in_a_field_with_the_same_name_is_refused() -> None:
    first, second = two_classes()
    holder = attrs.make_class("Book", {"pages": attrs.field(type=Sequence[second | None])})  # type: ignore[valid-type]
    for look in (Components.reference, Components.properties):
        components = Components(JsonSerializer())
        components.reference(first)
        with pytest.raises(ValueError, match="Two classes have the schema name PageBody"):
            look(components, holder)


def test_compatibility_apis_are_named_after_their_products(documented: ApiFixture) -> None:
    text = documented.get("/api/schema/", None).text
    assert not re.search(r"[Ss]ource (system )?[A-E]\b", text)
    assert not re.search(r'"(operationId|title)": ?"([A-E][A-Z][a-z]|[a-e]_)', text)
    document = json.loads(text)
    products = {"InsightHub", "LearnFlow", "DataManager", "Job Processing"}
    assert products <= {tag["name"] for tag in document["tags"]}
