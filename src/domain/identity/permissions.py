"""Permissions: the rule of every action, and the checks against it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from attrs import frozen

from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import ALL_OWNERS, Actor, Scope
from workbell.domain.identity.second_factor import EnrolmentRequired
from workbell.domain.identity.user import KeyScope, Role, UserId

LOGIN_REQUIRED = "Sign in to do this."
KEY_SCOPE_MISSING = "The API key does not have the scope for this."


class Relation(StrEnum):
    """How an actor is related to the platform or to an object."""

    ANYONE = "anyone"
    SIGNED_IN = "signed in"
    OWNER = "owner"
    SUPERUSER = "superuser"
    PLATFORM_ADMIN = "platform ADMIN"
    PLATFORM_MANAGER = "platform MANAGER"
    ACCOUNT_ADMIN = "account Admin"
    ACCOUNT_NORMAL = "account Normal"
    PROJECT_ADMIN = "project ADMIN"
    PROJECT_MANAGER = "project MANAGER"
    PROJECT_MEMBER = "project MEMBER"


class Action(StrEnum):
    """Every action that requires a permission."""

    REGISTER = "people.register"
    SIGN_IN = "people.sign_in"
    READ_PROFILE = "profile.read"
    CHANGE_PROFILE = "profile.change"
    CHANGE_ADDRESS = "profile.change_address"
    CHANGE_PASSWORD = "password.change"  # noqa: S105 - the name of an action
    RESET_PASSWORD = "password.reset"  # noqa: S105 - the same
    USE_SECOND_FACTOR = "second_factor.use"
    SIGN_OUT = "sessions.sign_out"
    READ_SESSIONS = "sessions.read"
    REVOKE_SESSION = "sessions.revoke"
    READ_KEYS = "keys.read"
    MAKE_KEY = "keys.make"
    REVOKE_KEY = "keys.revoke"
    LIST_NAMES = "people.list_names"
    READ_PEOPLE = "people.read"
    ADMINISTER_PEOPLE = "people.administer"
    INVITE_PEOPLE = "people.invite"
    READ_TASKS = "task_definitions.read"
    SWITCH_TASKS = "task_definitions.switch"
    READ_SCHEDULES = "schedules.read"
    MAKE_SCHEDULE = "schedules.make"
    CHANGE_SCHEDULES = "schedules.change"
    EXCEED_SCHEDULES = "schedules.exceed_limit"
    READ_JOBS = "jobs.read"
    MAKE_JOB = "jobs.make"
    CHANGE_JOBS = "jobs.change"
    RAISE_JOB_PRIORITY = "jobs.raise_priority"
    READ_QUEUES = "queues.read"
    SWITCH_QUEUES = "queues.switch"
    READ_WORKERS = "workers.read"
    READ_METRICS = "metrics.read"
    MAKE_ACCOUNT = "accounts.make"
    READ_ACCOUNT = "accounts.read"
    CHANGE_ACCOUNT = "accounts.change"
    LEAVE_ACCOUNT = "accounts.leave"
    READ_ACCOUNT_SECRET = "accounts.read_secret"  # noqa: S105 - the name of an action
    CHANGE_DESTINATIONS = "destinations.change"
    READ_DELIVERIES = "deliveries.read"
    RETRY_DELIVERIES = "deliveries.retry"
    SEND_EVENTS = "events.send"
    MAKE_PROJECT = "projects.make"
    READ_PROJECT = "projects.read"
    MANAGE_PROJECT = "projects.manage"
    LEAVE_PROJECT = "projects.leave"
    MANAGE_BOARDS = "boards.manage"
    MANAGE_SLA = "sla.manage"
    WRITE_TASKS = "tasks.write"
    WATCH_TASK = "tasks.watch"
    DELETE_TASK = "tasks.delete"
    COMMENT = "comments.write"
    EDIT_COMMENT = "comments.edit"
    DELETE_COMMENT = "comments.delete"
    READ_GOALS = "goals.read"
    USE_GOALS = "goals.use"
    READ_NOTIFICATIONS = "notifications.read"
    CHANGE_NOTIFICATIONS = "notifications.change"
    READ_AUDIT = "audit.read"
    VERIFY_AUDIT = "audit.verify"
    ERASE_PERSONAL_DATA = "audit.erase_personal_data"


@frozen
class Rule:
    """
    The relations that allow an action; one of them is enough.

    `key` is the scope that an API key needs; with None the action requires a
    login. A scope includes the lesser ones.
    """

    relations: frozenset[Relation]
    key: KeyScope | None
    note: str = ""


def _rule(key: KeyScope | None, *relations: Relation, note: str = "") -> Rule:
    return Rule(frozenset(relations), key, note)


_ANYONE, _SIGNED_IN, _OWNER = Relation.ANYONE, Relation.SIGNED_IN, Relation.OWNER
_SUPERUSER = Relation.SUPERUSER
_A_ADMIN, _A_NORMAL = Relation.ACCOUNT_ADMIN, Relation.ACCOUNT_NORMAL
_P_MEMBERS = (Relation.PROJECT_ADMIN, Relation.PROJECT_MANAGER, Relation.PROJECT_MEMBER)
_P_LEADERS = (Relation.PROJECT_ADMIN, Relation.PROJECT_MANAGER)
_EVERYWHERE = (_SUPERUSER, Relation.PLATFORM_ADMIN)
_READ, _WRITE, _ADMIN = KeyScope.READ, KeyScope.WRITE, KeyScope.ADMIN

RULES: Mapping[Action, Rule] = {
    Action.REGISTER: _rule(_READ, _ANYONE),
    Action.SIGN_IN: _rule(_READ, _ANYONE, note="Also to refresh tokens and request codes."),
    Action.RESET_PASSWORD: _rule(_READ, _ANYONE, note="With a code sent by email."),
    Action.READ_PROFILE: _rule(_READ, _OWNER, _SUPERUSER),
    Action.CHANGE_PROFILE: _rule(_WRITE, _OWNER),
    Action.CHANGE_ADDRESS: _rule(None, _OWNER, note="With the current password."),
    Action.CHANGE_PASSWORD: _rule(None, _OWNER, note="With the current password."),
    Action.USE_SECOND_FACTOR: _rule(None, _OWNER, note="Changes need the current password."),
    Action.SIGN_OUT: _rule(None, _OWNER),
    Action.READ_SESSIONS: _rule(None, _OWNER),
    Action.REVOKE_SESSION: _rule(None, _OWNER),
    Action.READ_KEYS: _rule(None, _OWNER),
    Action.MAKE_KEY: _rule(None, _OWNER),
    Action.REVOKE_KEY: _rule(None, _OWNER),
    Action.LIST_NAMES: _rule(_READ, _SIGNED_IN, note="Usernames only (LearnFlow API)."),
    Action.READ_PEOPLE: _rule(_ADMIN, _SUPERUSER),
    Action.ADMINISTER_PEOPLE: _rule(_ADMIN, _SUPERUSER, note="Never oneself."),
    Action.INVITE_PEOPLE: _rule(_ADMIN, _A_ADMIN, _SUPERUSER),
    Action.READ_TASKS: _rule(_READ, _SIGNED_IN),
    Action.SWITCH_TASKS: _rule(_ADMIN, _SUPERUSER),
    Action.READ_SCHEDULES: _rule(_READ, _OWNER, _SUPERUSER),
    Action.MAKE_SCHEDULE: _rule(_WRITE, _SIGNED_IN),
    Action.CHANGE_SCHEDULES: _rule(_WRITE, _OWNER, _SUPERUSER),
    Action.EXCEED_SCHEDULES: _rule(_ADMIN, _SUPERUSER),
    Action.READ_JOBS: _rule(_READ, _OWNER, _SUPERUSER),
    Action.MAKE_JOB: _rule(_WRITE, _SIGNED_IN, note="With a verified email address."),
    Action.CHANGE_JOBS: _rule(_WRITE, _OWNER, _SUPERUSER),
    Action.RAISE_JOB_PRIORITY: _rule(_ADMIN, _SUPERUSER),
    Action.READ_QUEUES: _rule(_READ, _SIGNED_IN),
    Action.SWITCH_QUEUES: _rule(_ADMIN, _SUPERUSER),
    Action.READ_WORKERS: _rule(_ADMIN, _SUPERUSER),
    Action.READ_METRICS: _rule(_ADMIN, _SUPERUSER, note="Or with METRICS_TOKEN."),
    Action.MAKE_ACCOUNT: _rule(_WRITE, _SIGNED_IN),
    Action.READ_ACCOUNT: _rule(_READ, _A_ADMIN, _A_NORMAL, _SUPERUSER),
    Action.CHANGE_ACCOUNT: _rule(
        _WRITE, _A_ADMIN, _SUPERUSER, note="Also its members and destinations."
    ),
    Action.LEAVE_ACCOUNT: _rule(_WRITE, _A_ADMIN, _A_NORMAL, _SUPERUSER),
    Action.READ_ACCOUNT_SECRET: _rule(_WRITE, _A_ADMIN),
    Action.CHANGE_DESTINATIONS: _rule(
        _WRITE,
        _A_ADMIN,
        _A_NORMAL,
        _SUPERUSER,
        note="Not to create, enable, test or delete them, nor to rotate secrets.",
    ),
    Action.READ_DELIVERIES: _rule(_READ, _A_ADMIN, _A_NORMAL, _SUPERUSER),
    Action.RETRY_DELIVERIES: _rule(_WRITE, _A_ADMIN, _SUPERUSER),
    Action.SEND_EVENTS: _rule(_WRITE, _A_ADMIN, _A_NORMAL),
    Action.MAKE_PROJECT: _rule(_WRITE, _SIGNED_IN),
    Action.READ_PROJECT: _rule(_READ, *_P_MEMBERS, Relation.PLATFORM_MANAGER, *_EVERYWHERE),
    Action.MANAGE_PROJECT: _rule(_WRITE, Relation.PROJECT_ADMIN, *_EVERYWHERE),
    Action.LEAVE_PROJECT: _rule(_WRITE, *_P_MEMBERS, note="Not its owner."),
    Action.MANAGE_BOARDS: _rule(_WRITE, *_P_LEADERS, *_EVERYWHERE),
    Action.MANAGE_SLA: _rule(_WRITE, *_P_LEADERS, *_EVERYWHERE, note="SLA policies and calendars."),
    Action.WRITE_TASKS: _rule(_WRITE, *_P_MEMBERS, *_EVERYWHERE),
    Action.WATCH_TASK: _rule(
        _WRITE, *_P_MEMBERS, Relation.PLATFORM_MANAGER, *_EVERYWHERE, note="For oneself."
    ),
    Action.DELETE_TASK: _rule(
        _WRITE, *_P_LEADERS, _OWNER, *_EVERYWHERE, note="The owner is the reporter."
    ),
    Action.COMMENT: _rule(_WRITE, *_P_MEMBERS, *_EVERYWHERE),
    Action.EDIT_COMMENT: _rule(_WRITE, _OWNER, note="The owner is the author."),
    Action.DELETE_COMMENT: _rule(
        _WRITE, *_P_LEADERS, _OWNER, *_EVERYWHERE, note="The owner is the author."
    ),
    Action.READ_GOALS: _rule(_READ, _OWNER),
    Action.USE_GOALS: _rule(_WRITE, _OWNER),
    Action.READ_NOTIFICATIONS: _rule(_READ, _OWNER),
    Action.CHANGE_NOTIFICATIONS: _rule(_WRITE, _OWNER),
    Action.READ_AUDIT: _rule(
        _READ,
        _OWNER,
        Relation.PROJECT_ADMIN,
        *_EVERYWHERE,
        note="Their own entries and those of their projects.",
    ),
    Action.VERIFY_AUDIT: _rule(_ADMIN, _SUPERUSER),
    Action.ERASE_PERSONAL_DATA: _rule(_ADMIN, _SUPERUSER),
}

ALLOWED_WHILE_ENROLLING = frozenset(
    {Action.READ_PROFILE, Action.USE_SECOND_FACTOR, Action.SIGN_OUT}
)
"""The only actions of users who are required to add a second factor."""

_INCLUDED: Mapping[KeyScope, frozenset[KeyScope]] = {
    _READ: frozenset({_READ}),
    _WRITE: frozenset({_READ, _WRITE}),
    _ADMIN: frozenset({_READ, _WRITE, _ADMIN}),
}


def key_allows(actor: Actor, needed: KeyScope | None) -> bool:
    """Whether the actor's API key, if any, has the needed scope."""
    if actor.key_scopes is None:
        return True
    return needed is not None and any(needed in _INCLUDED[scope] for scope in actor.key_scopes)


