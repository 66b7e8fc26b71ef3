"""The tables of projects, boards, tasks, comments and watchers."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Numeric,
    SmallInteger,
    Table,
    UniqueConstraint,
)

from workbell.adapters.sql.database.column_types import Id, Rank
from workbell.adapters.sql.schema.tables import (
    KEYED,
    NUMBERED,
    flags,
    integers,
    json_values,
    long_integers,
    long_texts,
    metadata,
    texts,
    times,
)

projects = Table(
    "workbell_projects",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *texts("name"),
    *long_texts("description"),
    *long_integers("owner_id"),
    *flags("is_archived"),
    *times("created_at", "updated_at"),
    *times("deleted_at", null=True),
    **NUMBERED,
)

project_members = Table(
    "workbell_project_members",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("project_id", "user_id"),
    *texts("role", length=16),
    *times("joined_at"),
    UniqueConstraint("project_id", "user_id"),
    Index("workbell_project_members_user_idx", "user_id", "project_id", "role"),
    **NUMBERED,
)

boards = Table(
    "workbell_boards",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("project_id"),
    *texts("name"),
    *long_texts("description"),
    *integers("position"),
    *json_values("columns"),
    *json_values("transitions", null=True),
    *integers("version"),
    *times("created_at", "updated_at"),
    *times("deleted_at", null=True),
    Index("workbell_boards_project_idx", "project_id", "position", "id"),
    **NUMBERED,
)

# `status` and `priority` are stored by their places in the enumerations, which order lists.
work_items = Table(
    "workbell_work_items",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("project_id", "board_id"),
    *texts("title"),
    *long_texts("description"),
    Column("status", SmallInteger, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    *long_integers("assignee_id", null=True),
    *long_integers("reporter_id"),
    *json_values("labels"),
    *times("due_date", null=True),
    Column("estimated_hours", Numeric(7, 2), nullable=True),
    Column("rank", Rank, nullable=False),
    *integers("comment_count"),
    *flags("is_sla_breached"),
    *times("sla_due_at", null=True),
    *integers("version"),
    *times("created_at", "updated_at"),
    *times("completed_at", "deleted_at", null=True),
    UniqueConstraint("board_id", "rank", name="workbell_work_items_rank_key"),
    **NUMBERED,
)

comments = Table(
    "workbell_comments",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("project_id"),
    Column(
        "work_item_id",
        Id,
        ForeignKey("workbell_work_items.id", ondelete="CASCADE"),
        nullable=False,
    ),
    *long_integers("author_id"),
    *long_integers("parent_id", "root_id", null=True),
    *integers("depth"),
    *long_texts("content"),
    *times("created_at"),
    *times("edited_at", "deleted_at", null=True),
    Index("workbell_comments_item_idx", "work_item_id", "root_id", "id"),
    **NUMBERED,
)

watchers = Table(
    "workbell_watchers",
    metadata,
    Column(
        "work_item_id",
        Id,
        ForeignKey("workbell_work_items.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("user_id", Id, primary_key=True, autoincrement=False),
    *long_integers("project_id"),
    Index("workbell_watchers_user_idx", "user_id", "project_id"),
    **KEYED,
)
