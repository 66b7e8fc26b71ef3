"""One-time codes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from tests.contract.factories import ALICE, BOB, NOON, AnyStore, after
from workbell.domain.identity.one_time_code import CODE_LIFETIME, MAX_ATTEMPTS, OneTimeCode, Purpose
from workbell.domain.identity.user import UserId

VERIFY = Purpose.VERIFY_EMAIL


def a_code(user_id: UserId = ALICE, at: float = 0) -> OneTimeCode:
    return OneTimeCode.issue(user_id, VERIFY, f"hash {at}", after(at))


def code_of(store: AnyStore, user_id: UserId = ALICE) -> OneTimeCode | None:
    with store.view() as tx:
        return tx.codes.latest(user_id, VERIFY)


@pytest.mark.usefixtures("people")
def test_a_code_is_returned_with_an_id(store: AnyStore) -> None:
    with store.begin() as tx:
        kept = tx.codes.add(a_code())
    assert kept == evolve(a_code(), id=kept.id)
    assert code_of(store) == kept
    assert code_of(store, BOB) is None


@pytest.mark.usefixtures("people")
def test_a_new_code_supersedes_the_users_earlier_ones(store: AnyStore) -> None:
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
def test_codes_are_counted_since_an_instant(store: AnyStore) -> None:
    with store.begin() as tx:
        for seconds in (0, 60, 120):
            tx.codes.add(a_code(at=seconds))
        tx.codes.add(a_code(BOB, at=60))
        assert tx.codes.count_since(ALICE, VERIFY, after(-1)) == 3
        assert tx.codes.count_since(ALICE, VERIFY, after(60)) == 1
        assert tx.codes.count_since(ALICE, VERIFY, after(120)) == 0
        assert tx.codes.count_since(UserId(9), VERIFY, after(-1)) == 0


@pytest.mark.usefixtures("people")
def test_attempts_are_counted_up_to_their_limit(store: AnyStore) -> None:
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
        assert not tx.codes.try_attempt(code.id, NOON + CODE_LIFETIME)
        assert not tx.codes.try_use(code.id, NOON + CODE_LIFETIME)
        assert tx.codes.try_attempt(code.id, NOON + CODE_LIFETIME - (after(0.000001) - NOON))
        assert tx.codes.try_use(code.id, after(5))
        assert not tx.codes.try_use(code.id, after(5))
        assert not tx.codes.try_attempt(code.id, after(5))
    assert code_of(store) == evolve(code, attempts=1, used_at=after(5))


@pytest.mark.usefixtures("people")
def test_parallel_guesses_and_uses_do_not_exceed_their_limits(store: AnyStore) -> None:
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


@pytest.mark.usefixtures("people")
def test_wrong_attempts_are_counted_over_all_codes_of_a_user(store: AnyStore) -> None:
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
def test_a_code_used_without_attempts_does_not_lower_the_count(store: AnyStore) -> None:
    with store.begin() as tx:
        code = tx.codes.add(a_code())
        assert tx.codes.try_use(code.id, NOON)
        assert tx.codes.count_wrong_since(ALICE, after(-1)) == 0


@pytest.mark.usefixtures("people")
def test_old_codes_are_purged_in_batches(store: AnyStore) -> None:
    with store.begin() as tx:
        for seconds in (0, 60, 120):
            tx.codes.add(a_code(at=seconds))
        assert tx.codes.purge(after(120), limit=1) == 1
        assert tx.codes.purge(after(120), limit=9) == 1
        assert tx.codes.purge(after(120), limit=9) == 0
        assert tx.codes.count_since(ALICE, VERIFY, after(-1)) == 1
