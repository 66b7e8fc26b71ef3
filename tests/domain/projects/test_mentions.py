"""Mentions: which @names of a comment are mentions."""

import pytest

from workbell.domain.projects.mentions import MAX_MENTIONS, find_mentions


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@ann", ["ann"]),
        ("Hello @Ann, and @bob.", ["ann", "bob"]),
        ("(@ann)", ["ann"]),
        ("@ann @ANN", ["ann"]),
        ("@first.last", ["first.last"]),
        ("@ann...", ["ann"]),
        ("write to ann@example.org", []),
        ("ann@@bob", []),
        ("@@bob", []),
        ("https://example.org/@ann", []),
        ("@ ann", []),
        ("@", []),
        ("@.", []),
        ("@zoë", ["zoë"]),
    ],
)
def test_a_mention_is_a_name_after_an_at_sign_at_the_start_of_a_word(
    text: str, names: list[str]
) -> None:
    assert find_mentions([text]) == names


def test_at_most_fifty_mentions_count() -> None:
    text = " ".join(f"@user{number}" for number in range(100))
    assert len(find_mentions([text])) == MAX_MENTIONS
