"""Tables of the audit trail."""

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import Spec, columns, table


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_audit",
            *columns("id id!, user_id id, action str:64, model_name str:64, object_id str:128"),
            *columns("changes json, address str:64, user_agent str:256, request_id str:64"),
            *columns("at time"),
            sa.Index("workbell_audit_object_idx", "model_name", "object_id", "id"),
            sqlite_autoincrement=True,
        ),
    ]
