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
def test_example_passwords_of_the_compatible_products_are_accepted(
    password: str, username: str, email: str
) -> None:
    assert errors(password, username, email=email) == []


def test_a_password_of_seven_characters_is_rejected() -> None:
    assert "at least 8" in errors("pass123")[0]


@pytest.mark.parametrize("password", ["ünïcödé!", "a b c d e", "правильно лошадь", "x" * 1024])
def test_any_characters_are_accepted(password: str) -> None:
    assert errors(password) == []


def test_the_minimum_is_in_characters_and_the_maximum_in_bytes() -> None:
    assert errors("äöüäöüä") != []
    assert "at most 1024 bytes" in errors("ü" * 513)[0]
    assert errors("ü" * 500) == []


def test_digits_only_are_rejected() -> None:
    assert errors("8304716593") == ["The password must not consist of digits only."]


@pytest.mark.parametrize(
    "password", ["password", "PassWord1", "iloveyou", "qwertyuiop", "ｐassword"]
)
def test_common_passwords_are_rejected_in_any_case(password: str) -> None:
    assert errors(password) == ["The password is too common."]


@pytest.mark.parametrize("password", ["correct\0horse", "correct\ud800horse"])
def test_invalid_characters_are_rejected(password: str) -> None:
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
def test_passwords_similar_to_the_name_or_address_are_rejected(password: str, name: str) -> None:
    message = "The password is too similar to the name or the email address."
    assert errors(password, name) == [message]


@pytest.mark.parametrize(
    ("password", "name"),
    [("ann12345x", "ann"), ("john rides a horse", "john"), ("correct horse", "johnsmith")],
)
def test_short_names_and_long_passwords_with_a_name_are_accepted(password: str, name: str) -> None:
    assert errors(password, name) == []


def test_the_common_passwords_are_in_normalised_form() -> None:
    common = common_passwords()
    assert len(common) > 1000
    for entry in common:
        assert len(entry) >= 8
        assert not entry.isdigit()
        assert unicodedata.normalize("NFKC", entry).casefold() == entry


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
@settings(deadline=None)
def test_any_text_can_be_checked(password: str, name: str, email: str) -> None:
    assert all(isinstance(message, str) for message in errors(password, name, email=email))
