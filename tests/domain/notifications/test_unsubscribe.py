"""Unsubscribe tokens cannot be forged and do not expire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.unsubscribe import (
    EmailCategory,
    UnsubscribeTokens,
    Unsubscription,
)

pytestmark = pytest.mark.unit

OLD, NEW = b"o" * 32, b"n" * 32
UNSUBSCRIPTION = Unsubscription(UserId(7), EmailCategory.REMINDERS)


def test_making_a_token_requires_a_key() -> None:
    with pytest.raises(Invalid, match="WORKBELL_SECRET_KEY"):
        UnsubscribeTokens([]).make(UNSUBSCRIPTION)


@given(st.integers(1, 10**17))
def test_a_token_identifies_the_user(owner: int) -> None:
    what = Unsubscription(UserId(owner), EmailCategory.REMINDERS)
    assert UnsubscribeTokens([NEW]).parse(UnsubscribeTokens([NEW]).make(what)) == what


def test_tokens_of_former_keys_are_valid_and_those_of_unknown_keys_are_not() -> None:
    token = UnsubscribeTokens([OLD]).make(UNSUBSCRIPTION)
    assert UnsubscribeTokens([NEW, OLD]).parse(token) == UNSUBSCRIPTION
    with pytest.raises(NotFound):
        UnsubscribeTokens([NEW]).parse(token)
    assert "oooo" not in repr(UnsubscribeTokens([OLD]))


@pytest.mark.parametrize("place", [0, 10, -1])
def test_a_changed_token_is_not_valid(place: int) -> None:
    tokens = UnsubscribeTokens([NEW])
    token = list(tokens.make(UNSUBSCRIPTION))
    token[place] = "8" if token[place] != "8" else "9"
    with pytest.raises(NotFound):
        tokens.parse("".join(token))


@given(st.text(max_size=60) | st.from_regex(r"reminders-[0-9]{1,20}-[0-9a-f]{30,34}"))
def test_malformed_tokens_are_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        UnsubscribeTokens([NEW]).parse(text)
