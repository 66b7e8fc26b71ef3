"""Sessions of a user, opaque tokens and the actor cache."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.services.accounts import PASSWORD, AccountFixture
from tests.services.registration import CLIENT, NOON
from workbell.domain.errors import (
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.session import MAX_LIFE, RECENT_LOGIN, SessionKind, SignInAgain
from workbell.domain.identity.user import KeyScope, UserId, WrongCredentials
from workbell.services.identity import login
from workbell.services.identity.actor_cache import MAX_ENTRIES, TTL, ActorCache
from workbell.services.identity.sessions import KEY_RETENTION

pytestmark = pytest.mark.unit

READ, WRITE, ADMIN = KeyScope.READ, KeyScope.WRITE, KeyScope.ADMIN


# sessions


def test_logout_revokes_the_session_at_once(accounts: AccountFixture) -> None:
    signed_in, other = accounts.login(), accounts.login()
    actor = accounts.actor(signed_in)
    accounts.login_service.logout(actor)
    assert accounts.refuses(signed_in.access)
    with pytest.raises(Unauthenticated):
        accounts.login_service.refresh(signed_in.refresh)
    assert not accounts.refuses(other.access)
    assert accounts.actions()[-1] == "LOGOUT"
    accounts.login_service.logout(actor)
    assert accounts.actions().count("LOGOUT") == 1


def test_a_token_of_a_revoked_session_is_not_treated_as_theft(accounts: AccountFixture) -> None:
    """Its reuse must not revoke other sessions."""
    signed_in, other = accounts.login(), accounts.login()
    accounts.login_service.logout(accounts.actor(signed_in))
    with pytest.raises(Unauthenticated):
        accounts.login_service.refresh(signed_in.refresh)
    assert "REFRESH_REUSED" not in accounts.actions()
    assert not accounts.refuses(other.access)


def test_logout_without_a_session_is_refused(accounts: AccountFixture) -> None:
    with pytest.raises(Invalid):
        accounts.login_service.logout(evolve(accounts.ana(), session_id=""))


def test_users_list_and_revoke_their_sessions(accounts: AccountFixture) -> None:
    first = accounts.login()
    accounts.clock.wait(1)
    second = accounts.login()
    bobs = accounts.actor(accounts.login("bob"))
    ana = accounts.actor(second)
    found = accounts.services.sessions.list_sessions(ana)
    assert [one.id == ana.session_id for one in found] == [True, False]
    assert (found[0].address, found[0].user_agent) == ("192.0.2.1", "test")
    accounts.services.sessions.revoke(ana, found[1].id)
    assert accounts.refuses(first.access)
    assert len(accounts.services.sessions.list_sessions(ana)) == 1
    assert accounts.actions()[-1] == "REVOKE_SESSION"
    for session_id in (found[1].id, bobs.session_id, "nonsense"):
        with pytest.raises(NotFound):
            accounts.services.sessions.revoke(ana, session_id)


def test_a_login_beyond_the_maximum_ends_the_oldest_session(
    accounts: AccountFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "MAX_SESSIONS", 2)
    logins = []
    for _ in range(3):
        logins.append(accounts.login())
        accounts.clock.wait(1)
    assert [accounts.refuses(one.access) for one in logins] == [True, False, False]
    assert accounts.actions()[-1] == "LOGIN"
    assert len(accounts.services.sessions.list_sessions(accounts.actor(logins[2]))) == 2


def test_old_keys_are_pruned(accounts: AccountFixture) -> None:
    ana = accounts.ana()
    key = accounts.services.api_keys.create(ana, "old", [READ]).key
    accounts.services.api_keys.revoke(ana, key.id)
    accounts.clock.wait(KEY_RETENTION.total_seconds())
    assert accounts.services.sessions.prune() == 1  # the session
    accounts.clock.wait(1)
    assert accounts.services.sessions.prune() == 1


def test_revoking_another_session_requires_a_recent_login(accounts: AccountFixture) -> None:
    """ASVS 7.5.2: a refresh is no login. The current session may be revoked."""
    old, other = accounts.login(), accounts.actor(accounts.login())
    accounts.clock.wait(RECENT_LOGIN.seconds - 1)
    accounts.services.sessions.revoke(accounts.actor(old), other.session_id)
    other = accounts.actor(accounts.login())
    accounts.clock.wait(1)
    old = accounts.login_service.refresh(old.refresh)
    with pytest.raises(SignInAgain):
        accounts.services.sessions.revoke(accounts.actor(old), other.session_id)
    accounts.services.sessions.revoke(accounts.actor(accounts.login()), other.session_id)
    own = accounts.actor(old)
    accounts.services.sessions.revoke(own, own.session_id)
    assert accounts.refuses(old.access)


def test_every_session_has_a_maximum_life(accounts: AccountFixture) -> None:
    signed_in = accounts.login()
    for _ in range(40):
        accounts.clock.wait(20 * 3600)
        if accounts.clock.at >= NOON + MAX_LIFE:
            break
        signed_in = accounts.login_service.refresh(signed_in.refresh)
    assert signed_in.refresh_expires_at == NOON + MAX_LIFE
    with pytest.raises(Unauthenticated):
        accounts.login_service.refresh(signed_in.refresh)


def test_the_use_of_a_session_is_recorded_once_a_minute(accounts: AccountFixture) -> None:
    signed_in = accounts.login()
    session_id = accounts.actor(signed_in).session_id
    assert accounts.session(session_id).last_used_at is None
    accounts.clock.wait(61)
    accounts.actor(signed_in)
    assert accounts.session(session_id).last_used_at == accounts.clock.at
    noted = accounts.clock.at
    accounts.clock.wait(30)
    accounts.actor(signed_in)
    assert accounts.session(session_id).last_used_at == noted


def test_a_failed_record_of_use_does_not_fail_the_request(
    accounts: AccountFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = accounts.login()
    accounts.clock.wait(61)

    def away(_: object) -> object:
        raise Unavailable("away")

    monkeypatch.setattr(type(accounts.store), "begin", away)
    assert accounts.actor(signed_in).username == "ana"


# opaque tokens


def test_an_opaque_token_is_not_cached(accounts: AccountFixture) -> None:
    opened = accounts.login_service.login_opaque("ana@example.com", PASSWORD, CLIENT)
    assert opened.expires_at == NOON + timedelta(days=30)
    actor = accounts.login_service.authenticate(opened.token.text, CLIENT)
    assert (actor.username, actor.session_id) == ("ana", opened.token.id)
    with accounts.store.begin() as tx:  # as another process would
        tx.sessions.replace(accounts.session(opened.token.id).revoked(NOON))
    assert accounts.refuses(opened.token.text)


def test_only_the_hash_of_an_opaque_token_is_stored(accounts: AccountFixture) -> None:
    opened = accounts.login_service.login_opaque("ana", PASSWORD, CLIENT)
    stored_text = str(accounts.session(opened.token.id)) + str(accounts.audit())
    assert opened.token.secret not in stored_text
    assert opened.token.secret not in repr(opened)


def test_an_opaque_token_ends_like_any_session(accounts: AccountFixture) -> None:
    opened = accounts.login_service.login_opaque("ana", PASSWORD)
    accounts.login_service.logout(accounts.login_service.authenticate(opened.token.text))
    assert accounts.refuses(opened.token.text)
    again = accounts.login_service.login_opaque("ana", PASSWORD)
    accounts.clock.wait(30 * 24 * 3600)
    assert accounts.refuses(again.token.text)


@pytest.mark.parametrize("kind", list(SessionKind))
def test_cookies_and_bearer_tokens_are_not_interchangeable(
    accounts: AccountFixture, kind: SessionKind
) -> None:
    """Neither is the id of a session a credential."""
    opened = accounts.login_service.login_opaque("ana", PASSWORD, kind=SessionKind.BROWSER)
    assert accounts.refuses(opened.token.text)
    known = accounts.login_service.authenticator.by_session(opened.token.text, SessionKind.BROWSER)
    assert known.username == "ana"
    signed_in = accounts.login()
    sid = accounts.actor(signed_in).session_id
    assert accounts.refuses(f"wbs_{sid}_{'a' * 64}")
    assert accounts.refuses(f"wbs_unknown_{opened.token.secret}")
    assert accounts.refuses("wbs_")
    with pytest.raises(Unauthenticated):
        accounts.login_service.authenticator.by_session(f"wbk_{sid}_x", kind)


def test_an_opaque_token_of_an_inactive_user_is_invalid(accounts: AccountFixture) -> None:
    opened = accounts.login_service.login_opaque("ana", PASSWORD)
    accounts.change("ana", is_active=False)
    assert accounts.refuses(opened.token.text)


def test_a_browser_login_replaces_its_previous_session(accounts: AccountFixture) -> None:
    """The previous session is revoked (ASVS 7.2.4)."""
    browser = SessionKind.BROWSER
    planted = accounts.login_service.login_opaque("bob", PASSWORD, kind=browser)
    opened = accounts.login_service.login_opaque(
        "ana", PASSWORD, kind=browser, replaces=planted.token.id
    )
    assert opened.token.id != planted.token.id
    assert accounts.session(planted.token.id).revoked_at == NOON
    accounts.login_service.login_opaque("ana", PASSWORD, kind=browser, replaces="gone")
    accounts.login_service.login_opaque("ana", PASSWORD, kind=browser, replaces=planted.token.id)
    assert opened.expires_at == NOON + timedelta(days=1)


def test_a_browser_session_continues_while_it_is_used(accounts: AccountFixture) -> None:
    opened = accounts.login_service.login_opaque("ana", PASSWORD, kind=SessionKind.BROWSER)
    for _ in range(3):
        accounts.clock.wait(23 * 3600)
        accounts.login_service.authenticator.by_session(opened.token.text, SessionKind.BROWSER)
    accounts.clock.wait(24 * 3600)
    with pytest.raises(Unauthenticated):
        accounts.login_service.authenticator.by_session(opened.token.text, SessionKind.BROWSER)


# actor cache


def test_a_cached_actor_is_not_read_again(accounts: AccountFixture) -> None:
    signed_in = accounts.login()
    accounts.actor(signed_in)
    with accounts.store.begin() as tx:  # as another process would
        tx.users.replace(evolve(accounts.user("ana"), is_active=False))
    assert not accounts.refuses(signed_in.access)
    accounts.clock.wait(TTL.total_seconds())
    assert accounts.refuses(signed_in.access)


def test_each_request_has_its_own_client_info(accounts: AccountFixture) -> None:
    signed_in = accounts.login()
    assert accounts.actor(signed_in).client_info == CLIENT
    elsewhere = ClientInfo(request_id="other", address="192.0.2.9")
    assert accounts.login_service.authenticate(signed_in.access, elsewhere).client_info == elsewhere


def test_an_actor_read_before_an_eviction_is_not_cached(accounts: AccountFixture) -> None:
    actor_cache, ana = ActorCache(), accounts.ana()
    mark = actor_cache.generation()
    actor_cache.evict(UserId(99))
    actor_cache.put("token", ana, NOON, NOON + timedelta(hours=1), mark)
    assert actor_cache.find("token", NOON) is None
    actor_cache.put("token", ana, NOON, NOON + timedelta(hours=1), actor_cache.generation())
    assert actor_cache.find("token", NOON) == ana
    actor_cache.evict(UserId(99))
    assert actor_cache.find("token", NOON) == ana
    actor_cache.evict(ana.user_id)
    assert actor_cache.find("token", NOON) is None


def test_an_actor_is_not_cached_beyond_the_tokens_expiry(accounts: AccountFixture) -> None:
    actor_cache, ana = ActorCache(), accounts.ana()
    actor_cache.put("token", ana, NOON, NOON + timedelta(seconds=1), actor_cache.generation())
    assert actor_cache.find("token", NOON) == ana
    assert actor_cache.find("token", NOON + timedelta(seconds=1)) is None


def test_the_number_of_cached_actors_is_limited(
    accounts: AccountFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_ENTRIES == 10_000
    monkeypatch.setattr("workbell.services.identity.actor_cache.MAX_ENTRIES", 2)
    actor_cache, ana, end = ActorCache(), accounts.ana(), NOON + timedelta(hours=1)
    for token in ("a", "b", "c"):
        actor_cache.put(token, ana, NOON, end, actor_cache.generation())
    assert [actor_cache.find(token, NOON) is None for token in ("a", "b", "c")] == [
        True,
        False,
        False,
    ]


def test_a_wrong_password_starts_no_opaque_session(accounts: AccountFixture) -> None:
    with pytest.raises(WrongCredentials):
        accounts.login_service.login_opaque("ana", "wrong")


def test_old_codes_and_sessions_are_pruned(accounts: AccountFixture) -> None:
    accounts.login()
    accounts.identity.resend_otp("ana@example.com")
    accounts.clock.wait(2 * 24 * 3600)
    assert accounts.services.sessions.prune() == 0
    accounts.clock.wait(1)
    assert accounts.services.sessions.prune() == 1
    accounts.clock.wait(30 * 24 * 3600)
    assert accounts.services.sessions.prune() == 1


def test_retention_runs_the_extra_prunes(accounts: AccountFixture) -> None:
    from workbell.domain.jobs.job import ENDED
    from workbell.services.jobs.retention import RetentionService

    retention = RetentionService(
        store=accounts.store,
        clock=accounts.clock,
        files=None,  # type: ignore[arg-type]
        max_age=dict.fromkeys(ENDED, timedelta(days=1)),
        max_age_scheduled=timedelta(days=1),
        extra_prunes={"codes": lambda: 2, "notices": lambda: 3, "sessions": lambda: 0},
    )
    assert retention.prune() == {"codes": 2, "notices": 3}
