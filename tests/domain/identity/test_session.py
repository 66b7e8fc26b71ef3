"""Sessions: what a refresh token is worth, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.session import (
    GRACE,
    MAX_LIFE,
    RefreshTokenState,
    Session,
    SessionKind,
)
from workbell.domain.identity.user import UserId

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def a_session() -> Session:
    return Session.start("s", UserId(7), "one", NOON, DAY)


def test_a_login_starts_a_session_for_as_long_as_a_refresh_token_lives() -> None:
    session = a_session()
    assert (session.expires_at, session.rotated_at) == (NOON + DAY, NOON)
    assert session.is_active(NOON + DAY - TICK)
    assert not session.is_active(NOON + DAY)


def test_the_current_token_is_good_until_the_session_is_over() -> None:
    assert a_session().classify_refresh_token("one", NOON) is RefreshTokenState.CURRENT
    assert a_session().classify_refresh_token("one", NOON + DAY) is RefreshTokenState.ENDED


def test_rotation_lengthens_the_session() -> None:
    later = NOON + timedelta(hours=3)
    session = a_session().rotated("two", later, DAY)
    assert session.expires_at == later + DAY
    assert session.classify_refresh_token("two", later) is RefreshTokenState.CURRENT


def test_the_token_before_is_good_for_ten_seconds_more() -> None:
    session = a_session().rotated("two", NOON, DAY)
    assert session.classify_refresh_token("one", NOON + GRACE) is RefreshTokenState.JUST_ROTATED
    assert session.classify_refresh_token("one", NOON + GRACE + TICK) is RefreshTokenState.REUSED


def test_any_other_token_was_reused() -> None:
    session = a_session().rotated("two", NOON, DAY).rotated("three", NOON, DAY)
    assert session.classify_refresh_token("one", NOON) is RefreshTokenState.REUSED


def test_in_a_revoked_session_nothing_is_good_and_nothing_is_theft() -> None:
    session = a_session().rotated("two", NOON, DAY).revoked(NOON)
    assert {session.classify_refresh_token(jti, NOON) for jti in ("one", "two", "x")} == {
        RefreshTokenState.ENDED
    }


def test_no_renewal_outlasts_the_most_that_a_session_lasts() -> None:
    """However often it is renewed (ASVS 7.3.2)."""
    session, day = Session.start("s", UserId(7), "j", NOON, timedelta(days=1)), timedelta(days=1)
    for number in range(40):
        now = NOON + number * day
        session = session.rotated(f"j{number}", now, day)
    assert session.expires_at == NOON + MAX_LIFE
    assert not session.is_active(NOON + MAX_LIFE)


def test_where_it_was_opened_is_cut_to_its_columns() -> None:
    client_info = ClientInfo(address="1" * 99, user_agent="u" * 999)
    session = Session.start("s", UserId(7), "j", NOON, timedelta(days=1), client_info=client_info)
    assert (len(session.address), len(session.user_agent)) == (64, 256)


def test_its_use_is_noted_once_a_minute() -> None:
    session = Session.start("s", UserId(7), "j", NOON, timedelta(days=1))
    assert not session.use_is_worth_noting(NOON + timedelta(seconds=59))
    minute = NOON + timedelta(minutes=1)
    assert session.use_is_worth_noting(minute)
    used = session.used(minute, timedelta(days=1))
    assert (used.last_used_at, used.expires_at) == (minute, session.expires_at)
    assert not used.use_is_worth_noting(minute + timedelta(seconds=59))


def test_a_browsers_session_ends_when_it_is_idle_and_in_any_case_at_last() -> None:
    """The idle limit moves with its use, the absolute one does not (ASVS 7.3.1)."""
    day = timedelta(days=1)
    session = Session.start("s", UserId(7), "j", NOON, day, kind=SessionKind.BROWSER)
    later = NOON + timedelta(hours=23)
    assert session.used(later, day).expires_at == later + day
    late = NOON + MAX_LIFE - timedelta(hours=1)
    assert session.used(late, day).expires_at == NOON + MAX_LIFE
