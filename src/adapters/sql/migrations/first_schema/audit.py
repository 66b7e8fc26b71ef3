"""Tables of the audit trail."""

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
            "workbell_audit",
            *columns("id id!, user_id id, action str:64, model_name str:64, object_id str:128"),
            *columns("project_id id?, changes json, request_id str:64, at time"),
            *columns("payload_digest str:64, seal_seq id?, hash str:64?"),
            sa.Index("workbell_audit_action_idx", "action", "id"),
            sa.Index("workbell_audit_at_idx", "at", "id"),
            sa.Index("workbell_audit_object_idx", "model_name", "object_id", "id"),
            sa.Index("workbell_audit_project_idx", "project_id", "id"),
            sa.Index("workbell_audit_user_idx", "user_id", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_audit_chain",
            *columns("chain_id id!, seal_seq id, hash str:64"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_audit_checkpoints",
            *columns("seal_seq id!, hash str:64, at time, key_id str:16, signature str:64"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_audit_pruned",
            *columns("seal_seq id!, hash str:64, at time, key_id str:16, signature str:64"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_audit_private",
            *columns("audit_id id!, salt str:32, address str:64, user_agent str:256"),
            *columns("changes json?"),
        ),
    ]


def create_indexes() -> None:
    create_index(
        "workbell_audit_seal_key",
        "workbell_audit",
        "seal_seq",
        "seal_seq IS NOT NULL",
        unique=True,
    )
    create_index(
        "workbell_audit_unsealed_idx",
        "workbell_audit",
        "id",
        "seal_seq IS NULL",
        plain="seal_seq, id",
    )
