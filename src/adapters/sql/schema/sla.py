"""The tables of calendars, SLA policies, clocks and their events."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    Table,
    UniqueConstraint,
    literal_column,
)

from workbell.adapters.sql.database.column_types import Id
from workbell.adapters.sql.schema.partial_index import partial_index
from workbell.adapters.sql.schema.tables import (
    BUSY,
    KEYED,
    NUMBERED,
    flags,
    integers,
    json_values,
    long_integers,
    metadata,
    texts,
    times,
)

calendars = Table(
    "workbell_sla_calendars",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("project_id"),
    *texts("name", length=100),
    *texts("time_zone", length=64),
    *json_values("weekly", "exceptions"),
    *integers("version"),
    *times("created_at", "updated_at"),
    Index("workbell_sla_calendars_project_idx", "project_id", "id"),
    **NUMBERED,
)

# Versions outlast their calendar or policy: clocks keep the one that they started with.
calendar_versions = Table(
    "workbell_sla_calendar_versions",
    metadata,
    Column("calendar_id", Id, primary_key=True, autoincrement=False),
    Column("version", Id, primary_key=True, autoincrement=False),
    *texts("time_zone", length=64),
    *json_values("weekly", "exceptions"),
    **KEYED,
)

policies = Table(
    "workbell_sla_policies",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("project_id"),
    *texts("name", length=100),
    *flags("is_active"),
    *long_integers("calendar_id", null=True),
    *json_values("terms"),
    *integers("version"),
    *times("created_at", "updated_at"),
    Index("workbell_sla_policies_project_idx", "project_id", "id"),
    Index("workbell_sla_policies_calendar_idx", "calendar_id"),
    **NUMBERED,
)

policy_versions = Table(
    "workbell_sla_policy_versions",
    metadata,
    Column("policy_id", Id, primary_key=True, autoincrement=False),
    Column("version", Id, primary_key=True, autoincrement=False),
    *json_values("terms"),
    **KEYED,
)

# `kind` is stored by its place in ClockKind, `segments` as [[start, end, counts, reason]].
clocks = Table(
    "workbell_sla_clocks",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column(
        "work_item_id",
        Id,
        ForeignKey("workbell_work_items.id", ondelete="CASCADE"),
        nullable=False,
    ),
    *long_integers("project_id"),
    Column("kind", SmallInteger, nullable=False),
    *integers("cycle"),
    Column("phase", SmallInteger, nullable=False),
    *long_integers("policy_id", null=True),
    *integers("policy_version", null=True),
    *long_integers("calendar_id", null=True),
    *integers("calendar_version", null=True),
    *integers("target_seconds", null=True),
    *times("due_date", null=True),
    *times("started_at"),
    *times("stopped_at", "warned_at", "breached_at", null=True),
    *integers("escalated"),
    *json_values("segments"),
    *times("deadline", "next_event_at", null=True),
    UniqueConstraint("work_item_id", "kind", "cycle", name="workbell_sla_clocks_cycle_key"),
    **BUSY,
)

sla_events = Table(
    "workbell_sla_events",
    metadata,
    Column(
        "clock_id",
        Id,
        ForeignKey("workbell_sla_clocks.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("cycle", Id, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("step", SmallInteger, primary_key=True, autoincrement=False),
    *times("at", "detected_at"),
    **KEYED,
)

clocks_c = clocks.c
IS_PENDING = clocks_c.next_event_at.is_not(None)
IS_OPEN = clocks_c.phase < literal_column("2")
partial_index(
    "workbell_sla_clocks_due_idx", IS_PENDING, clocks_c.next_event_at, clocks_c.work_item_id
)
partial_index(
    "workbell_sla_clocks_open_idx",
    IS_OPEN,
    clocks_c.project_id,
    clocks_c.work_item_id,
    plain=(clocks_c.project_id, clocks_c.work_item_id, clocks_c.phase),
)
