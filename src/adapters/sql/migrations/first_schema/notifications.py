"""Tables of notifications."""

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import Spec, columns, table


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_notices",
            *columns("id id!, user_id id, kind str:16, key str:128, actor_id id?, project_id id?"),
            *columns("object_id id?, title str:500, data json, in_app flag, mail_state str:16"),
            *columns("mail_reason str:32?, mail_job_id id?, created_at time, read_at time?"),
            sa.UniqueConstraint("kind", "key", "user_id"),
            sa.Index("workbell_notices_user_idx", "user_id", "in_app", "id"),
            sa.Index("workbell_notices_unread_idx", "user_id", "in_app", "read_at", "id"),
            sa.Index("workbell_notices_kind_idx", "user_id", "kind", "created_at"),
            sa.Index("workbell_notices_created_at_idx", "created_at"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_notification_preferences",
            *columns("user_id id!, email json, in_app json, summary_time str:5?, zone str:64"),
            *columns("summary_at time?"),
            sa.Index("workbell_notification_preferences_summary_at_idx", "summary_at"),
            sqlite_with_rowid=False,
        ),
    ]
