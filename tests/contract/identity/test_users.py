"""Users: stored, found, changed and listed."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, a_user, after
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import SYSTEM_ID, AlreadyTaken, Role, Tier, User, UserId
from workbell.ports.identity.users import UserFilter


def person(store: AnyStore, name: str = "alice", **fields: Any) -> User:
    with store.begin() as tx:
        return tx.users.add(a_user(name, **fields))


# users


def test_a_user_is_returned_with_an_id(store: AnyStore) -> None:
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


def test_an_unknown_user_is_not_found(store: AnyStore) -> None:
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
    with pytest.raises(AlreadyTaken) as caught:
        person(store, name, email=email)
    assert set(caught.value.field_errors) == fields
    assert person(store, "free").username == "free"


def test_a_taken_username_and_a_taken_address_are_both_reported(store: AnyStore) -> None:
    """A username and an email address taken by two users are both reported."""
    person(store, "alice")
    person(store, "bob")
    with pytest.raises(AlreadyTaken) as caught:
        person(store, "alice", email="bob@example.com")
    assert set(caught.value.field_errors) == {"username", "email"}


def test_one_of_many_threads_gets_the_name(store: AnyStore) -> None:
    def register(n: int) -> bool:
        try:
            person(store, "alice", email=f"a{n}@example.com")
        except AlreadyTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(register, range(16))) == 1


def test_users_are_found_by_name_or_address(store: AnyStore) -> None:
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
def test_unusable_login_names_find_no_user(store: AnyStore, text: str) -> None:
    person(store)
    with store.view() as tx:
        assert tx.users.by_login(text) is None
        assert tx.users.by_email(text) is None


def test_a_user_is_replaced_except_id_and_creation_time(store: AnyStore) -> None:
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


def test_a_replaced_user_cannot_have_the_name_of_another(store: AnyStore) -> None:
    alice = person(store, "alice")
    person(store, "bob")
    taking = evolve(alice, username="BOB", email="bob@EXAMPLE.com")
    with pytest.raises(AlreadyTaken) as caught, store.begin() as tx:
        tx.users.replace(taking)
    assert set(caught.value.field_errors) == {"username", "email"}
    with pytest.raises(NotFound), store.begin() as tx:
        tx.users.replace(evolve(alice, id=UserId(999), username="x", email="x@example.com"))
    with store.view() as tx:
        assert tx.users.get(alice.id) == alice


def test_only_an_active_superuser_counts(store: AnyStore) -> None:
    person(store, "admin", role=Role.ADMIN)
    boss = person(store, "boss", is_super_user=True, is_active=False)
    with store.begin() as tx:
        assert not tx.users.has_super_user()
        tx.users.replace(evolve(boss, is_active=True))
        assert tx.users.has_super_user()


# lists of people


def test_users_are_filtered_by_their_attributes(store: AnyStore) -> None:
    ann = person(store, "Ann", tier=Tier.PREMIUM, created_at=after(2))
    bob = person(store, "bob", role=Role.ADMIN, is_email_verified=True, created_at=after(1))
    cat = person(store, "cat", is_active=False, is_super_user=True, created_at=after(3))

    def found(**filters: Any) -> list[User]:
        with store.view() as tx:
            users = tx.users.find(UserFilter(**filters))
            assert tx.users.count(UserFilter(**filters)) == len(users)
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


def test_users_are_listed_in_order_and_in_pages(store: AnyStore) -> None:
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


def test_the_usernames_of_active_users_are_listed(store: AnyStore) -> None:
    person(store, "zoe")
    person(store, "gone", is_active=False)
    person(store, "adam")
    with store.view() as tx:
        (first, second) = tx.users.usernames(after=UserId(0), limit=9)
        assert [first[1], second[1]] == ["zoe", "adam"]
        assert list(tx.users.usernames(after=UserId(0), limit=1)) == [first]
        assert list(tx.users.usernames(after=first[0], limit=9)) == [second]
        assert list(tx.users.usernames(after=second[0], limit=9)) == []


@pytest.mark.parametrize(
    "text",
    ["' OR '1'='1", "'; DROP TABLE users; --", "%", "_", "\\", '" OR ""="', "a%' ESCAPE '\\"],
)
def test_hostile_text_is_stored_as_text(store: AnyStore, text: str) -> None:
    person(store)
    with store.view() as tx:
        assert tx.users.by_login(text) is None
        assert tx.users.find(UserFilter(search=text)) == []
        assert tx.users.find(UserFilter(email=text)) == []
        assert tx.sessions.find(text) is None
        assert tx.api_keys.by_prefix(text) is None
        assert tx.users.count(UserFilter()) == 1
