"""The text that is stored and logged for a fault."""

import pytest

from workbell.services.faults import MAX_REASON, describe_fault


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("odd"), "ValueError: odd"),
        (ValueError(""), "ValueError"),
        (ValueError("first\n[parameters: secret]"), "ValueError: first"),
        (ValueError("a\0b\ud800"), "ValueError: ab?"),
    ],
)
def test_a_fault_is_described_by_its_type_and_first_line(error: Exception, text: str) -> None:
    assert describe_fault(error) == text


def test_the_text_is_limited() -> None:
    assert len(describe_fault(ValueError("x" * 9999))) == MAX_REASON
