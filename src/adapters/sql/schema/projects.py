"""The tables of projects, boards, tasks, labels, comments and watchers."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    String,
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

# Lists of tasks are read in one of two ways (adapters/sql/projects/listing.py).
# Tasks up to the cap of counts: by an index that begins with a filter and has most of
# what lists compare and sort: SQLite and PostgreSQL read the index only.
_LISTED = ("deleted_at", "due_date", "sla_due_at", "created_at", "updated_at")
_FILTER_INDEXES = (
    (
        "board",
        "board_id",
        "status",
        "priority",
        "assignee_id",
        "is_sla_breached",
        *_LISTED,
        "title",
    ),
    ("assignee", "assignee_id", "board_id", "status", "priority", *_LISTED),
    ("reporter", "reporter_id", "board_id", "status", "priority", *_LISTED),
    ("breached", "is_sla_breached", "board_id", "status", "priority", *_LISTED),
)
# More tasks: by an index that has all of them in the order of the list.
_ORDER_INDEXES = (
    ("created_at", "status"),
    ("updated_at", "status"),
    ("due_date", "status"),
    ("sla_due_at", "status"),
    ("title", "status"),
    ("priority", "status"),
    ("status", "priority"),
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

# `status` and `priority` are stored by their place in their enumerations, which orders
# lists by them; `estimated_hundredths` are hundredths of hours. Long texts come last:
# SQLite reads them only to reach the columns behind them.
work_items = Table(
    "workbell_work_items",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("project_id", "board_id"),
    *texts("title"),
    Column("status", SmallInteger, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    *long_integers("assignee_id", null=True),
    *long_integers("reporter_id"),
    *times("due_date", null=True),
    *integers("estimated_hundredths", null=True),
    Column("rank", Rank, nullable=False),
    *integers("comment_count"),
    *flags("is_sla_breached"),
    *times("sla_due_at", null=True),
    *integers("version"),
    *times("created_at", "updated_at"),
    *times("completed_at", "deleted_at", null=True),
    *json_values("labels"),
    *long_texts("description"),
    Index("workbell_work_items_rank_key", "board_id", "rank", unique=True),
    *[Index(f"workbell_work_items_{name}_idx", *columns) for name, *columns in _FILTER_INDEXES],
    *[
        Index(f"workbell_work_items_{name}_idx", name, "id", "board_id", "deleted_at", *more)
        for name, *more in _ORDER_INDEXES
    ],
    Index("workbell_work_items_deleted_at_idx", "deleted_at", "id"),
    **NUMBERED,
)

# The labels of tasks that are not deleted, for filters; with columns of the tasks for
# counts, which would otherwise read every task with a label.
work_item_labels = Table(
    "workbell_work_item_labels",
    metadata,
    Column(
        "work_item_id",
        Id,
        ForeignKey("workbell_work_items.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("label", String(50), primary_key=True),
    *long_integers("board_id"),
    Column("status", SmallInteger, nullable=False),
    Index("workbell_work_item_labels_label_idx", "label", "board_id", "status", "work_item_id"),
    **KEYED,
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
