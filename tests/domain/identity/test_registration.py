"""Registration: validation of fields and privileges."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbell.domain.errors import Invalid
from workbell.domain.identity.registration import (
    Registration,
    email_errors,
    name_errors,
    time_zone_errors,
    username_errors,
    username_from_email,
)
from workbell.domain.identity.user import Role, Tier, normalise_identifier

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def a_registration(**fields: object) -> Registration:
    values = {"email": "ana@example.com", "password": "correct horse", "username": "ana"}
    return Registration(**(values | fields))  # type: ignore[arg-type]


def invalid_fields(new: Registration, *, self_service_tier: bool = True) -> set[str]:
    with pytest.raises(Invalid) as caught:
        new.check(self_service_tier=self_service_tier)
    return set(caught.value.field_errors)


@pytest.mark.parametrize(
    "name", ["ana", "john_doe", "ana.b+c-d", "7", "Ünïcödé", "हिन्दी", "a" * 150]
)
def test_valid_usernames_are_accepted(name: str) -> None:
    assert username_errors(name) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 151,
        "a b",
        "a@b",
        "a\0",
        "a\n",
        "\ud800",
        "a/b",
        "...",
        "a\u202eb",
        "＠x",
        "ß" * 100,
    ],
)
def test_invalid_usernames_are_rejected(name: str) -> None:
    assert len(username_errors(name)) == 1


def test_email_addresses_are_validated() -> None:
    assert email_errors("ana@example.com") == []
    assert email_errors("ana@bücher.example") == []
    assert "required" in email_errors("")[0]
    assert "at most 254" in email_errors("a" * 250 + "@x.io")[0]
    assert "not a valid email address" in email_errors("ana")[0]


def test_names_are_validated() -> None:
    assert name_errors("") == []
    assert name_errors("Ana-María O'Neill de la 3rd") == []
    assert "at most" in name_errors("a" * 151)[0]
    for bad in ("a\0", "a\r\nb", "\ud800", "a\u2028b"):
        assert "control" in name_errors(bad)[0]


def test_time_zones_are_validated() -> None:
    assert time_zone_errors("Asia/Kolkata") == []
    assert time_zone_errors("../etc/passwd") != []
    assert time_zone_errors("Nowhere/Land") != []


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("ana@example.com", "ana"),
        ("Ana.Lima+x@example.com", "Ana.Lima+x"),
        ("o'neill@example.com", "oneill"),
        ("--@example.com", "user"),
        ("!#$@example.com", "user"),
    ],
)
def test_a_username_is_derived_from_an_address(email: str, name: str) -> None:
    assert username_from_email(email) == name
    assert username_from_email(email, "-1") == f"{name}-1"


@given(st.text(max_size=300), st.sampled_from(["", "-123456"]))
@settings(deadline=None)
def test_a_derived_username_is_always_valid(local: str, suffix: str) -> None:
    ascii_only = local.encode("ascii", "ignore").decode()
    name = username_from_email(f"{ascii_only}@example.com", suffix)
    assert username_errors(name) == []
    assert "@" not in normalise_identifier(name)


def test_a_valid_registration_creates_a_member() -> None:
    new = a_registration(
        email=" ana@example.com ", first_name=" Ana ", last_name="Lima", time_zone="Asia/Kolkata"
    )
    new.check(self_service_tier=False)
    user = new.user("ana", "hash", NOON)
    assert (user.email, user.full_name, user.time_zone) == (
        "ana@example.com",
        "Ana Lima",
        "Asia/Kolkata",
    )
    assert (user.role, user.tier, user.is_super_user) == (Role.MEMBER, Tier.FREE, False)
    assert not user.is_email_verified
    assert user.password_hash == "hash"
    assert user.created_at == NOON


def test_the_username_is_optional() -> None:
    assert a_registration(username=None).username is None
    assert a_registration(username="  ").username is None
    a_registration(username=None).check(self_service_tier=True)


def test_all_invalid_fields_are_reported_at_once() -> None:
    new = a_registration(
        username="a b", email="x", first_name="\0", last_name="\0", time_zone="x", password="short"
    )
    assert invalid_fields(new) == {
        "username",
        "email",
        "first_name",
        "last_name",
        "time_zone",
        "password",
    }


def test_a_password_confirmation_must_match_if_given() -> None:
    a_registration(password_confirm="correct horse").check(self_service_tier=True)
    assert invalid_fields(a_registration(password_confirm="correct hors")) == {"password_confirm"}
    assert invalid_fields(a_registration(password_confirm="")) == {"password_confirm"}


def test_a_tier_can_be_chosen_only_if_the_settings_allow_it() -> None:
    a_registration(tier=Tier.FREE).check(self_service_tier=False)
    a_registration(tier=Tier.PREMIUM).check(self_service_tier=True)
    assert a_registration(tier=Tier.PREMIUM).user("ana", "", NOON).tier is Tier.PREMIUM
    assert invalid_fields(a_registration(tier=Tier.PREMIUM), self_service_tier=False) == {"tier"}


def test_privileges_cannot_be_requested() -> None:
    assert invalid_fields(a_registration(role=Role.MANAGER, is_super_user=True)) == {
        "role",
        "is_super_user",
    }


def test_passwords_are_not_in_the_repr() -> None:
    assert "horse" not in repr(a_registration(password_confirm="correct horse"))
