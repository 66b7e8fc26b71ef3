"""Sessions: the validity of refresh tokens over time."""

from datetime import UTC, datetime, timedelta

import pytest

from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.session import (
    MAX_LIFE,
    ROTATION_GRACE,
    RefreshTokenState,
    Session,
    SessionKind,
)
from workbell.domain.identity.user import UserId

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def a_session() -> Session:
    return Session.start("s", UserId(7), "one", NOON, DAY)


def test_a_session_initially_lasts_as_long_as_a_refresh_token() -> None:
    session = a_session()
    assert (session.expires_at, session.rotated_at) == (NOON + DAY, NOON)
    assert session.is_active(NOON + DAY - MICROSECOND)
    assert not session.is_active(NOON + DAY)


def test_the_current_token_is_valid_until_the_session_expires() -> None:
    assert a_session().classify_refresh_token("one", NOON) is RefreshTokenState.CURRENT
    assert a_session().classify_refresh_token("one", NOON + DAY) is RefreshTokenState.ENDED


def test_rotation_extends_the_session() -> None:
    later = NOON + timedelta(hours=3)
    session = a_session().rotated("two", later, DAY)
    assert session.expires_at == later + DAY
    assert session.classify_refresh_token("two", later) is RefreshTokenState.CURRENT


def test_the_previous_token_is_valid_for_ten_more_seconds() -> None:
    session = a_session().rotated("two", NOON, DAY)
    assert (
        session.classify_refresh_token("one", NOON + ROTATION_GRACE)
        is RefreshTokenState.JUST_ROTATED
    )
    assert (
        session.classify_refresh_token("one", NOON + ROTATION_GRACE + MICROSECOND)
        is RefreshTokenState.REUSED
    )


def test_any_other_token_counts_as_reused() -> None:
    session = a_session().rotated("two", NOON, DAY).rotated("three", NOON, DAY)
    assert session.classify_refresh_token("one", NOON) is RefreshTokenState.REUSED


def test_every_token_of_a_revoked_session_is_ended_not_reused() -> None:
    session = a_session().rotated("two", NOON, DAY).revoked(NOON)
    assert {session.classify_refresh_token(jti, NOON) for jti in ("one", "two", "x")} == {
        RefreshTokenState.ENDED
    }


def test_renewals_do_not_exceed_the_maximum_lifetime() -> None:
    """Requirement ASVS 7.3.2."""
    session, day = Session.start("s", UserId(7), "j", NOON, timedelta(days=1)), timedelta(days=1)
    for number in range(40):
        now = NOON + number * day
        session = session.rotated(f"j{number}", now, day)
    assert session.expires_at == NOON + MAX_LIFE
    assert not session.is_active(NOON + MAX_LIFE)


def test_address_and_user_agent_are_truncated_to_their_columns() -> None:
    client_info = ClientInfo(address="1" * 99, user_agent="u" * 999)
    session = Session.start("s", UserId(7), "j", NOON, timedelta(days=1), client_info=client_info)
    assert (len(session.address), len(session.user_agent)) == (64, 256)


def test_use_is_recorded_once_a_minute() -> None:
    session = Session.start("s", UserId(7), "j", NOON, timedelta(days=1))
    assert not session.should_record_use(NOON + timedelta(seconds=59))
    minute = NOON + timedelta(minutes=1)
    assert session.should_record_use(minute)
    used = session.used(minute, timedelta(days=1))
    assert (used.last_used_at, used.expires_at) == (minute, session.expires_at)
    assert not used.should_record_use(minute + timedelta(seconds=59))


def test_a_browser_session_has_an_idle_and_an_absolute_limit() -> None:
    """Use extends the idle limit but not the absolute one (ASVS 7.3.1)."""
    day = timedelta(days=1)
    session = Session.start("s", UserId(7), "j", NOON, day, kind=SessionKind.BROWSER)
    later = NOON + timedelta(hours=23)
    assert session.used(later, day).expires_at == later + day
    late = NOON + MAX_LIFE - timedelta(hours=1)
    assert session.used(late, day).expires_at == NOON + MAX_LIFE
