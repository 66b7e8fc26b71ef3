"""Permissions: the table is complete, narrow and documented."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM, Actor, Scope
from workbell.domain.identity.permissions import (
    RULES,
    Action,
    Relation,
    as_markdown,
    check,
    get_relations,
    get_scope,
    key_allows,
    may,
)
from workbell.domain.identity.second_factor import EnrolmentRequired
from workbell.domain.identity.user import KeyScope, Role, User, UserId

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[3] / "docs" / "security" / "permissions.md"
ANONYMOUS = Actor(user_id=UserId(0))
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
OWNER_ONLY = (Action.READ_SESSIONS, Action.REVOKE_SESSION, Action.READ_KEYS, Action.MAKE_KEY)
SUPERUSER_ONLY = (
    Action.READ_PEOPLE,
    Action.ADMINISTER_PEOPLE,
    Action.SWITCH_TASKS,
    Action.SWITCH_QUEUES,
    Action.EXCEED_SCHEDULES,
    Action.RAISE_JOB_PRIORITY,
    Action.READ_METRICS,
    Action.VERIFY_AUDIT,
)


def an_actor(*scopes: KeyScope, **fields: Any) -> Actor:
    user = User(id=UserId(7), username="ana", email="ana@example.com", created_at=NOON, **fields)
    return Actor.of(user, key_scopes=frozenset(scopes) if scopes else None)


def test_every_action_has_a_rule() -> None:
    assert set(RULES) == set(Action)
    assert all(rule.relations for rule in RULES.values())


def test_the_page_of_the_documents_is_current() -> None:
    assert PAGE.read_text("utf-8") == as_markdown(), "write as_markdown() to the page"


def test_platform_relations_follow_from_the_user() -> None:
    assert get_relations(ANONYMOUS) == {Relation.ANYONE}
    assert get_relations(an_actor()) == {Relation.ANYONE, Relation.SIGNED_IN}
    assert Relation.OWNER in get_relations(an_actor(), UserId(7))
    assert Relation.OWNER not in get_relations(an_actor(), UserId(8))
    assert Relation.PLATFORM_ADMIN in get_relations(an_actor(role=Role.ADMIN))
    assert Relation.PLATFORM_MANAGER in get_relations(an_actor(role=Role.MANAGER))
    assert {Relation.SUPERUSER, Relation.SIGNED_IN} <= get_relations(SYSTEM)


@pytest.mark.parametrize("action", SUPERUSER_ONLY)
def test_superuser_actions_are_denied_to_others(action: Action) -> None:
    assert may(an_actor(is_super_user=True), action)
    for other in (ANONYMOUS, an_actor(), an_actor(role=Role.ADMIN), an_actor(role=Role.MANAGER)):
        assert not may(other, action, owner=UserId(7))


@pytest.mark.parametrize("action", OWNER_ONLY)
def test_only_their_owner_manages_credentials_and_only_after_a_login(action: Action) -> None:
    assert may(an_actor(), action, owner=UserId(7))
    assert not may(an_actor(is_super_user=True), action, owner=UserId(8))
    every = an_actor(*KeyScope, is_super_user=True)
    assert not may(every, action, owner=UserId(7))


def test_anyone_may_register_and_sign_in() -> None:
    for action in (Action.REGISTER, Action.SIGN_IN, Action.RESET_PASSWORD):
        assert may(ANONYMOUS, action)
    assert not may(ANONYMOUS, Action.LIST_NAMES)


def test_account_and_project_relations_are_passed_in() -> None:
    ana = an_actor()
    assert not may(ana, Action.MANAGE_BOARDS)
    assert may(ana, Action.MANAGE_BOARDS, also=[Relation.PROJECT_MANAGER])
    assert not may(ana, Action.MANAGE_PROJECT, also=[Relation.PROJECT_MANAGER])
    assert may(an_actor(role=Role.ADMIN), Action.MANAGE_PROJECT)
    assert may(an_actor(role=Role.MANAGER), Action.READ_PROJECT)
    assert not may(an_actor(role=Role.MANAGER), Action.WRITE_TASKS)


@pytest.mark.parametrize(
    ("scopes", "included"),
    [
        ((KeyScope.READ,), {KeyScope.READ}),
        ((KeyScope.WRITE,), {KeyScope.READ, KeyScope.WRITE}),
        ((KeyScope.ADMIN,), set(KeyScope)),
        ((KeyScope.READ, KeyScope.ADMIN), set(KeyScope)),
    ],
)
def test_a_key_scope_includes_the_lesser_ones(
    scopes: tuple[KeyScope, ...], included: set[KeyScope]
) -> None:
    assert {scope for scope in KeyScope if key_allows(an_actor(*scopes), scope)} == included
    assert not key_allows(an_actor(*scopes), None)


def test_actors_without_a_key_need_no_scope() -> None:
    assert all(key_allows(an_actor(), scope) for scope in (None, *KeyScope))


def test_a_denied_action_has_a_reason() -> None:
    with pytest.raises(NotAllowed, match="key"):
        check(an_actor(KeyScope.WRITE), Action.MAKE_KEY, owner=UserId(7))
    with pytest.raises(NotAllowed, match="Only them"):
        check(an_actor(), Action.READ_PEOPLE, "Only them.")
    check(an_actor(), Action.MAKE_KEY, owner=UserId(7))


@pytest.mark.parametrize("action", Action)
def test_users_who_must_enrol_can_do_nothing_else(action: Action) -> None:
    free = an_actor(is_super_user=True)
    bound = evolve(free, must_enrol=True)
    if action in {Action.READ_PROFILE, Action.USE_SECOND_FACTOR, Action.SIGN_OUT}:
        check(bound, action, owner=UserId(7))
        return
    assert not may(bound, action, owner=UserId(7))
    with pytest.raises(EnrolmentRequired):
        check(bound, action, owner=UserId(7))


def test_superusers_act_on_all_objects_and_others_on_their_own() -> None:
    own = Scope(owner=UserId(7))
    for action in (Action.READ_JOBS, Action.CHANGE_JOBS, Action.CHANGE_SCHEDULES):
        assert get_scope(an_actor(is_super_user=True), action) == ALL_OWNERS
        assert get_scope(SYSTEM, action) == ALL_OWNERS
        assert get_scope(an_actor(), action) == own
        assert get_scope(an_actor(role=Role.ADMIN), action) == own
        assert get_scope(an_actor(KeyScope.WRITE, is_super_user=True), action) == own
    assert get_scope(an_actor(is_super_user=True), Action.USE_GOALS) == own
