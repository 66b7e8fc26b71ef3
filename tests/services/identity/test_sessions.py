"""A person's own sessions, and who they are known by."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.services.identity_scene import NOON, ORIGIN
from tests.services.members_scene import PASSWORD, Stage, a_stage
from workbell.domain.errors import (
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.session import MAX_LIFE, RECENT_LOGIN, SessionKind, SignInAgain
from workbell.domain.identity.user import KeyScope, UserId, WrongCredentials
from workbell.services.identity.actor_cache import LIFE, MOST, ActorCache

pytestmark = pytest.mark.unit

READ, WRITE, ADMIN = KeyScope.READ, KeyScope.WRITE, KeyScope.ADMIN


@pytest.fixture
def stage() -> Stage:
    return a_stage("ana", "bob")


def refused(stage: Stage, token: str) -> bool:
    try:
        stage.signing_in.authenticate(token, ORIGIN)
    except Unauthenticated:
        return True
    return False


# ---------------------------------------------------------------------------------- sessions


def test_logging_out_ends_the_session_at_once(stage: Stage) -> None:
    signed_in, other = stage.login(), stage.login()
    actor = stage.actor(signed_in)
    stage.signing_in.logout(actor)
    assert refused(stage, signed_in.access)
    with pytest.raises(Unauthenticated):
        stage.signing_in.refresh(signed_in.refresh)
    assert not refused(stage, other.access)
    assert stage.actions()[-1] == "LOGOUT"
    stage.signing_in.logout(actor)
    assert stage.actions().count("LOGOUT") == 1


def test_the_token_of_a_session_that_was_logged_out_is_no_theft(stage: Stage) -> None:
    """Replaying it must not sign anybody else out."""
    signed_in, other = stage.login(), stage.login()
    stage.signing_in.logout(stage.actor(signed_in))
    with pytest.raises(Unauthenticated):
        stage.signing_in.refresh(signed_in.refresh)
    assert "REFRESH_REUSED" not in stage.actions()
    assert not refused(stage, other.access)


def test_where_there_is_no_session_there_is_none_to_end(stage: Stage) -> None:
    with pytest.raises(Invalid):
        stage.signing_in.logout(evolve(stage.ana(), session_id=""))


def test_ones_sessions_are_listed_and_ended(stage: Stage) -> None:
    first = stage.login()
    stage.clock.wait(1)
    second = stage.login()
    bobs = stage.actor(stage.login("bob"))
    ana = stage.actor(second)
    found = stage.members.sessions.list_sessions(ana)
    assert [one.id == ana.session_id for one in found] == [True, False]
    assert (found[0].address, found[0].user_agent) == ("192.0.2.1", "test")
    stage.members.sessions.revoke(ana, found[1].id)
    assert refused(stage, first.access)
    assert len(stage.members.sessions.list_sessions(ana)) == 1
    assert stage.actions()[-1] == "REVOKE_SESSION"
    for session_id in (found[1].id, bobs.session_id, "nonsense"):
        with pytest.raises(NotFound):
            stage.members.sessions.revoke(ana, session_id)


def test_another_session_is_ended_after_a_login_of_a_moment_ago(stage: Stage) -> None:
    """ASVS 7.5.2: renewing a session is no login; the session that asks may always end."""
    old, other = stage.login(), stage.actor(stage.login())
    stage.clock.wait(RECENT_LOGIN.seconds - 1)
    stage.members.sessions.revoke(stage.actor(old), other.session_id)
    other = stage.actor(stage.login())
    stage.clock.wait(1)
    old = stage.signing_in.refresh(old.refresh)
    with pytest.raises(SignInAgain):
        stage.members.sessions.revoke(stage.actor(old), other.session_id)
    stage.members.sessions.revoke(stage.actor(stage.login()), other.session_id)
    own = stage.actor(old)
    stage.members.sessions.revoke(own, own.session_id)
    assert refused(stage, old.access)


def test_no_session_lasts_for_ever(stage: Stage) -> None:
    signed_in = stage.login()
    for _ in range(40):
        stage.clock.wait(20 * 3600)
        if stage.clock.at >= NOON + MAX_LIFE:
            break
        signed_in = stage.signing_in.refresh(signed_in.refresh)
    assert signed_in.refresh_expires_at == NOON + MAX_LIFE
    with pytest.raises(Unauthenticated):
        stage.signing_in.refresh(signed_in.refresh)


def test_the_use_of_a_session_is_noted_once_a_minute(stage: Stage) -> None:
    signed_in = stage.login()
    session_id = stage.actor(signed_in).session_id
    assert stage.session(session_id).last_used_at is None
    stage.clock.wait(61)
    stage.actor(signed_in)
    assert stage.session(session_id).last_used_at == stage.clock.at
    noted = stage.clock.at
    stage.clock.wait(30)
    stage.actor(signed_in)
    assert stage.session(session_id).last_used_at == noted


def test_a_store_that_takes_no_note_stops_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = stage.login()
    stage.clock.wait(61)

    def away(_: object) -> object:
        raise Unavailable("away")

    monkeypatch.setattr(type(stage.store), "begin", away)
    assert stage.actor(signed_in).username == "ana"


# ----------------------------------------------------------------------------- opaque tokens


def test_an_opaque_token_is_looked_up_every_time(stage: Stage) -> None:
    opened = stage.signing_in.login_opaque("ana@example.com", PASSWORD, ORIGIN)
    assert opened.expires_at == NOON + timedelta(days=30)
    actor = stage.signing_in.authenticate(opened.token.text, ORIGIN)
    assert (actor.username, actor.session_id) == ("ana", opened.token.id)
    with stage.store.begin() as tx:  # as another process would
        tx.sessions.replace(stage.session(opened.token.id).revoked(NOON))
    assert refused(stage, opened.token.text)


def test_of_an_opaque_token_only_a_hash_is_kept(stage: Stage) -> None:
    opened = stage.signing_in.login_opaque("ana", PASSWORD, ORIGIN)
    kept = str(stage.session(opened.token.id)) + str(stage.audit())
    assert opened.token.secret not in kept
    assert opened.token.secret not in repr(opened)


def test_an_opaque_token_ends_like_any_session(stage: Stage) -> None:
    opened = stage.signing_in.login_opaque("ana", PASSWORD)
    stage.signing_in.logout(stage.signing_in.authenticate(opened.token.text))
    assert refused(stage, opened.token.text)
    again = stage.signing_in.login_opaque("ana", PASSWORD)
    stage.clock.wait(30 * 24 * 3600)
    assert refused(stage, again.token.text)


@pytest.mark.parametrize("kind", list(SessionKind))
def test_tokens_serve_in_one_way_only(stage: Stage, kind: SessionKind) -> None:
    """A cookie is no Bearer token, and the id of a session is no credential."""
    opened = stage.signing_in.login_opaque("ana", PASSWORD, kind=SessionKind.BROWSER)
    assert refused(stage, opened.token.text)
    known = stage.signing_in.recognition.by_session(opened.token.text, SessionKind.BROWSER)
    assert known.username == "ana"
    signed_in = stage.login()
    sid = stage.actor(signed_in).session_id
    assert refused(stage, f"wbs_{sid}_{'a' * 64}")
    assert refused(stage, f"wbs_unknown_{opened.token.secret}")
    assert refused(stage, "wbs_")
    with pytest.raises(Unauthenticated):
        stage.signing_in.recognition.by_session(f"wbk_{sid}_x", kind)


def test_a_token_of_somebody_who_was_switched_off_serves_no_more(stage: Stage) -> None:
    opened = stage.signing_in.login_opaque("ana", PASSWORD)
    stage.change("ana", is_active=False)
    assert refused(stage, opened.token.text)


def test_a_browser_that_signs_in_again_gets_another_session(stage: Stage) -> None:
    """What it had before ends, whoever put it there (ASVS 7.2.4)."""
    browser = SessionKind.BROWSER
    planted = stage.signing_in.login_opaque("bob", PASSWORD, kind=browser)
    opened = stage.signing_in.login_opaque("ana", PASSWORD, kind=browser, replaces=planted.token.id)
    assert opened.token.id != planted.token.id
    assert stage.session(planted.token.id).revoked_at == NOON
    stage.signing_in.login_opaque("ana", PASSWORD, kind=browser, replaces="gone")
    stage.signing_in.login_opaque("ana", PASSWORD, kind=browser, replaces=planted.token.id)
    assert opened.expires_at == NOON + timedelta(days=1)


def test_a_browsers_session_goes_on_while_it_is_used(stage: Stage) -> None:
    opened = stage.signing_in.login_opaque("ana", PASSWORD, kind=SessionKind.BROWSER)
    for _ in range(3):
        stage.clock.wait(23 * 3600)
        stage.signing_in.recognition.by_session(opened.token.text, SessionKind.BROWSER)
    stage.clock.wait(24 * 3600)
    with pytest.raises(Unauthenticated):
        stage.signing_in.recognition.by_session(opened.token.text, SessionKind.BROWSER)


# ------------------------------------------------------------------------ who asked recently


def test_who_asked_a_moment_ago_is_not_looked_up_again(stage: Stage) -> None:
    signed_in = stage.login()
    stage.actor(signed_in)
    with stage.store.begin() as tx:  # as another process would
        tx.users.replace(evolve(stage.user("ana"), is_active=False))
    assert not refused(stage, signed_in.access)
    stage.clock.wait(LIFE.total_seconds())
    assert refused(stage, signed_in.access)


def test_each_call_has_its_own_origin(stage: Stage) -> None:
    signed_in = stage.login()
    assert stage.actor(signed_in).origin == ORIGIN
    elsewhere = ClientInfo(request_id="other", address="192.0.2.9")
    assert stage.signing_in.authenticate(signed_in.access, elsewhere).origin == elsewhere


def test_who_was_read_before_somebody_was_forgotten_is_not_kept(stage: Stage) -> None:
    recent, ana = ActorCache(), stage.ana()
    mark = recent.generation()
    recent.evict(UserId(99))
    recent.put("token", ana, NOON, NOON + timedelta(hours=1), mark)
    assert recent.find("token", NOON) is None
    recent.put("token", ana, NOON, NOON + timedelta(hours=1), recent.generation())
    assert recent.find("token", NOON) == ana
    recent.evict(UserId(99))
    assert recent.find("token", NOON) == ana
    recent.evict(ana.user_id)
    assert recent.find("token", NOON) is None


def test_nobody_is_remembered_beyond_their_token(stage: Stage) -> None:
    recent, ana = ActorCache(), stage.ana()
    recent.put("token", ana, NOON, NOON + timedelta(seconds=1), recent.generation())
    assert recent.find("token", NOON) == ana
    assert recent.find("token", NOON + timedelta(seconds=1)) is None


def test_so_many_are_remembered_and_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST == 10_000
    monkeypatch.setattr("workbell.services.identity.actor_cache.MOST", 2)
    recent, ana, end = ActorCache(), stage.ana(), NOON + timedelta(hours=1)
    for token in ("a", "b", "c"):
        recent.put(token, ana, NOON, end, recent.generation())
    assert [recent.find(token, NOON) is None for token in ("a", "b", "c")] == [True, False, False]


def test_a_wrong_password_opens_nothing_opaque(stage: Stage) -> None:
    with pytest.raises(WrongCredentials):
        stage.signing_in.login_opaque("ana", "wrong")


def test_what_nothing_counts_any_more_is_removed(stage: Stage) -> None:
    stage.login()
    stage.identity.resend_otp("ana@example.com")
    stage.clock.wait(2 * 24 * 3600)
    assert stage.members.sessions.prune() == 0
    stage.clock.wait(1)
    assert stage.members.sessions.prune() == 1
    stage.clock.wait(30 * 24 * 3600)
    assert stage.members.sessions.prune() == 1


def test_housekeeping_prunes_what_else_has_its_age(stage: Stage) -> None:
    from workbell.domain.jobs.job import ENDED
    from workbell.services.jobs.retention import RetentionService

    retention = RetentionService(
        store=stage.store,
        clock=stage.clock,
        files=None,  # type: ignore[arg-type]
        keep=dict.fromkeys(ENDED, timedelta(days=1)),
        keep_scheduled=timedelta(days=1),
        also=(lambda: 2, lambda: 3),
    )
    assert retention.prune() == 5
