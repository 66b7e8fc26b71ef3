"""Requests: the classes that services check before they do anything."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import attrs
import pytest

import workbell.services
from workbell.domain.errors import Invalid
from workbell.domain.validation import check_changes

pytestmark = pytest.mark.unit


def request_classes() -> Iterator[type]:
    """Yield the classes of the modules named `requests`, and those named `New...`."""
    for found in pkgutil.walk_packages(workbell.services.__path__, "workbell.services."):
        module = importlib.import_module(found.name)
        for name, cls in inspect.getmembers(module, inspect.isclass):
            is_request = found.name.endswith(".requests") or name.startswith("New")
            if is_request and cls.__module__ == found.name and attrs.has(cls):
                yield cls


CLASSES = sorted(request_classes(), key=lambda cls: cls.__name__)


def test_the_requests_are_found() -> None:
    names = {cls.__name__ for cls in CLASSES}
    assert {"NewJob", "NewSchedule", "NewGoal", "NewWorkItem", "NewDestination"} <= names


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_defaults_of_requests_are_allowed(cls: type) -> None:
    """A default is not checked again with each request."""
    fields = {each.name: each.default for each in attrs.fields(cls)}
    plain = {
        name: default
        for name, default in fields.items()
        if default is not attrs.NOTHING and not hasattr(default, "takes_self")
    }
    check_changes(cls, plain, "is unknown")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_each_field_of_a_request_is_checked(cls: type) -> None:
    """Fields of type `Any` are checked when they are written as JSON."""
    names = [each.name for each in attrs.fields(cls) if each.name not in {"value", "key"}]
    with pytest.raises(Invalid) as refused:
        check_changes(cls, dict.fromkeys(names, object()), "is unknown")
    assert list(refused.value.field_errors) == names
