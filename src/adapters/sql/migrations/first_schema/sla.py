"""Tables of service levels."""

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import (
    Spec,
    cascade,
    columns,
    create_index,
    table,
)


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_sla_calendars",
            *columns("id id!, project_id id, name str:100, time_zone str:64, weekly json"),
            *columns("exceptions json, version int, created_at time, updated_at time"),
            sa.Index("workbell_sla_calendars_project_idx", "project_id", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_sla_calendar_versions",
            *columns("calendar_id id!, version id!, time_zone str:64, weekly json"),
            *columns("exceptions json"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_sla_policies",
            *columns("id id!, project_id id, name str:100, is_active flag, calendar_id id?"),
            *columns("terms json, version int, created_at time, updated_at time"),
            sa.Index("workbell_sla_policies_project_idx", "project_id", "id"),
            sa.Index("workbell_sla_policies_calendar_idx", "calendar_id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_sla_policy_versions",
            *columns("policy_id id!, version id!, terms json"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_sla_clocks",
            *columns("id id!"),
            cascade("work_item_id", "workbell_work_items.id"),
            *columns("project_id id, kind small, cycle int, phase small, policy_id id?"),
            *columns("policy_version int?, calendar_id id?, calendar_version int?"),
            *columns("target_seconds int?, due_date time?, started_at time, stopped_at time?"),
            *columns("warned_at time?, breached_at time?, escalated int, segments json"),
            *columns("deadline time?, next_event_at time?"),
            sa.UniqueConstraint(
                "work_item_id", "kind", "cycle", name="workbell_sla_clocks_cycle_key"
            ),
            sqlite_autoincrement=True,
            postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
        ),
        table(
            "workbell_sla_events",
            cascade("clock_id", "workbell_sla_clocks.id", primary_key=True),
            *columns("cycle id!, kind small!, step small!, at time, detected_at time"),
            sqlite_with_rowid=False,
        ),
    ]


def create_indexes() -> None:
    create_index(
        "workbell_sla_clocks_due_idx",
        "workbell_sla_clocks",
        "next_event_at, work_item_id",
        "next_event_at IS NOT NULL",
    )
    create_index(
        "workbell_sla_clocks_open_idx",
        "workbell_sla_clocks",
        "project_id, work_item_id",
        "phase < 2",
        plain="project_id, work_item_id, phase",
    )
