"""Sessions."""

from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import ALICE, BOB, NOON, AnyStore, after
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.one_time_code import CODE_LIFETIME
from workbell.domain.identity.session import MAX_SESSIONS, Session, SessionKind
from workbell.domain.identity.user import UserId


def a_session(**fields: Any) -> Session:
    return evolve(Session.start("session-1", ALICE, "jti-1", NOON, CODE_LIFETIME), **fields)


@pytest.mark.usefixtures("people")
def test_a_session_is_returned_unchanged(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.sessions.add(a_session())
        assert tx.sessions.get_for_update("session-1") == a_session()
    with store.view() as tx:
        assert tx.sessions.find("session-1") == a_session()
        assert tx.sessions.find("session-2") is None


@pytest.mark.usefixtures("people")
def test_a_session_id_is_unique(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.sessions.add(a_session())
    with pytest.raises(Conflict), store.begin() as tx:
        tx.sessions.add(a_session(user_id=BOB))
    with store.view() as tx:
        assert tx.sessions.find("session-1") == a_session()


@pytest.mark.usefixtures("people")
def test_a_session_is_replaced_except_id_user_and_creation_time(store: AnyStore) -> None:
    rotated = a_session().rotated("jti-2", after(9), CODE_LIFETIME).revoked(after(10))
    with store.begin() as tx:
        tx.sessions.add(a_session())
        tx.sessions.replace(evolve(rotated, user_id=BOB, created_at=after(5)))
    with store.view() as tx:
        assert tx.sessions.find("session-1") == rotated


def test_an_unknown_session_is_not_found(store: AnyStore) -> None:
    with store.begin() as tx:
        with pytest.raises(NotFound):
            tx.sessions.get_for_update("session-1")
        with pytest.raises(NotFound):
            tx.sessions.replace(a_session())


@pytest.mark.usefixtures("people")
def test_a_session_stores_its_address_and_user_agent(store: AnyStore) -> None:
    session = Session.start(
        "s", ALICE, "h" * 64, NOON, CODE_LIFETIME, kind=SessionKind.BROWSER,
        client_info=ClientInfo(address="2001:db8::1", user_agent="Agent/1 – é"),
    )  # fmt: skip
    with store.begin() as tx:
        tx.sessions.add(session)
    with store.view() as tx:
        found = tx.sessions.find("s")
    assert found == session
    assert found is not None
    assert type(found.kind) is SessionKind


@pytest.mark.usefixtures("people")
def test_addresses_of_earlier_sessions_are_known(store: AnyStore) -> None:
    """Also after the session has ended; other users' addresses are unknown."""
    session = Session.start(
        "s", ALICE, "h", NOON, CODE_LIFETIME, client_info=ClientInfo(address="192.0.2.1")
    )
    with store.begin() as tx:
        tx.sessions.add(session.revoked(NOON))
    with store.view() as tx:
        assert tx.sessions.has_login_from(ALICE, "192.0.2.1")
        assert not tx.sessions.has_login_from(ALICE, "192.0.2.11")
        assert not tx.sessions.has_login_from(ALICE, "")
        assert not tx.sessions.has_login_from(BOB, "192.0.2.1")
        assert not tx.sessions.has_login_from(UserId(0), "192.0.2.1")


@pytest.mark.usefixtures("people")
def test_the_use_of_a_session_is_recorded_unless_it_was_revoked(store: AnyStore) -> None:
    used = evolve(a_session(), last_used_at=after(60), expires_at=after(999))
    with store.begin() as tx:
        tx.sessions.record_use(used)
        tx.sessions.add(a_session())
        tx.sessions.record_use(evolve(used, current_jti="not noted"))
        assert tx.sessions.find("session-1") == used
        tx.sessions.replace(used.revoked(after(70)))
        tx.sessions.record_use(evolve(used, last_used_at=after(80)))
        assert tx.sessions.find("session-1") == used.revoked(after(70))


@pytest.mark.usefixtures("people")
def test_all_sessions_of_a_user_except_one_are_revoked(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in (1, 2, 3):
            tx.sessions.add(a_session(id=f"a-{number}", created_at=after(number)))
        tx.sessions.add(a_session(id="over", expires_at=after(5)))
        tx.sessions.add(a_session(id="bobs", user_id=BOB))
        assert [one.id for one in tx.sessions.list_for_user(ALICE, after(9))] == [
            "a-3",
            "a-2",
            "a-1",
        ]
        assert tx.sessions.revoke_all(ALICE, after(10), except_id="a-2") == 2
        assert [one.id for one in tx.sessions.list_for_user(ALICE, after(11))] == ["a-2"]
        assert tx.sessions.revoke_all(ALICE, after(12)) == 1
        assert tx.sessions.list_for_user(ALICE, after(13)) == []
        assert [one.id for one in tx.sessions.list_for_user(BOB, after(13))] == ["bobs"]
        first = tx.sessions.find("a-1")
        assert first is not None and first.revoked_at == after(10)


@pytest.mark.usefixtures("people")
def test_the_oldest_active_sessions_are_revoked(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in (1, 2, 3, 4):
            tx.sessions.add(a_session(id=f"a-{number}", created_at=after(number)))
        tx.sessions.add(a_session(id="over", created_at=after(9), expires_at=after(5)))
        tx.sessions.add(a_session(id="bobs", user_id=BOB))
        assert tx.sessions.revoke_oldest(ALICE, after(6), keep=4) == 0
        assert tx.sessions.revoke_oldest(ALICE, after(6), keep=2) == 2
        assert [one.id for one in tx.sessions.list_for_user(ALICE, after(6))] == ["a-4", "a-3"]
        assert [one.id for one in tx.sessions.list_for_user(BOB, after(6))] == ["bobs"]
        first = tx.sessions.find("a-1")
        assert first is not None and first.revoked_at == after(6)


@pytest.mark.usefixtures("people")
def test_a_list_of_sessions_is_bounded(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in range(MAX_SESSIONS + 2):
            tx.sessions.add(a_session(id=f"a-{number}", created_at=after(number)))
        found = tx.sessions.list_for_user(ALICE, after(1))
    assert len(found) == MAX_SESSIONS
    assert found[0].id == f"a-{MAX_SESSIONS + 1}"


@pytest.mark.usefixtures("people")
def test_ended_sessions_are_purged_in_batches(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in (1, 2, 3):
            tx.sessions.add(a_session(id=f"a-{number}", expires_at=after(number)))
        assert tx.sessions.purge(after(3), limit=1) == 1
        assert tx.sessions.purge(after(3), limit=9) == 1
        assert tx.sessions.purge(after(3), limit=9) == 0
        assert tx.sessions.find("a-3") is not None
