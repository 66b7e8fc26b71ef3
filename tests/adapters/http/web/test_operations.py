"""The operation table: handlers read the classes that it declares."""

from collections.abc import Mapping
from inspect import unwrap
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from tests.adapters.http.conftest import build_api
from workbell.adapters.http.app import make_operations
from workbell.adapters.http.web.operations import AnyOperation, Handler

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
