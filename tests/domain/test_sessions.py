"""Sessions: what a refresh token is worth, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from workbell.domain.identity import UserId
from workbell.domain.sessions import GRACE, Session, Standing

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def a_session() -> Session:
    return Session.start("s", UserId(7), "one", NOON, DAY)


def test_a_login_starts_a_session_for_as_long_as_a_refresh_token_lives() -> None:
    session = a_session()
    assert (session.expires_at, session.rotated_at) == (NOON + DAY, NOON)
    assert session.alive(NOON + DAY - TICK)
    assert not session.alive(NOON + DAY)


def test_the_current_token_is_good_until_the_session_is_over() -> None:
    assert a_session().standing("one", NOON) is Standing.CURRENT
    assert a_session().standing("one", NOON + DAY) is Standing.ENDED


def test_rotation_lengthens_the_session() -> None:
    later = NOON + timedelta(hours=3)
    session = a_session().rotated("two", later, DAY)
    assert session.expires_at == later + DAY
    assert session.standing("two", later) is Standing.CURRENT


def test_the_token_before_is_good_for_ten_seconds_more() -> None:
    session = a_session().rotated("two", NOON, DAY)
    assert session.standing("one", NOON + GRACE) is Standing.JUST_ROTATED
    assert session.standing("one", NOON + GRACE + TICK) is Standing.REUSED


def test_any_other_token_was_reused() -> None:
    session = a_session().rotated("two", NOON, DAY).rotated("three", NOON, DAY)
    assert session.standing("one", NOON) is Standing.REUSED


def test_in_a_revoked_session_nothing_is_good_and_nothing_is_theft() -> None:
    session = a_session().rotated("two", NOON, DAY).revoked(NOON)
    assert {session.standing(jti, NOON) for jti in ("one", "two", "x")} == {Standing.ENDED}
