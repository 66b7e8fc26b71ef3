"""Users: comparison of names and addresses."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbell.domain.identity.user import (
    AlreadyTaken,
    EmailNotVerified,
    Tier,
    User,
    UserId,
    WrongCredentials,
    ascii_address,
    normalise_identifier,
)

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def ana(**fields: object) -> User:
    values = {"id": UserId(7), "username": "ana", "email": "ana@example.com", "created_at": NOON}
    return User(**(values | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana", "aNA"),
        (" ana ", "ana"),
        ("Straße", "STRASSE"),
        ("ﬁnn", "finn"),
        ("Ana@Example.COM", "ana@example.com"),
        ("ana@bücher.example", "ANA@xn--bcher-kva.example"),
        ("ana@BÜCHER.example", "ana@bücher.example"),
    ],
)
def test_two_spellings_of_a_name_have_the_same_key(one: str, other: str) -> None:
    assert normalise_identifier(one) == normalise_identifier(other)


@pytest.mark.parametrize("other", ["anna", "ana@example.org", "a.na", "ána"])
def test_different_names_have_different_keys(other: str) -> None:
    assert normalise_identifier("ana") != normalise_identifier(other)


@given(st.text())
@settings(deadline=None)
def test_normalisation_is_idempotent(text: str) -> None:
    assert normalise_identifier(normalise_identifier(text)) == normalise_identifier(text)


@pytest.mark.parametrize(
    ("email", "address"),
    [
        ("ana@example.com", "ana@example.com"),
        ("Ana.B+x@Example.com", "Ana.B+x@example.com"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@localhost", "ana@localhost"),
    ],
)
def test_an_address_has_an_ascii_form(email: str, address: str) -> None:
    assert ascii_address(email) == address


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ana",
        "@example.com",
        "ana@",
        "ana@host",
        "ana@example..com",
        "ana@-example.com",
        "ana@example.com.",
        "ana@127.0.0.1",
        "ana@[127.0.0.1]",
        "a@b@example.com",
        ".ana@example.com",
        "ana..b@example.com",
        '"ana b"@example.com',
        "ana b@example.com",
        "ána@example.com",
        "ana@exam\nple.com",
        "ana@example.com\r\nBcc: bob@example.com",
        "ana@example.com\n",
        "ana\0@example.com",
        "ana@\ud800.com",
        "a" * 65 + "@example.com",
        "ana@" + "x" * 64 + ".com",
        "ana@" + "x." * 130 + "com",
        "a" * 64 + "@" + ("ж日" * 8 + "a" * 24 + ".") * 4 + "com",
    ],
)
def test_invalid_addresses_have_no_ascii_form(email: str) -> None:
    assert ascii_address(email) is None


def test_already_taken_names_every_field() -> None:
    error = AlreadyTaken.of("username", "email")
    assert error.field_errors == {
        "username": ["A user with this username exists."],
        "email": ["A user with this email exists."],
    }
    assert error.code == "taken"


def test_login_errors_have_their_own_codes() -> None:
    assert WrongCredentials().code == "wrong_credentials"
    assert EmailNotVerified().code == "email_not_verified"


def test_the_full_name_defaults_to_the_username() -> None:
    assert ana().full_name == "ana"
    assert ana(first_name="Ana", last_name="Lima").full_name == "Ana Lima"
    assert ana(first_name="Ana").full_name == "Ana"


def test_verification_changes_no_other_field() -> None:
    assert ana().verified() == ana(is_email_verified=True)


def test_the_password_hash_is_not_in_the_repr() -> None:
    assert "argon" not in repr(ana(password_hash="$argon2id$..."))


def test_premium_users_have_a_larger_share_of_workers() -> None:
    assert (Tier.FREE.weight, Tier.PREMIUM.weight) == (1.0, 4.0)
