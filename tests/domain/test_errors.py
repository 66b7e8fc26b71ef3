"""Errors: every family has a message for the user."""

import pytest

from workbell.domain.errors import (
    Conflict,
    Invalid,
    LimitReached,
    NotFound,
    StaleVersion,
    Throttled,
    Unavailable,
    WorkbellError,
)

pytestmark = pytest.mark.unit


def test_an_error_has_the_given_message() -> None:
    assert NotFound("There is no job 7.").detail == "There is no job 7."


def test_an_error_without_a_message_uses_its_docstring() -> None:
    """Of a longer docstring, the first line."""
    assert NotFound().detail == "The object does not exist, or you are not allowed to see it."
    assert LimitReached().detail == "The limit on the number of objects is reached."


def test_a_subclass_that_passes_no_message_still_has_one() -> None:
    """A task may raise its own class, with a constructor of its own."""

    class WithoutMessage(Invalid):
        """Something was wrong."""

        def __init__(self) -> None:
            pass

    class WithoutDocstring(WithoutMessage):
        __doc__ = None

    assert WithoutMessage().detail == "Something was wrong."
    assert WithoutDocstring().detail == "invalid"


def test_an_invalid_field_is_named_in_the_detail() -> None:
    error = Invalid.field("parameters.to", "must not be empty", "must be text")
    assert error.detail == "parameters.to: must not be empty"
    assert error.field_errors == {"parameters.to": ["must not be empty", "must be text"]}


def test_a_message_that_begins_with_its_field_does_not_repeat_it() -> None:
    assert Invalid.field("since", "since must be a date-time").detail == "since must be a date-time"
    assert Invalid.field("a", "at most 5").detail == "a: at most 5"


def test_an_error_of_the_whole_value_has_an_empty_path() -> None:
    assert Invalid(field_errors={"": ["must be an object"]}).detail == "must be an object"
    assert Invalid("no").field_errors == {}


def test_a_stale_version_names_the_current_one_and_the_changes() -> None:
    error = StaleVersion(4, ["name", "queue"])
    assert isinstance(error, Conflict)
    assert (error.version, error.changed) == (4, ("name", "queue"))
    assert error.detail.endswith("version 4. Changed since: name, queue.")
    assert StaleVersion(4).detail.endswith("version 4.")


def test_a_reached_limit_has_its_usage() -> None:
    error = LimitReached("full", used=5, limit=5)
    assert (error.detail, error.used, error.limit) == ("full", 5, 5)


def test_errors_to_retry_say_after_how_long() -> None:
    assert Throttled(2.4).detail == "Too many requests; retry in 3 seconds."
    assert Throttled(0.1).detail == "Too many requests; retry in 1 second."
    assert Throttled(2.4).retry_after == 2.4
    assert Unavailable().retry_after == 1.0


def test_codes_are_stable_and_distinct() -> None:
    """Programs match codes."""
    families = WorkbellError.__subclasses__()
    codes = {family.code for family in families}
    assert codes >= {"invalid", "unauthenticated", "not_allowed", "not_found", "conflict"}
    assert codes >= {"limit_reached", "throttled", "unavailable"}
    assert StaleVersion.code == "stale_version"
