"""SLA policies: terms, their JSON form, and what is refused."""

from datetime import timedelta

import pytest

from workbell.domain.errors import Invalid
from workbell.domain.projects.sla.clock import ClockKind
from workbell.domain.projects.sla.policy import (
    EscalationStep,
    PriorityTarget,
    Recipient,
    Reopen,
    SlaTerms,
    check_terms,
    make_targets,
)
from workbell.domain.projects.work_item import WorkItemPriority, WorkItemStatus

pytestmark = pytest.mark.unit

TERMS = SlaTerms(
    targets={
        WorkItemPriority.CRITICAL: PriorityTarget(
            first_response_minutes=15, resolution_minutes=240
        ),
        WorkItemPriority.LOW: PriorityTarget(resolution_minutes=2_400),
    },
    pausing_statuses=(WorkItemStatus.REVIEW,),
    reopen=Reopen.RESTART,
    warn_percent=75,
    escalation=(
        EscalationStep(after_minutes=0, notify=(Recipient.ASSIGNEE,)),
        EscalationStep(after_minutes=60, notify=(Recipient.MANAGER, Recipient.ADMIN)),
    ),
)


def test_terms_survive_their_json_form() -> None:
    assert SlaTerms.from_json(TERMS.to_json()) == TERMS


def test_a_priority_or_kind_without_a_target_has_none() -> None:
    assert TERMS.target(ClockKind.RESOLUTION, WorkItemPriority.LOW) == timedelta(hours=40)
    assert TERMS.target(ClockKind.FIRST_RESPONSE, WorkItemPriority.LOW) is None
    assert TERMS.target(ClockKind.RESOLUTION, WorkItemPriority.HIGH) is None


def test_a_target_of_an_unknown_priority_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        make_targets({"URGENT": PriorityTarget(resolution_minutes=1)})
    assert caught.value.field_errors == {
        "targets.URGENT": ["must be one of CRITICAL, HIGH, MEDIUM, LOW"]
    }


def test_a_done_task_does_not_pause() -> None:
    with pytest.raises(Invalid) as caught:
        check_terms(SlaTerms(pausing_statuses=(WorkItemStatus.DONE,)))
    assert list(caught.value.field_errors) == ["pausing_statuses"]


@pytest.mark.parametrize("delays", [(60, 30), (60, 60)])
def test_escalation_steps_must_be_in_order(delays: tuple[int, ...]) -> None:
    steps = [EscalationStep(after_minutes=n, notify=(Recipient.ADMIN,)) for n in delays]
    with pytest.raises(Invalid) as caught:
        check_terms(SlaTerms(escalation=steps))
    assert list(caught.value.field_errors) == ["escalation"]
