"""The tables of notifications and of their preferences."""

from sqlalchemy import Column, Index, Table, UniqueConstraint

from workbell.adapters.sql.database.column_types import Id
from workbell.adapters.sql.schema.tables import (
    KEYED,
    NUMBERED,
    flags,
    json_values,
    long_integers,
    metadata,
    texts,
    times,
)

notices = Table(
    "workbell_notices",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("user_id"),
    *texts("kind", length=16),
    *texts("key", length=128),
    *long_integers("actor_id", "project_id", "object_id", null=True),
    *texts("title", length=500),
    *json_values("data"),
    *flags("in_app"),
    *texts("mail_state", length=16),
    *texts("mail_reason", length=32, null=True),
    *long_integers("mail_job_id", null=True),
    *times("created_at"),
    *times("read_at", null=True),
    UniqueConstraint("kind", "key", "user_id"),
    Index("workbell_notices_user_idx", "user_id", "in_app", "id"),
    Index("workbell_notices_unread_idx", "user_id", "in_app", "read_at", "id"),
    Index("workbell_notices_kind_idx", "user_id", "kind", "created_at"),
    Index("workbell_notices_created_at_idx", "created_at"),
    **NUMBERED,
)

# A row exists once the user has set a preference.
notification_preferences = Table(
    "workbell_notification_preferences",
    metadata,
    Column("user_id", Id, primary_key=True, autoincrement=False),
    *json_values("email", "in_app"),
    *texts("summary_time", length=5, null=True),
    *texts("zone", length=64),
    *times("summary_at", null=True),
    Index("workbell_notification_preferences_summary_at_idx", "summary_at"),
    **KEYED,
)
