"""People, one-time codes and sessions."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import evolve

from tests.contract.made import ALICE, BOB, NOON, AnyStore, a_user, after
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity import SYSTEM_ID, Role, Taken, Tier, User, UserId
from workbell.domain.otp import LIFE, MAX_ATTEMPTS, OneTimeCode, Purpose
from workbell.domain.sessions import Session

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
