"""Second factors: one per user, replaced only if unchanged."""

from concurrent.futures import ThreadPoolExecutor

from attrs import evolve

from tests.contract.factories import NOON, AnyStore, after
from workbell.domain.identity.second_factor import SecondFactor
from workbell.domain.identity.user import UserId

ANA, BOB = UserId(7), UserId(8)
NEW = SecondFactor(user_id=ANA, seed="ab" * 32, key_id="k" * 16, created_at=NOON)
FULL = evolve(
    NEW,
    confirmed_at=after(0.000001),
    last_step=2_147_483_647,
    recovery=tuple(f"{n:064x}" for n in range(10)),
)


def keep(store: AnyStore, *factors: SecondFactor) -> None:
    with store.begin() as tx:
        for one in factors:
            tx.second_factors.put(one)


def found(store: AnyStore, whose: UserId = ANA) -> SecondFactor | None:
    with store.view() as tx:
        return tx.second_factors.find(whose)


def test_a_factor_is_returned_unchanged(store: AnyStore) -> None:
    assert found(store) is None
    keep(store, NEW, evolve(FULL, user_id=BOB))
    assert found(store) == NEW
    assert found(store, BOB) == evolve(FULL, user_id=BOB)


def test_a_new_factor_replaces_the_stored_one(store: AnyStore) -> None:
    keep(store, FULL)
    keep(store, evolve(NEW, seed="cd" * 32))
    assert found(store) == evolve(NEW, seed="cd" * 32)


def test_a_factor_is_replaced_only_if_it_is_unchanged(store: AnyStore) -> None:
    keep(store, NEW, evolve(FULL, user_id=BOB))
    with store.begin() as tx:
        assert tx.second_factors.replace(NEW, FULL)
        assert not tx.second_factors.replace(NEW, evolve(FULL, last_step=5))
    used = evolve(FULL, recovery=FULL.recovery[1:])
    with store.begin() as tx:
        assert tx.second_factors.replace(FULL, used)
        assert not tx.second_factors.replace(FULL, used)
        assert not tx.second_factors.replace(evolve(used, seed="cd" * 32), FULL)
        assert not tx.second_factors.replace(evolve(used, user_id=UserId(9)), FULL)
    assert found(store) == used
    assert found(store, BOB) == evolve(FULL, user_id=BOB)


def test_the_last_recovery_code_can_be_used(store: AnyStore) -> None:
    last = evolve(FULL, recovery=FULL.recovery[:1])
    keep(store, last)
    with store.begin() as tx:
        assert tx.second_factors.replace(last, evolve(last, recovery=()))
    assert found(store) == evolve(last, recovery=())


def test_one_of_several_parallel_uses_counts(store: AnyStore) -> None:
    keep(store, FULL)
    after_one = evolve(FULL, recovery=FULL.recovery[1:])

    def use(_: int) -> bool:
        with store.begin() as tx:
            return tx.second_factors.replace(FULL, after_one)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, range(8))) == 1


def test_a_factor_is_removed_once_and_for_its_user_only(store: AnyStore) -> None:
    keep(store, FULL, evolve(FULL, user_id=BOB))
    with store.begin() as tx:
        assert tx.second_factors.remove(ANA)
        assert not tx.second_factors.remove(ANA)
    assert found(store) is None
    assert found(store, BOB) is not None
