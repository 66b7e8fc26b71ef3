"""Actors: their scope, by rights and API keys."""

from datetime import UTC, datetime

import pytest

from workbell.domain.identity.actor import SYSTEM, Actor, ClientInfo, Scope
from workbell.domain.identity.user import (
    KeyScope,
    Role,
    User,
    UserId,
)

pytestmark = pytest.mark.unit


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def ana(**fields: object) -> User:
    values = {"id": UserId(7), "username": "ana", "email": "ana@example.com", "created_at": NOON}
    return User(**(values | fields))  # type: ignore[arg-type]


def test_ordinary_users_see_only_their_own_objects() -> None:
    actor = Actor.of(ana(), session_id="s", client_info=ClientInfo(address="::1"))
    assert actor.scope == Scope(owner=UserId(7))
    assert actor.scope.covers(UserId(7))
    assert not actor.scope.covers(UserId(8))
    assert not actor.is_system
    assert (actor.session_id, actor.client_info.address) == ("s", "::1")


def test_superusers_see_all_objects() -> None:
    actor = Actor.of(ana(is_super_user=True))
    assert actor.scope.covers(UserId(8))
    assert actor.client_info == ClientInfo()


def test_a_platform_role_does_not_widen_the_scope() -> None:
    actor = Actor.of(ana(role=Role.ADMIN))
    assert (actor.role, actor.is_super_user) == (Role.ADMIN, False)
    assert not actor.scope.covers(UserId(8))


def test_only_an_admin_key_has_all_rights_of_its_user() -> None:
    boss = ana(is_super_user=True, role=Role.ADMIN)
    small = Actor.of(boss, key_scopes=frozenset({KeyScope.WRITE}))
    assert (small.is_super_user, small.role) == (False, Role.MEMBER)
    full = Actor.of(boss, key_scopes=frozenset({KeyScope.ADMIN}))
    assert (full.is_super_user, full.role) == (True, Role.ADMIN)


def test_the_system_sees_all_objects() -> None:
    assert SYSTEM.is_system
    assert SYSTEM.scope.covers(UserId(8))
