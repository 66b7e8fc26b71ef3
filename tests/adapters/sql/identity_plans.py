"""Users, sessions and keys in bulk, and the queries whose plans are tested."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert

from tests.adapters.sql.server_plans import Ask
from tests.contract.factories import NOON, after
from workbell.adapters.sql.schema.tables import api_keys, codes, sessions, users
from workbell.domain.identity.user import UserId

ROWS = 20_000
HEAVY = UserId(1)
"""The user of every fourth session and key."""
TABLES = ["workbell_users", "workbell_sessions", "workbell_api_keys", "workbell_codes"]
EARLY = NOON - timedelta(days=1) + timedelta(minutes=1)


def fill(db: Connection) -> None:
    """Insert 20,000 rows of each kind; a quarter of one user, most of them ended."""
    for begin in range(1, ROWS + 1, 2_000):
        numbers = range(begin, begin + 2_000)
        db.execute(insert(users), [_user(n) for n in numbers])
        db.execute(insert(sessions), [_session(n) for n in numbers])
        db.execute(insert(api_keys), [_key(n) for n in numbers])
        db.execute(insert(codes), [_code(n) for n in numbers])


def _of(n: int) -> int:
    return HEAVY if n % 4 == 0 else n


def _user(n: int) -> dict[str, Any]:
    return {
        "id": n,
        **dict.fromkeys(("username", "username_key", "email", "email_key"), f"u{n}"),
        "first_name": "", "last_name": "", "password_hash": "", "role": "MEMBER", "tier": "free",
        "is_super_user": False, "is_active": n % 10 > 0, "is_email_verified": True,
        "time_zone": "UTC", "token_version": 0, "created_at": NOON,
    }  # fmt: skip


def _session(n: int) -> dict[str, Any]:
    created = NOON - timedelta(seconds=n)
    return {
        "id": f"s{n}", "user_id": _of(n), "created_at": created,
        "expires_at": after(n) if n % 40 == 0 else NOON - timedelta(days=1) + timedelta(seconds=n),
        "current_jti": "j", "rotated_at": created, "revoked_at": created if n % 80 == 0 else None,
        "kind": "tokens", "address": "", "user_agent": "",
    }  # fmt: skip


def _key(n: int) -> dict[str, Any]:
    return {
        "id": n, "user_id": _of(n), "name": "k", "prefix": f"p{n}", "secret_hash": "", "scopes": [],
        "created_at": NOON,
        "revoked_at": NOON - timedelta(days=1) + timedelta(seconds=n) if n % 100 else None,
        "expires_at": NOON - timedelta(days=1) + timedelta(seconds=n) if n % 3 else None,
    }  # fmt: skip


def _code(n: int) -> dict[str, Any]:
    created = NOON - timedelta(days=1) + timedelta(seconds=n)
    return {
        "id": n, "user_id": n, "purpose": "verify_email", "code_hash": "", "created_at": created,
        "expires_at": created, "attempts": 0,
    }  # fmt: skip


QUESTIONS: dict[str, tuple[Ask, set[str]]] = {
    "usernames": (
        lambda tx: tx.users.usernames(after=UserId(9_000), limit=100),
        {"workbell_users_pkey"},
    ),
    "sessions of a user": (
        lambda tx: tx.sessions.list_for_user(HEAVY, NOON),
        {"workbell_sessions_active_idx"},
    ),
    "the oldest sessions": (
        lambda tx: tx.sessions.revoke_oldest(HEAVY, NOON, keep=245),
        {"workbell_sessions_active_idx"},
    ),
    "revoking all": (
        lambda tx: tx.sessions.revoke_all(UserId(7), NOON),
        {"workbell_sessions_active_idx"},
    ),
    "old sessions": (
        lambda tx: tx.sessions.purge(EARLY, limit=10),
        {"workbell_sessions_expires_at_idx"},
    ),
    "keys of a user": (
        lambda tx: tx.api_keys.list_for_user(HEAVY),
        {"workbell_api_keys_user_idx"},
    ),
    "old keys": (
        lambda tx: tx.api_keys.purge(EARLY, limit=10),
        {"workbell_api_keys_revoked_at_idx", "workbell_api_keys_expires_at_idx"},
    ),
    "old codes": (lambda tx: tx.codes.purge(EARLY, limit=10), {"workbell_codes_created_at_idx"}),
}
