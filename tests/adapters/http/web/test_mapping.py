"""copy_fields: fields of the same name are copied, given values win."""

import pytest
from attrs import frozen

from workbell.adapters.http.web.mapping import copy_fields

pytestmark = pytest.mark.unit


@frozen(kw_only=True)
class Source:
    """A class of an inner layer."""

    name: str
    secret: str = "s"
    size: int = 1


@frozen(kw_only=True)
class Body:
    """A response body."""

    name: str
    size: int
    url: str = ""


def test_common_fields_are_copied_and_given_values_win() -> None:
    assert copy_fields(Body, Source(name="a"), size=2) == Body(name="a", size=2)


def test_a_required_field_that_the_source_lacks_is_an_error() -> None:
    with pytest.raises(TypeError, match="name"):
        copy_fields(Body, object())
