"""API keys: validity, and validation of new ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from workbell.domain.errors import Invalid
from workbell.domain.identity.api_key import NAME_LENGTH, ApiKey, check_new_key
from workbell.domain.identity.user import KeyScope, UserId

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_key(**fields: Any) -> ApiKey:
    values: dict[str, Any] = {
        "user_id": UserId(7), "name": "n", "prefix": "p", "secret_hash": "0" * 64,
        "scopes": frozenset({KeyScope.READ}), "created_at": NOON,
    }  # fmt: skip
    return ApiKey(**values | fields)


def test_a_key_is_usable_until_it_is_revoked_or_expires() -> None:
    assert a_key().is_usable(NOON + timedelta(days=9999))
    ending = a_key(expires_at=NOON + SECOND)
    assert ending.is_usable(NOON)
    assert not ending.is_usable(NOON + SECOND)
    assert not a_key().revoked(NOON).is_usable(NOON)


def test_use_is_recorded_once_a_minute() -> None:
    assert a_key().should_record_use(NOON)
    used = a_key().used(NOON)
    assert used.last_used_at == NOON
    assert not used.should_record_use(NOON + 59 * SECOND)
    assert used.should_record_use(NOON + 60 * SECOND)


def test_the_hash_is_not_in_the_repr() -> None:
    assert "000" not in repr(a_key())


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at", "fields"),
    [
        ("", [KeyScope.READ], None, {"name"}),
        ("x" * (NAME_LENGTH + 1), [KeyScope.READ], None, {"name"}),
        ("a\nb", [KeyScope.READ], None, {"name"}),
        ("a\u2028b", [KeyScope.READ], None, {"name"}),
        ("a", [], None, {"scopes"}),
        ("a", [KeyScope.READ], NOON, {"expires_at"}),
        ("", [], NOON - SECOND, {"name", "scopes", "expires_at"}),
    ],
)
def test_invalid_keys_are_rejected(
    name: str, scopes: list[KeyScope], expires_at: datetime | None, fields: set[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        check_new_key(name, scopes, expires_at, NOON)
    assert set(caught.value.field_errors) == fields


def test_valid_keys_are_accepted() -> None:
    check_new_key("nightly", [KeyScope.READ, KeyScope.WRITE], NOON + SECOND, NOON)
    check_new_key("nightly", [KeyScope.ADMIN], None, NOON)
