"""The password policy."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbell.domain.identity.password_policy import common_passwords, password_errors

pytestmark = pytest.mark.unit


def errors(password: str, *names: str, email: str = "someone@example.com") -> list[str]:
    return password_errors(password, names=names, email=email)


@pytest.mark.parametrize(
    ("password", "username", "email"),
    [
        ("securepassword123", "testuser", "test@example.com"),
        ("secure_password", "john_doe", "john@example.com"),
        ("SecurePass123!", "john", "john@example.com"),
    ],
)
def test_the_examples_of_the_sources_pass(password: str, username: str, email: str) -> None:
    assert errors(password, username, email=email) == []


def test_the_seven_character_example_is_refused() -> None:
    assert "at least 8" in errors("pass123")[0]


@pytest.mark.parametrize("password", ["ünïcödé!", "a b c d e", "правильно лошадь", "x" * 1024])
def test_any_characters_will_do(password: str) -> None:
    assert errors(password) == []


def test_length_counts_characters_and_then_bytes() -> None:
    assert errors("äöüäöüä") != []
    assert "at most 1024 bytes" in errors("ü" * 513)[0]
    assert errors("ü" * 500) == []


def test_digits_alone_are_refused() -> None:
    assert errors("8304716593") == ["The password must not consist of digits only."]


@pytest.mark.parametrize(
    "password", ["password", "PassWord1", "iloveyou", "qwertyuiop", "ｐassword"]
)
def test_common_passwords_are_refused_in_any_case(password: str) -> None:
    assert errors(password) == ["The password is too common."]


@pytest.mark.parametrize("password", ["correct\0horse", "correct\ud800horse"])
def test_what_is_no_text_is_refused(password: str) -> None:
    assert errors(password) == ["The password contains characters that are not allowed."]


@pytest.mark.parametrize(
    ("password", "name"),
    [
        ("johnsmith1", "johnsmith"),
        ("John1234", "john"),
        ("JOHNSMITH!!", "JohnSmith"),
        ("jhonsmith", "johnsmith"),
        ("someone9", ""),
        ("someone@example.com", ""),
    ],
)
def test_passwords_like_the_name_or_address_are_refused(password: str, name: str) -> None:
    message = "The password is too similar to the name or the email address."
    assert errors(password, name) == [message]


@pytest.mark.parametrize(
    ("password", "name"),
    [("ann12345x", "ann"), ("john rides a horse", "john"), ("correct horse", "johnsmith")],
)
def test_short_names_and_mere_mentions_are_no_fault(password: str, name: str) -> None:
    assert errors(password, name) == []


def test_the_list_is_long_and_in_the_form_in_which_it_is_compared() -> None:
    common = common_passwords()
    assert len(common) > 1000
    for entry in common:
        assert len(entry) >= 8
        assert not entry.isdigit()
        assert unicodedata.normalize("NFKC", entry).casefold() == entry


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
@settings(deadline=None)
def test_any_text_is_judged(password: str, name: str, email: str) -> None:
    assert all(isinstance(said, str) for said in errors(password, name, email=email))
