"""Tasks: declaration, registration and description of parameters."""

from typing import Any

import pytest

from tests.contract.factories import NOON
from workbell.domain.errors import Conflict, Invalid, NotFound
from workbell.domain.jobs.job import ClaimMode, claim_mode
from workbell.domain.jobs.task import (
    OnLost,
    Snooze,
    Task,
    TaskDefinition,
    Tasks,
    parameter_errors,
)

pytestmark = pytest.mark.unit


def a_task(**fields: object) -> Task:
    values: dict[str, object] = {"key": "echo", "body": lambda *_: None}
    return Task(**values | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["max_attempts", "timeout_seconds"])
def test_max_attempts_and_timeout_must_be_positive(field: str) -> None:
    a_task(**{field: 1})
    with pytest.raises(Invalid, match=f"{field} must be at least 1"):
        a_task(**{field: 0})


def test_on_lost_can_be_given_as_text() -> None:
    assert a_task(on_lost="fail").on_lost is OnLost.FAIL
    with pytest.raises(Invalid, match="on_lost must be one of: retry, fail"):
        a_task(on_lost="shrug")


def test_an_at_most_once_task_is_claimed_exclusively() -> None:
    """Otherwise a job next to it could crash the worker and lose it, too."""
    assert claim_mode(a_task(on_lost="fail", batch=True)) is ClaimMode.EXCLUSIVE
    assert claim_mode(a_task(batch=True)) is ClaimMode.BATCH
    assert claim_mode(a_task()) is ClaimMode.ORDINARY
    assert claim_mode(None) is ClaimMode.ORDINARY


def test_the_body_is_not_in_the_repr() -> None:
    assert "lambda" not in repr(a_task())


def test_a_key_belongs_to_one_task() -> None:
    tasks = Tasks()
    echo = tasks.add(a_task())
    assert tasks.add(echo) is echo
    with pytest.raises(Conflict):
        tasks.add(a_task(name="another"))
    assert list(tasks.all()) == [echo]


def test_an_unknown_task_is_not_found() -> None:
    tasks = Tasks()
    echo = tasks.add(a_task())
    assert tasks.get("echo") is tasks.find("echo") is echo
    assert tasks.find("other") is None
    with pytest.raises(NotFound, match="'other'"):
        tasks.get("other")


def test_a_snooze_has_its_seconds() -> None:
    assert Snooze(5).seconds == 5
    assert str(Snooze(5)) == "snoozed for 5 seconds"
    assert Snooze(366 * 86_400).seconds == 366 * 86_400


@pytest.mark.parametrize(
    "seconds",
    [-5, 0, 0.99, 366 * 86_400 + 1, 10**30, float("nan"), float("inf"), -float("inf"), True, "9"],
)
def test_a_snooze_takes_a_number_from_1_second_to_366_days(seconds: Any) -> None:
    with pytest.raises(Invalid, match="A snooze takes"):
        Snooze(seconds)


def test_the_flat_schema_has_the_type_of_each_parameter() -> None:
    """Optional parameters have the type of their value."""
    properties = {
        "email": {"type": "string"},
        "size": {"type": "integer"},
        "ratio": {"type": "number"},
        "charts": {"type": "boolean"},
        "subject": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "headers": {"type": "object"},
    }
    definition = TaskDefinition(
        key="k", name="K", schema={"properties": properties}, created_at=NOON
    )
    assert definition.flat_schema() == {
        "email": "string",
        "size": "integer",
        "ratio": "float",
        "charts": "boolean",
        "subject": "string",
        "headers": "object",
    }
    assert TaskDefinition(key="k", name="K", created_at=NOON).flat_schema() == {}


def test_parameter_errors_have_paths_under_parameters() -> None:
    wrong = Invalid(field_errors={"to": ["must be text"], "": ["must be an object"]})
    assert parameter_errors(wrong).field_errors == {
        "parameters.to": ["must be text"],
        "parameters": ["must be an object"],
    }
    assert parameter_errors(Invalid("No.")).field_errors == {"parameters": ["No."]}
