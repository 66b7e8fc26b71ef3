"""Tables of the audit trail."""

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import Spec, columns, table


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_audit",
            *columns("id id!, user_id id, action str:64, model_name str:64, object_id str:128"),
            *columns("project_id id?, changes json, address str:64, user_agent str:256"),
            *columns("request_id str:64, at time"),
            sa.Index("workbell_audit_action_idx", "action", "id"),
            sa.Index("workbell_audit_at_idx", "at", "id"),
            sa.Index("workbell_audit_object_idx", "model_name", "object_id", "id"),
            sa.Index("workbell_audit_project_idx", "project_id", "id"),
            sa.Index("workbell_audit_user_idx", "user_id", "id"),
            sqlite_autoincrement=True,
        ),
    ]
