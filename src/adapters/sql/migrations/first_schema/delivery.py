"""Tables of delivery."""

from collections.abc import Iterator

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import Spec, cascade, columns, table


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_accounts",
            *columns("id id!, name str:255, token str:512, token_index str:64"),
            *columns("previous_token_index str:64?, previous_token_until time?"),
            *columns("created_at time, updated_at time, deleted_at time?"),
            sa.UniqueConstraint("token_index"),
            sa.Index("workbell_accounts_previous_token_idx", "previous_token_index"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_deliveries",
            *columns("id id!, account_id id, event_id id, event_key str:128"),
            *columns("event_type str:128, destination_id id, state small, is_test flag"),
            *columns("attempts int, schedule_start int, turn int, next_attempt_at time?"),
            *columns("slot_at time?, last_status_code int?, last_error long?"),
            *columns("created_at time, updated_at time, completed_at time?"),
            *delivery_indexes(),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_destinations",
            *columns("id id!, account_id id, url str:2048, method str:8, headers json"),
            *columns("event_types json, is_active flag, disabled_reason long?"),
            *columns("timeout_seconds int, retry_delays json, rate_per_second int?"),
            *columns("concurrency int, secret str:512, previous_secret str:512?"),
            *columns("previous_secret_until time?, breaker_state str:16, failures int"),
            *columns("failing_since time?, openings int, open_until time?, probe id?"),
            *columns("next_send_at time?, exhausted_at time?, version int, created_at time"),
            *columns("updated_at time, deleted_at time?"),
            sa.Index("workbell_destinations_account_idx", "account_id", "deleted_at", "id"),
            sqlite_autoincrement=True,
            postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
        ),
        table(
            "workbell_events",
            *columns("id id!, account_id id, event_key str:128, event_type str:128"),
            *columns("fingerprint str:64, created_by id, created_at time, has_data flag"),
            *columns("data bytes?"),
            sa.UniqueConstraint("account_id", "event_key"),
            sa.Index("workbell_events_account_idx", "account_id", "id"),
            sa.Index("workbell_events_data_idx", "has_data", "created_at"),
            sa.Index("workbell_events_type_idx", "account_id", "event_type", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_memberships",
            *columns("id id!, account_id id, user_id id, role small, created_at time"),
            *columns("updated_at time"),
            sa.UniqueConstraint("account_id", "user_id"),
            sa.Index("workbell_memberships_account_idx", "account_id", "id"),
            sa.Index("workbell_memberships_role_idx", "account_id", "role", "user_id"),
            sa.Index("workbell_memberships_user_idx", "user_id", "account_id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_delivery_attempts",
            cascade("delivery_id", "workbell_deliveries.id", primary_key=True),
            *columns("number int!, destination_id id, is_test flag, is_success flag"),
            *columns("started_at time, duration_ms int, status_code int?, error str:64?"),
            *columns("detail long, address str:64, timings json, request_headers json"),
            *columns("response_headers json, snippet long"),
            sa.Index(
                "workbell_delivery_attempts_destination_idx",
                *("destination_id", "is_test", "is_success", "started_at", "duration_ms"),
            ),
        ),
    ]


def delivery_indexes() -> Iterator[sa.Index]:
    """Yield the indexes of lists, batches, statistics and pruning."""
    for name, text in (
        ("account", "account_id, created_at, id"),
        ("account_state", "account_id, state, created_at, id"),
        ("batch", "destination_id, state, id, completed_at"),
        ("destination", "destination_id, created_at, id"),
        ("destination_state", "destination_id, state, created_at, id"),
        ("event", "event_id, id"),
        ("state", "state, created_at, id"),
    ):
        yield sa.Index(f"workbell_deliveries_{name}_idx", *text.split(", "))
