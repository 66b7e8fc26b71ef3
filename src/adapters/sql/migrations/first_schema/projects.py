"""Tables of projects."""

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
            *columns("id id!, project_id id, board_id id, title str:255, description long"),
            *columns("status small, priority small, assignee_id id?, reporter_id id"),
            *columns("labels json, due_date time?, estimated_hours hours?, rank rank"),
            *columns("comment_count int, is_sla_breached flag, sla_due_at time?, version int"),
            *columns("created_at time, updated_at time, completed_at time?, deleted_at time?"),
            sa.UniqueConstraint("board_id", "rank", name="workbell_work_items_rank_key"),
            sqlite_autoincrement=True,
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
