"""The operation table: handlers read the classes that it declares."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from inspect import unwrap
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import attrs
import pytest

from tests.adapters.http.conftest import build_api
from workbell.adapters.http.app import make_operations
from workbell.adapters.http.web.operations import AnyOperation, Handler
from workbell.domain.constraints import FIRST_DAY, LAST_DAY, find_constraints

pytestmark = pytest.mark.unit

ALL = {operation.name: operation for operation in make_operations(build_api(Path()).deps)}


def classes_read(handler: Handler[Any, Any]) -> tuple[Any, Any]:
    """Return the body and query classes of a handler's annotation; `object` for none."""
    hints = get_type_hints(unwrap(handler))
    kinds = [kind for name, kind in hints.items() if name != "return"]
    body, query = get_args(kinds[-1]) if kinds and get_args(kinds[-1]) else (object, object)
    return body, query


def declared(operation: AnyOperation) -> tuple[Any, Any]:
    body = Mapping[str, Any] if operation.partial else operation.request
    return body, operation.query


@pytest.mark.parametrize("name", ALL)
def test_a_handler_reads_only_the_classes_its_operation_declares(name: str) -> None:
    """Type checkers compare declared classes; this test finds undeclared ones."""
    for read, given in zip(classes_read(ALL[name].handler), declared(ALL[name]), strict=True):
        assert read is object or given is not None


def unbounded_times(path: str, kind: Any) -> Iterator[str]:
    """Yield the paths of the dates and times of a type that have no bounds."""
    if get_origin(kind) is Annotated:
        constraints = find_constraints(kind.__metadata__)
        bounds = constraints and (constraints.first_day, constraints.last_day)
        if bounds == (FIRST_DAY, LAST_DAY):
            return
    if kind in (date, datetime):
        yield path
    elif isinstance(kind, type) and attrs.has(kind):
        for name, inner in get_type_hints(kind, include_extras=True).items():
            yield from unbounded_times(f"{path}.{name}", inner)
    for part in get_args(kind):
        yield from unbounded_times(path, part)


@pytest.mark.parametrize("name", ALL)
def test_every_time_of_a_request_is_bounded(name: str) -> None:
    operation = ALL[name]
    for kind in (operation.request, operation.query):
        assert list(unbounded_times(name, kind)) == []