def check_enrolment(actor: Actor, *, enrolling: bool = False) -> None:
    """Raise EnrolmentRequired if the actor must add a second factor first."""
    if actor.must_enrol and not enrolling:
        raise EnrolmentRequired


def get_relations(actor: Actor, owner: UserId | None = None) -> frozenset[Relation]:
    """Return the actor's relations to the platform and to an owner's object."""
    conditions = {
        Relation.ANYONE: True,
        Relation.SIGNED_IN: actor.user_id != 0 or actor.is_super_user,
        Relation.OWNER: owner is not None and actor.user_id == owner,
        Relation.SUPERUSER: actor.is_super_user,
        Relation.PLATFORM_ADMIN: actor.role is Role.ADMIN,
        Relation.PLATFORM_MANAGER: actor.role is Role.MANAGER,
    }
    return frozenset(relation for relation, holds in conditions.items() if holds)


def may(
    actor: Actor, action: Action, *, owner: UserId | None = None, also: Iterable[Relation] = ()
) -> bool:
    """
    Whether an actor may perform an action.

    `owner` is the owner of the object; `also` are the actor's relations to its
    account or project.
    """
    if actor.must_enrol and action not in ALLOWED_WHILE_ENROLLING:
        return False
    rule = RULES[action]
    is_related = not rule.relations.isdisjoint(get_relations(actor, owner) | set(also))
    return is_related and key_allows(actor, rule.key)


