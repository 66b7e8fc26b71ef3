"""The implementation of each database-specific operation, by dialect."""

from collections.abc import Mapping

from workbell.adapters.sql.audit import insert as audit_insert
from workbell.adapters.sql.database.filters import is_in_array, is_in_list
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.delivery import insert as delivery_insert
from workbell.adapters.sql.jobs import (
    fire_postgresql,
    fire_sqlite,
    insert,
    insert_postgresql,
    settle_and_claim_postgresql,
    settlement,
)
from workbell.adapters.sql.notifications import insert as notice_insert
from workbell.adapters.sql.schedules import advance
from workbell.adapters.sql.schedules import insert as schedule_insert

_MYSQL = Strategy(
    insert_jobs=insert.insert_jobs_mysql,
    write_settlements=settlement.write_settlements,
    insert_schedule=schedule_insert.insert_schedule,
    advance_by_one=advance.advance_by_one,
    insert_event=delivery_insert.insert_event_mysql,
    insert_deliveries=delivery_insert.insert_deliveries_mysql,
    insert_notices=notice_insert.insert_notices_mysql,
    insert_audit_entry=audit_insert.insert_entry,
    is_among=is_in_list,
)
STRATEGIES: Mapping[str, Strategy] = {
    "sqlite": Strategy(
        insert_jobs=insert.insert_jobs_sqlite,
        write_settlements=settlement.write_settlements,
        fire_ticks=fire_sqlite.fire_ticks,
        insert_schedule=schedule_insert.insert_schedule,
        advance_by_one=advance.advance_by_one,
        insert_event=delivery_insert.insert_event_sqlite,
        insert_deliveries=delivery_insert.insert_deliveries_sqlite,
        insert_notices=notice_insert.insert_notices_returning,
        insert_audit_entry=audit_insert.insert_entry,
        is_among=is_in_list,
    ),
    "postgresql": Strategy(
        queues_row_locks=True,
        insert_jobs=insert_postgresql.insert_jobs,
        insert_job=insert_postgresql.insert_job,
        write_settlements=settle_and_claim_postgresql.write_settlements,
        settle_and_claim=settle_and_claim_postgresql.settle_and_claim,
        fire_ticks=fire_postgresql.fire_ticks,
        insert_schedule=schedule_insert.insert_schedule_returning,
        advance_by_one=fire_postgresql.advance_by_one,
        insert_event=delivery_insert.insert_event_postgresql,
        insert_deliveries=delivery_insert.insert_deliveries_postgresql,
        insert_notices=notice_insert.insert_notices_returning,
        insert_audit_entry=audit_insert.insert_entry_postgresql,
        is_among=is_in_array,
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
"""Strategies by the name of the SQLAlchemy dialect."""
