"""Tables of users, their credentials and sessions."""

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import (
    Spec,
    columns,
    create_index,
    table,
)


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_api_keys",
            *columns("id id!, user_id id, name str:100, prefix str:64, secret_hash str:64"),
            *columns("scopes json, created_at time, expires_at time?, last_used_at time?"),
            *columns("revoked_at time?"),
            sa.UniqueConstraint("prefix"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_codes",
            *columns("id id!, user_id id, purpose str:32, code_hash str:255, created_at time"),
            *columns("expires_at time, used_at time?, attempts int"),
            sa.Index("workbell_codes_created_at_idx", "created_at"),
            sa.Index("workbell_codes_user_idx", "user_id", "purpose", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_quotas",
            *columns("key str:191!, until time, log json"),
            sa.Index("workbell_quotas_until_idx", "until"),
        ),
        table(
            "workbell_second_factors",
            *columns("user_id id!, seed str:64, key_id str:16, created_at time"),
            *columns("confirmed_at time?, last_step int, recovery str:700"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_sessions",
            *columns("id str:64!, user_id id, created_at time, expires_at time"),
            *columns("current_jti str:64, rotated_at time, previous_jti str:64?"),
            *columns("revoked_at time?, kind str:16, last_used_at time?, address str:64"),
            *columns("user_agent str:256"),
            sa.Index("workbell_sessions_expires_at_idx", "expires_at"),
            sa.Index("workbell_sessions_from_idx", "user_id", "address"),
        ),
        table(
            "workbell_users",
            *columns("id id!, username str:150, username_key str:150, email str:254"),
            *columns("email_key str:254, first_name str:150, last_name str:150"),
            *columns("password_hash str:255, role str:16, tier str:16, is_super_user flag"),
            *columns("is_active flag, is_email_verified flag, time_zone str:64"),
            *columns("token_version int, created_at time, password_expires_at time?"),
            sa.UniqueConstraint("email_key"),
            sa.UniqueConstraint("username_key"),
            sqlite_autoincrement=True,
        ),
    ]


def create_indexes() -> None:
    create_index(
        "workbell_api_keys_expires_at_idx",
        "workbell_api_keys",
        "expires_at",
        "expires_at IS NOT NULL",
    )
    create_index(
        "workbell_api_keys_revoked_at_idx",
        "workbell_api_keys",
        "revoked_at",
        "revoked_at IS NOT NULL",
    )
    create_index(
        "workbell_api_keys_user_idx",
        "workbell_api_keys",
        "user_id, id",
        "revoked_at IS NULL",
        plain="user_id, revoked_at, id",
    )
    create_index(
        "workbell_sessions_active_idx",
        "workbell_sessions",
        "user_id, expires_at",
        "revoked_at IS NULL",
        plain="user_id, revoked_at, expires_at",
    )
