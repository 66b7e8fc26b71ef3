"""Accounts: names, tokens that overlap, and the last Admin."""

from datetime import timedelta

import pytest

from tests.domain.delivery.factories import NOON, a_membership, after, an_account
from workbell.domain.delivery.account import AccountRole, check_admin_remains
from workbell.domain.errors import Conflict
from workbell.domain.identity.permissions import Relation

pytestmark = pytest.mark.unit


def test_a_renamed_account_has_the_new_name_and_time() -> None:
    renamed = an_account().rename("Store", after(5))
    assert (renamed.name, renamed.updated_at, renamed.created_at) == ("Store", after(5), NOON)


def test_the_previous_token_is_accepted_for_24_hours_after_a_rotation() -> None:
    rotated = an_account().rotate_token("another token", "b2", NOON)
    assert rotated.token == "another token"
    assert rotated.accepts("b2", after(days=400))
    assert rotated.accepts("a1", after(hours=24) - timedelta.resolution)
    assert not rotated.accepts("a1", after(hours=24))
    assert not rotated.accepts("c3", NOON)


def test_a_second_rotation_ends_the_overlap_of_the_first_token() -> None:
    twice = an_account().rotate_token("2", "b2", NOON).rotate_token("3", "c3", after(1))
    assert [twice.accepts(index, after(2)) for index in ("a1", "b2", "c3")] == [False, True, True]


def test_an_account_without_a_rotation_accepts_its_token_only() -> None:
    assert an_account().accepts("a1", NOON)
    assert not an_account().accepts("b2", NOON)


def test_a_deleted_account_names_the_time() -> None:
    assert an_account().delete(after(1)).deleted_at == after(1)


def test_secret_values_are_not_part_of_the_representation() -> None:
    assert "encrypted token" not in repr(an_account())


def test_roles_have_the_names_and_relations_of_the_api() -> None:
    assert [(role.value, role.label) for role in AccountRole] == [(1, "Admin"), (2, "Normal user")]
    assert AccountRole.ADMIN.relation is Relation.ACCOUNT_ADMIN
    assert AccountRole.NORMAL.relation is Relation.ACCOUNT_NORMAL


def test_a_member_can_be_given_another_role() -> None:
    changed = a_membership().change_role(AccountRole.NORMAL, after(1))
    assert (changed.role, changed.updated_at) == (AccountRole.NORMAL, after(1))


def test_the_only_admin_cannot_leave() -> None:
    with pytest.raises(Conflict):
        check_admin_remains(a_membership(), 1)
    check_admin_remains(a_membership(), 2)
    check_admin_remains(a_membership(AccountRole.NORMAL), 1)
