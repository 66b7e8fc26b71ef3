"""Errors: every family says what was wrong, in words that can be shown."""

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


def test_an_error_says_what_was_given() -> None:
    assert NotFound("There is no job 7.").detail == "There is no job 7."


def test_an_error_without_words_says_what_its_family_means() -> None:
    assert NotFound().detail == "There is no such thing, or none that who asks may see."


def test_an_error_of_a_user_who_forgot_the_words_can_still_be_shown() -> None:
    """A task may raise a class of its own whose constructor tells the base nothing."""

    class Wordless(Invalid):
        """Something was wrong."""

        def __init__(self) -> None:
            pass

    class Nameless(Wordless):
        __doc__ = None

    assert Wordless().detail == "Something was wrong."
    assert Nameless().detail == "invalid"


def test_an_invalid_field_is_named_in_the_detail() -> None:
    error = Invalid.field("parameters.to", "must not be empty", "must be text")
    assert error.detail == "parameters.to: must not be empty"
    assert error.field_errors == {"parameters.to": ["must not be empty", "must be text"]}


def test_what_is_wrong_with_the_whole_has_no_path() -> None:
    assert Invalid(field_errors={"": ["must be an object"]}).detail == "must be an object"
    assert Invalid("no").field_errors == {}


def test_a_stale_version_says_which_one_stands_and_what_changed() -> None:
    error = StaleVersion(4, ["name", "queue"])
    assert isinstance(error, Conflict)
    assert (error.version, error.changed) == (4, ("name", "queue"))
    assert error.detail.endswith("version 4. Changed since: name, queue.")
    assert StaleVersion(4).detail.endswith("version 4.")


def test_a_limit_says_how_much_of_it_is_used() -> None:
    error = LimitReached("full", used=5, limit=5)
    assert (error.detail, error.used, error.limit) == ("full", 5, 5)


def test_who_must_wait_is_told_how_long() -> None:
    assert Throttled(2.4).detail == "Ask again in 2 seconds."
    assert Throttled(2.4).retry_after == 2.4
    assert Unavailable().retry_after == 1.0


def test_codes_are_stable_and_differ() -> None:
    """Programs match them."""
    families = WorkbellError.__subclasses__()
    codes = {family.code for family in families}
    assert codes >= {"invalid", "unauthenticated", "not_allowed", "not_found", "conflict"}
    assert codes >= {"limit_reached", "throttled", "unavailable"}
    assert StaleVersion.code == "stale_version"
