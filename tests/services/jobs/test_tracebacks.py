"""Tracebacks: what they show, what they hide, and their bounds."""

from collections.abc import Callable
from functools import partial

import pytest

from workbell.services.jobs.tracebacks import (
    MAX_BYTES,
    formatted,
    passes_through,
    redact,
)

pytestmark = pytest.mark.unit

PASSWORD = "correct-horse-battery"
NUL_AND_SURROGATE = "nul \x00 and \udcff end"


def engine(body: Callable[[], object]) -> object:
    """Call a body, as the engine does."""
    return body()


def error_of(body: Callable[[], object]) -> BaseException:
    """Return the error that a body raises below the engine."""
    try:
        engine(body)
    except Exception as error:  # noqa: BLE001 - any error
        return error
    raise AssertionError


def shown(body: Callable[[], object], *secrets: str) -> str:
    """Return the traceback of a body."""
    return formatted(error_of(body), above=engine.__code__, secrets=secrets)


def raising(error: BaseException) -> Callable[[], object]:
    def body() -> None:
        raise error

    return body


def chained(length: int) -> BaseException:
    """Return an error with `length` - 1 causes, numbered from the first."""
    error: BaseException | None = None
    for number in range(length):
        newer = ValueError(f"number {number}")
        newer.__cause__ = error
        error = newer
    assert error is not None
    return error


def test_the_frames_of_the_task_are_shown_with_their_lines() -> None:
    def inner() -> None:
        raise KeyError("missing")

    def body() -> None:
        inner()

    text = shown(body)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("KeyError: 'missing'\n")
    assert text.count("  File ") == 2
    assert text.index("in body") < text.index("in inner")
    assert 'raise KeyError("missing")' in text


def test_no_frame_of_the_engine_is_shown() -> None:
    text = shown(raising(ValueError("bad")))
    assert "in engine" not in text
    assert "in error_of" not in text
    assert "return body()" not in text


def test_an_error_without_a_frame_of_the_task_is_shown_alone() -> None:
    def body(_: object) -> None:
        raise AssertionError

    text = shown(body)  # type: ignore[arg-type]
    assert text.startswith("TypeError: ")
    assert "File" not in text


def test_an_error_that_did_not_pass_the_engine_keeps_its_frames() -> None:
    with pytest.raises(ValueError, match="elsewhere") as caught:
        raising(ValueError("elsewhere"))()
    assert not passes_through(caught.value, engine.__code__)
    assert "in body" in formatted(caught.value, above=engine.__code__)


def test_an_error_of_the_body_passes_through_the_engine() -> None:
    assert passes_through(error_of(raising(ValueError())), engine.__code__)
    assert not passes_through(ValueError(), engine.__code__)


def test_no_local_variable_is_shown() -> None:
    def body() -> None:
        card_number = str(41_111_110 + 1)
        raise ValueError(f"{len(card_number)} digits")

    text = shown(body)
    assert "41111111" not in text
    assert "8 digits" in text


def test_the_values_of_secrets_are_replaced() -> None:
    text = shown(raising(ValueError(f"cannot log in with {PASSWORD}")), PASSWORD)
    assert PASSWORD not in text
    assert text.endswith("ValueError: cannot log in with ***\n")


def test_a_secret_that_contains_another_is_replaced_as_a_whole() -> None:
    assert redact("key abcd-efgh.", ["abcd", "abcd-efgh"]) == "key ***."


def test_short_and_empty_values_are_no_secrets() -> None:
    assert redact("a cab at dawn", ["", "a", "cab"]) == "a cab at dawn"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://bob:hush@db:5432/x", "postgresql://***@db:5432/x"),
        ("amqp://:hush@mq/", "amqp://***@mq/"),
        ("http://bob:@host/", "http://***@host/"),
        ("redis://bob:hu@sh@cache", "redis://***@cache"),
        ("x://a:b@c y://d:e@f", "x://***@c y://***@f"),
        ("http://host:80/path", "http://host:80/path"),
        ("http://host:80/?mail=a@b", "http://host:80/?mail=a@b"),
        ("{'url': 'http://h:80', 'mail': 'a@b'}", "{'url': 'http://h:80', 'mail': 'a@b'}"),
        ("mailto:bob@example.org", "mailto:bob@example.org"),
    ],
)
def test_credentials_in_urls_are_replaced(text: str, expected: str) -> None:
    assert redact(text, ()) == expected


def test_secrets_of_causes_notes_and_members_are_replaced_too() -> None:
    def body() -> None:
        error = ExceptionGroup("several", [ValueError(f"member {PASSWORD}")])
        error.add_note(f"note {PASSWORD}")
        raise error from KeyError(f"cause {PASSWORD}")

    text = shown(body, PASSWORD)
    assert PASSWORD not in text
    assert text.count("***") == 3