def check_key(actor: Actor, action: Action) -> None:
    """
    Check what does not depend on an object: the API key and the second factor.

    Raises:
        NotAllowed: The API key lacks the scope.
        EnrolmentRequired: The actor must add a second factor first.
    """
    check_enrolment(actor, enrolling=action in ALLOWED_WHILE_ENROLLING)
    if not key_allows(actor, RULES[action].key):
        raise NotAllowed(KEY_SCOPE_MISSING)


def check(
    actor: Actor,
    action: Action,
    message: str = "",
    *,
    owner: UserId | None = None,
    also: Iterable[Relation] = (),
) -> None:
    """
    Check that an actor may perform an action.

    Raises:
        NotAllowed: With `message`, or because the API key lacks the scope.
        EnrolmentRequired: The actor must add a second factor first.
    """
    check_key(actor, action)
    if not may(actor, action, owner=owner, also=also):
        raise NotAllowed(message)


def get_scope(actor: Actor, action: Action) -> Scope:
    """Return the scope in which an actor may perform an action."""
    platform_relations = get_relations(actor) - {Relation.ANYONE, Relation.SIGNED_IN}
    if not RULES[action].relations.isdisjoint(platform_relations):
        return ALL_OWNERS
    return Scope(owner=actor.user_id)


def as_markdown() -> str:
    """Return the table of permissions as a page of the documentation."""
    columns = [r for r in Relation if r is not Relation.ANYONE]
    header = ["action", *columns, "API key", "note"]
    lines = [
        "# Permissions",
        "",
        "Generated from `src/domain/identity/permissions.py` by its function `as_markdown`.",
        "An x marks a relation that allows the action; one is enough. `anyone` in the note includes",
        "clients that are not signed in. The column API key is the scope that a key needs; if it is",
        "empty, the action requires a login. A request for an object that the caller may not see is",
        "answered with 404, never 403.",
        "",
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
    ]
    for action, rule in RULES.items():
        anyone = "anyone. " if Relation.ANYONE in rule.relations else ""
        marks = ["x" if anyone or r in rule.relations else "" for r in columns]
        cells = [f"`{action}`", *marks, rule.key or "", f"{anyone}{rule.note}".strip()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
