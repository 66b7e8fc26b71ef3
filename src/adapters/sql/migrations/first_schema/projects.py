"""Tables of projects."""

from collections.abc import Iterator

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import Spec, cascade, columns, table


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_projects",
            *columns("id id!, name str:255, description long, owner_id id, is_archived flag"),
            *columns("created_at time, updated_at time, deleted_at time?"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_project_members",
            *columns("id id!, project_id id, user_id id, role str:16, joined_at time"),
            sa.UniqueConstraint("project_id", "user_id"),
            sa.Index("workbell_project_members_user_idx", "user_id", "project_id", "role"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_boards",
            *columns("id id!, project_id id, name str:255, description long, position int"),
            *columns("columns json, transitions json?, version int, created_at time"),
            *columns("updated_at time, deleted_at time?"),
            sa.Index("workbell_boards_project_idx", "project_id", "position", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_work_items",
            *columns("id id!, project_id id, board_id id, title str:255, status small"),
            *columns("priority small, assignee_id id?, reporter_id id, due_date time?"),
            *columns("estimated_hundredths int?, rank rank, comment_count int"),
            *columns("is_sla_breached flag, sla_due_at time?, version int, created_at time"),
            *columns("updated_at time, completed_at time?, deleted_at time?, labels json"),
            *columns("description long"),
            sa.Index("workbell_work_items_rank_key", "board_id", "rank", unique=True),
            *_indexes(),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_work_item_labels",
            cascade("work_item_id", "workbell_work_items.id", primary_key=True),
            *columns("label str:50!, board_id id, status small"),
            sa.Index(
                "workbell_work_item_labels_label_idx",
                *("label", "board_id", "status", "work_item_id"),
            ),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_comments",
            *columns("id id!, project_id id"),
            cascade("work_item_id", "workbell_work_items.id"),
            *columns("author_id id, parent_id id?, root_id id?, depth int, content long"),
            *columns("created_at time, edited_at time?, deleted_at time?"),
            sa.Index("workbell_comments_item_idx", "work_item_id", "root_id", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_watchers",
            cascade("work_item_id", "workbell_work_items.id", primary_key=True),
            *columns("user_id id!, project_id id"),
            sa.Index("workbell_watchers_user_idx", "user_id", "project_id"),
            sqlite_with_rowid=False,
        ),
    ]


def _indexes() -> Iterator[sa.Index]:
    """Yield the indexes of lists of work items."""
    sorted_by = ("deleted_at", "due_date", "sla_due_at", "created_at", "updated_at")
    filtered = {
        "board": ("board_id", "status", "priority", "assignee_id", "is_sla_breached"),
        "assignee": ("assignee_id", "board_id", "status", "priority"),
        "reporter": ("reporter_id", "board_id", "status", "priority"),
        "breached": ("is_sla_breached", "board_id", "status", "priority"),
    }
    for name, names in filtered.items():
        more = ("title",) if name == "board" else ()
        yield sa.Index(f"workbell_work_items_{name}_idx", *names, *sorted_by, *more)
    for name in ("created_at", "updated_at", "due_date", "sla_due_at", "title", "priority"):
        order = (name, "id", "board_id", "deleted_at", "status")
        yield sa.Index(f"workbell_work_items_{name}_idx", *order)
    order = ("status", "id", "board_id", "deleted_at", "priority")
    yield sa.Index("workbell_work_items_status_idx", *order)
    yield sa.Index("workbell_work_items_deleted_at_idx", "deleted_at", "id")
