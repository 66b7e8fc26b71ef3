"""Parsing of cron expressions, and the reasons of rejections."""

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from workbell.domain.cron.expression import MACROS, parse
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit

REFUSED = {
    "": "it is empty",
    " \n": "it is empty",
    "0 9 * * " + "1," * 130: "it has 268 characters; at most 256 are allowed",
    " ".join("*" * 500): "it has 999 characters",
    " ".join("*" * 100): "it has 100 fields; exactly 5 are needed",
    "*": "it has 1 field; exactly 5",
    "0 9 * *": "it has 4 fields",
    "0 0 9 * * *": "it has 6 fields",
    "0 0 9 * * * 2026": "it has 7 fields",
    "0 9 * * é": "only ASCII characters are allowed",
    "0\u00a09 * * *": "only ASCII characters are allowed",
    "\u0660 9 * * *": "only ASCII characters are allowed",
    "0 9 * * \0": "control characters are not allowed",
    "0 9 * *\n0": "control characters are not allowed",
    "R * * * *": "R (random times) is not supported",
    "r(0-5) * * * *": "R (random times) is not supported",
    "R/5 * * * *": "R (random times) is not supported",
    "H H * * *": "H (hashed times) is not supported",
    "H(0-29)/10 * * * *": "H (hashed times) is not supported",
    "0 0 1,R * *": "R (random times) is not supported",
    "@reboot": "@reboot is not supported",
    "@every 5m": "@every is not supported",
    "@EVERY 1h": "@every is not supported",
    "@secondly": "@secondly is not known; the macros are @hourly",
    "@daily 5": "@daily is not known",
    "60 * * * *": "60 is out of range in the minute field (0-59)",
    "0 24 * * *": "24 is out of range in the hour field (0-23)",
    "0 0 0 * *": "0 is out of range in the day of month field (1-31)",
    "0 0 32 * *": "32 is out of range",
    "0 0 1 13 *": "13 is out of range in the month field (1-12)",
    "0 0 * * 8": "8 is out of range in the weekday field (0-7)",
    "-1 * * * *": "'-1' is not valid in the minute field",
    "*-5 * * * *": "'*-5' is not valid in the minute field",
    "1.5 * * * *": "'1.5' is not valid",
    "1-5-9 * * * *": "'1-5-9' is not valid",
    "0 5-1 * * *": "the range 5-1 in the hour field runs backwards; write two ranges: 5-23,0-1",
    "0 0 * * FRI-MON": "the range FRI-MON in the weekday field runs backwards",
    "0 0 * DEC-JAN *": "the range DEC-JAN in the month field runs backwards",
    "*/0 * * * *": "the step 0 in the minute field must be from 1 to 59",
    "*/60 * * * *": "the step 60 in the minute field",
    "*/x * * * *": "the step x in the minute field",
    "0 0 * * FOO": "'FOO' is not known in the weekday field",
    "0 0 * MON *": "'MON' is not known in the month field",
    "0 0 JAN * *": "'JAN' is not known in the day of month field",
    "1,,2 * * * *": "the minute field has an empty item in its list",
    "? * * * *": "? is allowed only as the whole day of month or weekday field",
    "0 0 ?,1 * *": "? is allowed only as the whole",
    "L * * * *": "'L' is not known in the minute field",
    "0 0 * * L": "'L' is not known in the weekday field",
    "0 0 LW * *": "'LW' is not supported: L is the last day of the month",
    "0 0 L-3 * *": "'L-3' is not supported",
    "0 0 * * 5L": "'5L' is not supported",
    "0 0 1W,15 * *": "W cannot be part of a list",
    "0 0 W * *": "'W' is not known in the day of month field",
    "0 0 32W * *": "32 is out of range",
    "0 0 * * L8": "8 is out of range",
    "0 0 * * 5#6": "# must be followed by a number from 1 to 5, not '6'",
    "0 0 * * 5#x": "# must be followed by a number from 1 to 5, not 'X'",
    "0 0 * * 1,5#2": "weekdays with # or L cannot be listed together with plain weekdays",
    "0 0 1#2 * *": "'1#2' is not valid in the day of month field",
    "0 0 30 2 *": "it does not run once in five years",
    "0 0 31 2,4,6,9,11 *": "it does not run once in five years",
    "0 0 */30 * MON#2": "it does not run once in five years",
    "0 0 29 2 */7": "it does not run once in five years",
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.items(), ids=ascii)
def test_unsupported_expressions_are_rejected_with_a_reason(line: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        CronRule(line)
    (message,) = refused.value.field_errors["cron_expression"]
    assert message.startswith(f"Invalid cron expression: {reason}")
    assert message.endswith(".")


@pytest.mark.parametrize(
    "line",
    [
        *MACROS,
        "* * * * *",
        "0 0 29 2 *",
        "0 0 30 2 1",
        "0 0 ? * ?",
        "0 0 L * *",
        "0 0 15w * *",
        "0 0 W15 * *",
        "0 0 * * L5",
        "0 0 * * fri#2",
        "0 0 * * 1#1,3#3",
        "0 0 * jan-MAR mon-SUN",
        "0 0 * * 5-7",
        "0/15 8/4 1-31/5 */2 *",
    ],
)
def test_supported_expressions_are_parsed(line: str) -> None:
    assert CronRule(line).line == line


def test_spaces_and_the_case_of_macros_are_normalised() -> None:
    assert CronRule(" 0\t9  * * *\n").line == "0 9 * * *"
    assert CronRule("@Daily").line == "@daily"


def test_single_number_ranges_and_both_numbers_of_sunday_are_equal() -> None:
    fields = parse("5-5 1-1/3 * * 7-7")
    assert (fields.minute.numbers, fields.hour.numbers, fields.weekday.numbers) == (
        (5,),
        (1,),
        (0,),
    )
    assert parse("0 0 * * SAT-SUN").weekday.numbers == (0, 6)
    assert parse("0 0 * * SUN-MON").weekday.numbers == (0, 1)
    assert parse("0 0 * * 7").weekday == parse("0 0 * * 7").weekday


@st.composite
def _parts(draw: st.DrawFn, low: int, high: int) -> str:
    first = draw(st.integers(low, high - 1))
    last = draw(st.integers(first + 1, high))
    step = draw(st.integers(1, high))
    return draw(
        st.sampled_from(["*", f"*/{step}", f"{first}", f"{first}-{last}", f"{first}-{last}/{step}"])
    )


@settings(deadline=None)
@given(
    st.lists(_parts(0, 59), min_size=1, max_size=3),
    st.lists(_parts(0, 23), min_size=1, max_size=3),
    st.lists(_parts(1, 12), min_size=1, max_size=3),
)
def test_numbers_ranges_and_steps_agree_with_croniter(
    minutes: list[str], hours: list[str], months: list[str]
) -> None:
    line = f"{','.join(minutes)} {','.join(hours)} * {','.join(months)} *"
    fields = parse(line)
    expanded, _ = croniter.expand(line)
    for ours, theirs in zip(
        (fields.minute, fields.hour, fields.month),
        (expanded[0], expanded[1], expanded[3]),
        strict=True,
    ):
        every = range(ours.spec.low, ours.spec.high + 1)
        assert list(ours.numbers) == (list(every) if "*" in theirs else theirs)
