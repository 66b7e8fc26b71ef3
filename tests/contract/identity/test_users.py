"""People, one-time codes and sessions."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import ALICE, BOB, NOON, AnyStore, a_user, after
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import Origin
from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.one_time_code import LIFE, MAX_ATTEMPTS, OneTimeCode, Purpose
from workbell.domain.identity.session import Session, SessionKind
from workbell.domain.identity.user import SYSTEM_ID, KeyScope, Role, Taken, Tier, User, UserId
from workbell.ports.identity.users import UserFilter

VERIFY = Purpose.VERIFY_EMAIL


def person(store: AnyStore, name: str = "alice", **fields: Any) -> User:
    with store.begin() as tx:
        return tx.users.add(a_user(name, **fields))


# users


def test_a_user_comes_back_with_an_id(store: AnyStore) -> None:
    new = a_user(
        "älice",
        email="Alice@Example.com",
        first_name="Älice",
        last_name="O’Neill – 李",
        password_hash="$argon2id$x",
        role=Role.MANAGER,
        tier=Tier.PREMIUM,
        is_super_user=True,
        is_active=False,
        is_email_verified=True,
        time_zone="Europe/Berlin",
        token_version=7,
        password_expires_at=after(0.000002),
        created_at=after(0.000001),
    )
    with store.begin() as tx:
        kept = tx.users.add(evolve(new, id=UserId(99)))
        assert tx.users.get_for_update(kept.id) == kept
    assert kept == evolve(new, id=kept.id)
    assert kept.id == 1
    with store.view() as tx:
        found = tx.users.get(kept.id)
    assert found == kept
    assert (type(found.role), type(found.tier)) == (Role, Tier)


def test_ids_count_up(store: AnyStore) -> None:
    assert [person(store, name).id for name in ("a-1", "b-1", "c-1")] == [1, 2, 3]


def test_nobody_is_not_found(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in (SYSTEM_ID, UserId(1), UserId(-1)):
            with pytest.raises(NotFound):
                tx.users.get(number)
            with pytest.raises(NotFound):
                tx.users.get_for_update(number)
        assert not tx.users.has_super_user()


@pytest.mark.parametrize(
    ("name", "email", "fields"),
    [
        ("alice", "other@example.com", {"username"}),
        ("ALICE", "other@example.com", {"username"}),
        ("ＡＬＩＣＥ", "other@example.com", {"username"}),
        ("other", "alice@example.com", {"email"}),
        ("other", "Alice@EXAMPLE.com", {"email"}),
        ("Alice", "ALICE@example.com", {"username", "email"}),
    ],
)
def test_names_and_addresses_are_unique_regardless_of_case(
    store: AnyStore, name: str, email: str, fields: set[str]
) -> None:
    person(store)
    with pytest.raises(Taken) as caught:
        person(store, name, email=email)
    assert set(caught.value.field_errors) == fields
    assert person(store, "free").username == "free"


def test_two_people_may_hold_one_name_each(store: AnyStore) -> None:
    """A name and an address that are taken by two different people are both told."""
    person(store, "alice")
    person(store, "bob")
    with pytest.raises(Taken) as caught:
        person(store, "alice", email="bob@example.com")
    assert set(caught.value.field_errors) == {"username", "email"}


def test_of_many_threads_one_gets_the_name(store: AnyStore) -> None:
    def register(n: int) -> bool:
        try:
            person(store, "alice", email=f"a{n}@example.com")
        except Taken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(register, range(16))) == 1


def test_people_are_found_by_name_or_address(store: AnyStore) -> None:
    alice, bob = person(store, "Alice"), person(store, "bob", is_active=False)
    with store.view() as tx:
        for text in ("alice", "ALICE", " alice ", "alice@example.com", "ALICE@Example.COM"):
            assert tx.users.by_login(text) == alice
        assert tx.users.by_login("bob") == bob
        assert tx.users.by_email("Alice@example.com") == alice
        assert tx.users.by_email("bob@example.com") == bob


@pytest.mark.parametrize(
    "text", ["", "nobody", "alice@", "@", "\x00", "\ud800", "alice\x00", "x" * 5000, "a@b" * 999]
)
def test_text_that_nobody_has_finds_nobody(store: AnyStore, text: str) -> None:
    person(store)
    with store.view() as tx:
        assert tx.users.by_login(text) is None
        assert tx.users.by_email(text) is None


def test_a_user_is_replaced_but_for_id_and_start(store: AnyStore) -> None:
    alice = person(store)
    changed = evolve(
        alice,
        username="alicia",
        email="alicia@example.org",
        first_name="A",
        last_name="B",
        password_hash="new",
        role=Role.ADMIN,
        tier=Tier.PREMIUM,
        is_super_user=True,
        is_active=False,
        is_email_verified=True,
        time_zone="Asia/Tokyo",
        token_version=2,
        created_at=after(999),
    )
    with store.begin() as tx:
        tx.users.replace(changed)
    with store.view() as tx:
        assert tx.users.get(alice.id) == evolve(changed, created_at=NOON)
        assert tx.users.by_login("alicia") is not None
        assert tx.users.by_login("alice") is None
        assert tx.users.by_email("alice@example.com") is None
    assert person(store, "alice").id != alice.id


def test_a_user_may_keep_their_own_names(store: AnyStore) -> None:
    alice = person(store)
    with store.begin() as tx:
        tx.users.replace(evolve(alice, username="ALICE", email="Alice@example.com"))
    with store.view() as tx:
        assert tx.users.get(alice.id).username == "ALICE"


def test_replacing_takes_no_name_of_another(store: AnyStore) -> None:
    alice = person(store, "alice")
    person(store, "bob")
    taking = evolve(alice, username="BOB", email="bob@EXAMPLE.com")
    with pytest.raises(Taken) as caught, store.begin() as tx:
        tx.users.replace(taking)
    assert set(caught.value.field_errors) == {"username", "email"}
    with pytest.raises(NotFound), store.begin() as tx:
        tx.users.replace(evolve(alice, id=UserId(999), username="x", email="x@example.com"))
    with store.view() as tx:
        assert tx.users.get(alice.id) == alice


def test_a_superuser_counts_while_active(store: AnyStore) -> None:
    person(store, "admin", role=Role.ADMIN)
    boss = person(store, "boss", is_super_user=True, is_active=False)
    with store.begin() as tx:
        assert not tx.users.has_super_user()
        tx.users.replace(evolve(boss, is_active=True))
        assert tx.users.has_super_user()


# one-time codes


def a_code(user_id: UserId = ALICE, at: float = 0) -> OneTimeCode:
    return OneTimeCode.issue(user_id, VERIFY, f"hash {at}", after(at))


def code_of(store: AnyStore, user_id: UserId = ALICE) -> OneTimeCode | None:
    with store.view() as tx:
        return tx.codes.latest(user_id, VERIFY)


@pytest.fixture
def people(store: AnyStore) -> tuple[UserId, UserId]:
    """Return the ids of two people, Alice's and Bob's."""
    return person(store, "alice").id, person(store, "bob").id


@pytest.mark.usefixtures("people")
def test_a_code_comes_back_with_an_id(store: AnyStore) -> None:
    with store.begin() as tx:
        kept = tx.codes.add(a_code())
    assert kept == evolve(a_code(), id=kept.id)
    assert code_of(store) == kept
    assert code_of(store, BOB) is None


@pytest.mark.usefixtures("people")
def test_a_new_code_supersedes_the_earlier_ones_of_its_person(store: AnyStore) -> None:
    with store.begin() as tx:
        long_over = tx.codes.add(evolve(a_code(), expires_at=after(1)))
        first = tx.codes.add(a_code(at=10))
        bobs = tx.codes.add(a_code(BOB))
        second = tx.codes.add(a_code(at=60))
        assert second.id > first.id
        assert not tx.codes.try_attempt(first.id, after(61))
        assert not tx.codes.try_use(first.id, after(60))
        assert tx.codes.try_use(first.id, after(59))
        assert not tx.codes.try_use(long_over.id, after(1))
        assert tx.codes.try_use(bobs.id, after(61))
    assert code_of(store) == second


@pytest.mark.usefixtures("people")
def test_codes_are_counted_since_a_moment(store: AnyStore) -> None:
    with store.begin() as tx:
        for seconds in (0, 60, 120):
            tx.codes.add(a_code(at=seconds))
        tx.codes.add(a_code(BOB, at=60))
        assert tx.codes.count_since(ALICE, VERIFY, after(-1)) == 3
        assert tx.codes.count_since(ALICE, VERIFY, after(60)) == 1
        assert tx.codes.count_since(ALICE, VERIFY, after(120)) == 0
        assert tx.codes.count_since(UserId(9), VERIFY, after(-1)) == 0


@pytest.mark.usefixtures("people")
def test_a_try_counts_until_there_are_too_many(store: AnyStore) -> None:
    with store.begin() as tx:
        code = tx.codes.add(a_code())
        tries = [tx.codes.try_attempt(code.id, NOON) for _ in range(MAX_ATTEMPTS + 2)]
    assert tries == [True] * MAX_ATTEMPTS + [False] * 2
    assert code_of(store) == evolve(code, attempts=MAX_ATTEMPTS)
    with store.begin() as tx:
        assert tx.codes.try_use(code.id, NOON)
        assert not tx.codes.try_attempt(12345, NOON)
        assert not tx.codes.try_use(12345, NOON)


@pytest.mark.usefixtures("people")
def test_a_code_works_until_it_expires_and_once(store: AnyStore) -> None:
    with store.begin() as tx:
        code = tx.codes.add(a_code())
        assert not tx.codes.try_attempt(code.id, NOON + LIFE)
        assert not tx.codes.try_use(code.id, NOON + LIFE)
        assert tx.codes.try_attempt(code.id, NOON + LIFE - (after(0.000001) - NOON))
        assert tx.codes.try_use(code.id, after(5))
        assert not tx.codes.try_use(code.id, after(5))
        assert not tx.codes.try_attempt(code.id, after(5))
    assert code_of(store) == evolve(code, attempts=1, used_at=after(5))


@pytest.mark.usefixtures("people")
def test_of_parallel_guesses_and_uses_only_so_many_count(store: AnyStore) -> None:
    with store.begin() as tx:
        code = tx.codes.add(a_code())

    def guess(_: int) -> bool:
        with store.begin() as tx:
            return tx.codes.try_attempt(code.id, NOON)

    def use(_: int) -> bool:
        with store.begin() as tx:
            return tx.codes.try_use(code.id, NOON)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(guess, range(24))) == MAX_ATTEMPTS
        assert sum(pool.map(use, range(24))) == 1


# sessions


def a_session(**fields: Any) -> Session:
    return evolve(Session.start("session-1", ALICE, "jti-1", NOON, LIFE), **fields)


@pytest.mark.usefixtures("people")
def test_a_session_comes_back_as_it_went_in(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.sessions.add(a_session())
        assert tx.sessions.get_for_update("session-1") == a_session()
    with store.view() as tx:
        assert tx.sessions.find("session-1") == a_session()
        assert tx.sessions.find("session-2") is None


@pytest.mark.usefixtures("people")
def test_an_id_stands_for_one_session(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.sessions.add(a_session())
    with pytest.raises(Conflict), store.begin() as tx:
        tx.sessions.add(a_session(user_id=BOB))
    with store.view() as tx:
        assert tx.sessions.find("session-1") == a_session()


@pytest.mark.usefixtures("people")
def test_a_session_is_replaced_but_for_id_user_and_start(store: AnyStore) -> None:
    rotated = a_session().rotated("jti-2", after(9), LIFE).revoked(after(10))
    with store.begin() as tx:
        tx.sessions.add(a_session())
        tx.sessions.replace(evolve(rotated, user_id=BOB, created_at=after(5)))
    with store.view() as tx:
        assert tx.sessions.find("session-1") == rotated


def test_a_session_that_is_not_there_is_not_found(store: AnyStore) -> None:
    with store.begin() as tx:
        with pytest.raises(NotFound):
            tx.sessions.get_for_update("session-1")
        with pytest.raises(NotFound):
            tx.sessions.replace(a_session())


@pytest.mark.usefixtures("people")
def test_wrong_tries_are_counted_over_all_codes_of_a_person(store: AnyStore) -> None:
    with store.begin() as tx:
        first = tx.codes.add(a_code())
        reset = tx.codes.add(evolve(a_code(at=60), purpose=Purpose.RESET_PASSWORD))
        for _ in range(3):
            assert tx.codes.try_attempt(first.id, after(1))
        assert tx.codes.try_attempt(reset.id, after(61))
        assert tx.codes.try_attempt(reset.id, after(61))
        assert tx.codes.try_use(reset.id, after(61))
        assert tx.codes.count_wrong_since(ALICE, after(-1)) == 4
        assert tx.codes.count_wrong_since(ALICE, after(0)) == 1
        assert tx.codes.count_wrong_since(BOB, after(-1)) == 0


@pytest.mark.usefixtures("people")
def test_a_code_that_was_used_untried_takes_nothing_off_the_count(store: AnyStore) -> None:
    with store.begin() as tx:
        code = tx.codes.add(a_code())
        assert tx.codes.try_use(code.id, NOON)
        assert tx.codes.count_wrong_since(ALICE, after(-1)) == 0


@pytest.mark.usefixtures("people")
def test_old_codes_are_purged_a_few_at_a_time(store: AnyStore) -> None:
    with store.begin() as tx:
        for seconds in (0, 60, 120):
            tx.codes.add(a_code(at=seconds))
        assert tx.codes.purge(after(120), limit=1) == 1
        assert tx.codes.purge(after(120), limit=9) == 1
        assert tx.codes.purge(after(120), limit=9) == 0
        assert tx.codes.count_since(ALICE, VERIFY, after(-1)) == 1


# lists of people


def test_people_are_listed_by_what_they_are(store: AnyStore) -> None:
    ann = person(store, "Ann", tier=Tier.PREMIUM, created_at=after(2))
    bob = person(store, "bob", role=Role.ADMIN, is_email_verified=True, created_at=after(1))
    cat = person(store, "cat", is_active=False, is_super_user=True, created_at=after(3))

    def found(**which: Any) -> list[User]:
        with store.view() as tx:
            users = tx.users.find(UserFilter(**which))
            assert tx.users.count(UserFilter(**which)) == len(users)
        return list(users)

    assert found() == [ann, bob, cat]
    assert found(id=bob.id) == [bob]
    assert found(role=Role.ADMIN) == [bob]
    assert found(tier=Tier.FREE) == [bob, cat]
    assert found(is_active=True) == [ann, bob]
    assert found(is_super_user=True) == [cat]
    assert found(is_email_verified=False) == [ann, cat]
    assert found(email="ANN@example.com") == [ann]
    assert found(email="nobody@example.com") == []
    assert found(search="AN") == [ann]
    assert found(search="example") == [ann, bob, cat]
    assert found(search="%") == []
    assert found(tier=Tier.FREE, is_active=True) == [bob]


def test_people_are_listed_in_order_and_in_parts(store: AnyStore) -> None:
    for name, at in (("Beth", 1), ("adam", 2), ("carl", 2)):
        person(store, name, created_at=after(at))

    def names(*ordering: str, offset: int = 0, limit: int = 9) -> list[str]:
        with store.view() as tx:
            part = tx.users.find(UserFilter(), ordering=ordering, offset=offset, limit=limit)
        return [user.username for user in part]

    assert names("username") == ["adam", "Beth", "carl"]
    assert names("-email") == ["carl", "Beth", "adam"]
    assert names("-created_at") == ["carl", "adam", "Beth"]
    assert names("created_at", "-username") == ["Beth", "carl", "adam"]
    assert names("id", offset=1, limit=1) == ["adam"]
    assert names("-id") == ["carl", "adam", "Beth"]


def test_the_names_of_active_people_are_told(store: AnyStore) -> None:
    person(store, "zoe")
    person(store, "gone", is_active=False)
    person(store, "adam")
    with store.view() as tx:
        assert list(tx.users.usernames()) == ["zoe", "adam"]


# what becomes of sessions


@pytest.mark.usefixtures("people")
def test_a_session_keeps_where_it_was_opened(store: AnyStore) -> None:
    session = Session.start(
        "s", ALICE, "h" * 64, NOON, LIFE, kind=SessionKind.BROWSER,
        origin=Origin(address="2001:db8::1", user_agent="Agent/1 – é"),
    )  # fmt: skip
    with store.begin() as tx:
        tx.sessions.add(session)
    with store.view() as tx:
        found = tx.sessions.find("s")
    assert found == session
    assert found is not None
    assert type(found.kind) is SessionKind


@pytest.mark.usefixtures("people")
def test_who_has_signed_in_from_an_address_is_known_there(store: AnyStore) -> None:
    """Also when the session is over, and nobody else is."""
    session = Session.start("s", ALICE, "h", NOON, LIFE, origin=Origin(address="192.0.2.1"))
    with store.begin() as tx:
        tx.sessions.add(session.revoked(NOON))
    with store.view() as tx:
        assert tx.sessions.opened_from(ALICE, "192.0.2.1")
        assert not tx.sessions.opened_from(ALICE, "192.0.2.11")
        assert not tx.sessions.opened_from(ALICE, "")
        assert not tx.sessions.opened_from(BOB, "192.0.2.1")
        assert not tx.sessions.opened_from(UserId(0), "192.0.2.1")


@pytest.mark.usefixtures("people")
def test_the_use_of_a_session_is_noted_unless_it_was_revoked(store: AnyStore) -> None:
    used = evolve(a_session(), last_used_at=after(60), expires_at=after(999))
    with store.begin() as tx:
        tx.sessions.note_use(used)
        tx.sessions.add(a_session())
        tx.sessions.note_use(evolve(used, current_jti="not noted"))
        assert tx.sessions.find("session-1") == used
        tx.sessions.replace(used.revoked(after(70)))
        tx.sessions.note_use(evolve(used, last_used_at=after(80)))
        assert tx.sessions.find("session-1") == used.revoked(after(70))


@pytest.mark.usefixtures("people")
def test_all_sessions_of_a_person_end_but_one(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in (1, 2, 3):
            tx.sessions.add(a_session(id=f"a-{number}", created_at=after(number)))
        tx.sessions.add(a_session(id="over", expires_at=after(5)))
        tx.sessions.add(a_session(id="bobs", user_id=BOB))
        assert [one.id for one in tx.sessions.of_user(ALICE, after(9))] == ["a-3", "a-2", "a-1"]
        assert tx.sessions.revoke_all(ALICE, after(10), but="a-2") == 2
        assert [one.id for one in tx.sessions.of_user(ALICE, after(11))] == ["a-2"]
        assert tx.sessions.revoke_all(ALICE, after(12)) == 1
        assert tx.sessions.of_user(ALICE, after(13)) == []
        assert [one.id for one in tx.sessions.of_user(BOB, after(13))] == ["bobs"]
        first = tx.sessions.find("a-1")
        assert first is not None and first.revoked_at == after(10)


@pytest.mark.usefixtures("people")
def test_sessions_that_are_over_are_purged_a_few_at_a_time(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in (1, 2, 3):
            tx.sessions.add(a_session(id=f"a-{number}", expires_at=after(number)))
        assert tx.sessions.purge(after(3), limit=1) == 1
        assert tx.sessions.purge(after(3), limit=9) == 1
        assert tx.sessions.purge(after(3), limit=9) == 0
        assert tx.sessions.find("a-3") is not None


# API keys


def a_key(prefix: str = "p1", **fields: Any) -> ApiKey:
    values: dict[str, Any] = {
        "user_id": ALICE, "name": "nightly – é", "prefix": prefix, "secret_hash": "f" * 64,
        "scopes": frozenset({KeyScope.READ, KeyScope.WRITE}), "created_at": NOON,
    }  # fmt: skip
    return ApiKey(**values | fields)


@pytest.mark.usefixtures("people")
def test_a_key_comes_back_with_an_id(store: AnyStore) -> None:
    with store.begin() as tx:
        kept = tx.api_keys.add(a_key(expires_at=after(99)))
    assert kept == a_key(id=kept.id, expires_at=after(99))
    with store.view() as tx:
        assert tx.api_keys.by_prefix("p1") == kept
        assert tx.api_keys.by_prefix("P1") is None
        assert tx.api_keys.get(ALICE, kept.id) == kept
        with pytest.raises(NotFound):
            tx.api_keys.get(BOB, kept.id)
        with pytest.raises(NotFound):
            tx.api_keys.get(ALICE, kept.id + 1)


@pytest.mark.usefixtures("people")
def test_a_prefix_stands_for_one_key(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.api_keys.add(a_key())
    with pytest.raises(Conflict), store.begin() as tx:
        tx.api_keys.add(a_key(user_id=BOB))


@pytest.mark.usefixtures("people")
def test_a_key_is_revoked_by_its_person_and_once(store: AnyStore) -> None:
    with store.begin() as tx:
        first, second = tx.api_keys.add(a_key("p1")), tx.api_keys.add(a_key("p2"))
        assert list(tx.api_keys.of_user(ALICE)) == [second, first]
        assert list(tx.api_keys.of_user(BOB)) == []
        assert not tx.api_keys.revoke(BOB, first.id, after(1))
        assert not tx.api_keys.revoke(ALICE, 12345, after(1))
        assert tx.api_keys.revoke(ALICE, first.id, after(2))
        assert not tx.api_keys.revoke(ALICE, first.id, after(3))
        assert tx.api_keys.by_prefix("p1") == first.revoked(after(2))
        assert list(tx.api_keys.of_user(ALICE)) == [second]


@pytest.mark.usefixtures("people")
def test_the_use_of_a_key_is_noted_unless_it_was_revoked(store: AnyStore) -> None:
    with store.begin() as tx:
        key = tx.api_keys.add(a_key())
        tx.api_keys.note_use(evolve(key, id=12345).used(after(1)))
        tx.api_keys.note_use(key.used(after(60)))
        assert tx.api_keys.by_prefix("p1") == key.used(after(60))
        tx.api_keys.revoke(ALICE, key.id, after(61))
        tx.api_keys.note_use(key.used(after(120)))
        assert tx.api_keys.by_prefix("p1") == key.used(after(60)).revoked(after(61))


@pytest.mark.parametrize(
    "text",
    ["' OR '1'='1", "'; DROP TABLE users; --", "%", "_", "\\", '" OR ""="', "a%' ESCAPE '\\"],
)
def test_hostile_text_is_only_text(store: AnyStore, text: str) -> None:
    person(store)
    with store.view() as tx:
        assert tx.users.by_login(text) is None
        assert tx.users.find(UserFilter(search=text)) == []
        assert tx.users.find(UserFilter(email=text)) == []
        assert tx.sessions.find(text) is None
        assert tx.api_keys.by_prefix(text) is None
        assert tx.users.count(UserFilter()) == 1