def test_a_secret_is_replaced_even_where_the_text_is_cut() -> None:
    for offset in range(0, len(PASSWORD), 4):
        message = "x" * (MAX_BYTES // 4 - offset - 200) + PASSWORD * 40 + "y" * 20_000
        text = shown(raising(ValueError(message)), PASSWORD)
        assert "horse" not in text
        assert "correct" not in text


def test_a_secret_split_by_a_nul_is_replaced() -> None:
    text = shown(raising(ValueError(f"{PASSWORD[:5]}\x00{PASSWORD[5:]}")), PASSWORD)
    assert text.endswith("ValueError: ***\n")


def test_a_long_text_keeps_its_start_and_its_end_in_16_kib() -> None:
    text = shown(raising(ValueError("start " + "é" * 1_000_000 + " end")))
    assert MAX_BYTES - 8 <= len(text.encode()) <= MAX_BYTES
    assert "ValueError: start é" in text
    assert text.endswith("é end\n")
    assert "bytes left out" in text
    assert text.encode().index(b"\n... ") <= MAX_BYTES // 4


def test_a_text_within_the_bound_is_complete() -> None:
    assert "left out" not in shown(raising(ValueError("x" * 15_000)))


def test_only_the_innermost_frames_of_a_recursion_are_shown() -> None:
    def body(depth: int = 0) -> None:
        if depth == 900:
            raise ValueError("deep enough")
        body(depth + 1)

    text = shown(body)
    assert text.count("\n") < 40
    assert "raise ValueError" in text
    assert "Previous line repeated" in text


def test_endless_recursion_is_shown() -> None:
    def body() -> None:
        body()

    assert "RecursionError: maximum recursion depth" in shown(body)


def test_causes_are_shown_oldest_first() -> None:
    def body() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    text = shown(body)
    assert text.index("KeyError: 'first'") < text.index("direct cause") < text.index("second")


def test_errors_while_handling_another_are_shown_unless_suppressed() -> None:
    def body(*, hidden: bool = False) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            if hidden:
                raise ValueError("second") from None
            raise ValueError("second")  # noqa: B904 - the context is what this tests

    assert "During handling" in shown(body)
    assert "KeyError: 'first'" in shown(body)
    suppressed = partial(body, hidden=True)
    assert "KeyError: 'first'" not in shown(suppressed)


def test_ten_errors_of_a_chain_are_shown() -> None:
    text = shown(raising(chained(10)))
    assert all(f"number {number}\n" in text for number in range(10))
    assert "Only the last" not in text


def test_of_a_longer_chain_the_last_ten_are_shown() -> None:
    text = shown(raising(chained(5_000)))
    assert text.startswith("Only the last 10 errors are shown.\n")
    assert text.count("ValueError: number") == 10
    assert text.endswith("number 4999\n")


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    text = shown(raising(first))
    assert text.count("ValueError: first") == text.count("KeyError: 'second'") == 1


def test_an_error_that_is_its_own_cause_ends() -> None:
    error = ValueError("alone")
    error.__cause__ = error
    assert shown(raising(error)).count("ValueError: alone") == 1


def test_a_broken_str_is_named() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("never")

    text = shown(raising(Broken()))
    assert text.endswith("Broken: the error has no text\n")
    assert "in body" in text


def test_an_error_with_broken_attributes_is_named() -> None:
    class Broken(Exception):
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError("never")

    assert shown(raising(Broken())) == "Broken: no traceback, because of RuntimeError\n"


def test_an_empty_message_is_left_out() -> None:
    assert shown(raising(ValueError())).endswith("\nValueError\n")
    assert shown(raising(ValueError("a: "))).endswith("\nValueError: a: \n")


def test_errors_of_a_module_have_its_name() -> None:
    from json import JSONDecodeError

    text = shown(raising(JSONDecodeError("bad", "x", 0)))
    assert "json.decoder.JSONDecodeError: bad" in text


def test_notes_are_shown() -> None:
    error = ValueError("bad")
    error.add_note("while reading row 7")
    assert shown(raising(error)).endswith("ValueError: bad\nwhile reading row 7\n")


def test_the_members_of_a_group_are_shown_with_their_causes() -> None:
    member = ValueError("a member")
    member.__cause__ = KeyError("its cause")
    text = shown(raising(ExceptionGroup("two failed", [member, OSError("other")])))
    assert "ExceptionGroup: two failed (2 sub-exceptions)" in text
    assert "  ---- 1 of 2 ----\n  KeyError: 'its cause'\n" in text
    assert "  ---- 2 of 2 ----\n  OSError: other\n" in text


def test_a_large_group_is_bounded() -> None:
    text = shown(raising(ExceptionGroup("many", [ValueError(str(n)) for n in range(1_000)])))
    assert text.count("ValueError: ") == 10
    assert "  ---- 990 more ----\n" in text


def test_nested_groups_are_bounded() -> None:
    group: Exception = ValueError("innermost")
    for _ in range(2_000):
        members: list[Exception] = [group, ValueError("beside")]
        group = ExceptionGroup("nested", members)
    text = shown(raising(group))
    assert len(text.encode()) <= MAX_BYTES
    assert text.count("ExceptionGroup: nested") <= 30
    assert "(left out)" in text


def test_what_databases_reject_is_replaced() -> None:
    text = shown(raising(ValueError(NUL_AND_SURROGATE)))
    assert text.endswith("ValueError: nul  and ? end\n")
