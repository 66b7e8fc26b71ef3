"""
Firing the due ticks of many schedules on PostgreSQL.

Executing row by row, or binding arrays, costs the driver 2 to 4 times the CPU
time (docs/decisions/0005-one-strategy-per-database.md).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from workbell.adapters.sql.database.column_types import json_text, to_naive_utc
from workbell.adapters.sql.database.statements import prepare
from workbell.domain.jobs.job import claim_mode
from workbell.domain.jobs.task import OnLost, Task
from workbell.domain.schedules.ticks import FastPathStep

# Concurrency keys are locked first and counted by the next statement, in a newer snapshot.
_LOCK = prepare(
    text("""
WITH input AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:steps AS json)) AS g(
        id bigint, version int, tick timestamp)
),
locked AS MATERIALIZED (
    SELECT id, version, next_at, deleted_at, overlap_policy FROM workbell_schedules
    WHERE id = ANY(ARRAY(SELECT id FROM input)) ORDER BY id FOR UPDATE SKIP LOCKED
),
accepted AS MATERIALIZED (
    SELECT id, overlap_policy FROM locked JOIN input USING (id, version)
    WHERE next_at = tick AND deleted_at IS NULL
),
keys_inserted AS (
    INSERT INTO workbell_concurrency_keys AS keys (key, concurrency_limit)
    SELECT 'schedule:' || id AS key, 1 FROM accepted WHERE overlap_policy <> 'allow_all' ORDER BY key
    ON CONFLICT (key) DO UPDATE SET concurrency_limit = 1 WHERE keys.concurrency_limit <> 1
)
SELECT id FROM accepted"""),
    "steps",
)
_FIRE = prepare(
    text("""
WITH input AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:steps AS json)) AS g(nth int, id bigint)
),
idle AS MATERIALIZED (
    SELECT input.nth, s.id, owner, task, name, next_at, priority, weight, max_attempts,
        timeout_seconds, parameters, coalesce(nullif(queue, ''), :queue) AS own_queue,
        CAST(owner AS text) AS fair_key,
        CASE WHEN overlap_policy <> 'allow_all' THEN 'schedule:' || s.id END AS concurrency_key
    FROM input CROSS JOIN LATERAL (
        SELECT * FROM workbell_schedules WHERE id = input.id LIMIT 1
    ) AS s
    WHERE overlap_policy = 'allow_all' OR NOT EXISTS (
        SELECT 1 FROM workbell_jobs
        WHERE schedule_id IS NOT NULL AND schedule_id = s.id AND state < 4
    ) AND NOT EXISTS (
        SELECT 1 FROM workbell_jobs
        WHERE concurrency_key IS NOT NULL AND concurrency_key = 'schedule:' || s.id AND state IN (2, 3)
    )
),
levels AS MATERIALIZED (
    SELECT own_queue, priority, (
        SELECT fair_tag FROM workbell_jobs WHERE state = 2 AND queue = own_queue
            AND priority = each.priority ORDER BY fair_tag, id LIMIT 1
    ) AS lowest
    FROM (SELECT DISTINCT own_queue, priority FROM idle) AS each
),
shares AS MATERIALIZED (
    SELECT own_queue, priority, fair_key, greatest(lowest, (
        SELECT fair_tag FROM workbell_jobs WHERE state = 2 AND queue = own_queue
            AND priority = each.priority AND fair_key = each.fair_key
            ORDER BY fair_tag DESC LIMIT 1
    ), 0) AS base
    FROM (SELECT DISTINCT own_queue, priority, fair_key FROM idle) AS each
        JOIN levels USING (own_queue, priority)
),
jobs_inserted AS (
    INSERT INTO workbell_jobs (state, queue, priority, fair_tag, fair_key, weight, due_at, concurrency_key,
        concurrency_limit, mode, fail_when_lost, attempt, uncharged, max_attempts, timeout_seconds, token,
        cancel_requested,
        owner, task, name, origin, schedule_id, tick, hidden, created_at, queued_at, description,
        parameters)
    SELECT 2, own_queue, priority,
        base + row_number() OVER (PARTITION BY own_queue, priority, fair_key ORDER BY nth) / weight,
        fair_key, weight, next_at, concurrency_key, 1, CAST(:mode AS smallint), CAST(:fails AS boolean), 0, 0,
        coalesce(nullif(max_attempts, 0), :attempts),
        coalesce(nullif(timeout_seconds, 0), :seconds), 0, false, owner, task, name, 'schedule',
        id, next_at, false, :now, :now, '', parameters
    FROM idle JOIN shares USING (own_queue, priority, fair_key) ORDER BY nth
    ON CONFLICT DO NOTHING
)
SELECT nth, own_queue FROM idle ORDER BY nth"""),
    *("steps", "queue", "mode", "fails", "attempts", "seconds", "now"),
)
_ADVANCE = prepare(
    text("""
WITH input AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:steps AS json)) AS g(
        id bigint, version int, tick timestamp, following timestamp)
)
UPDATE workbell_schedules AS s SET cursor = s.next_at, next_at = input.following, runs = s.runs + 1
FROM input WHERE s.id = ANY(ARRAY(SELECT id FROM input)) AND s.id = input.id
    AND s.version = input.version AND s.next_at IS NOT DISTINCT FROM input.tick
    AND s.deleted_at IS NULL"""),
    "steps",
)


def fire_ticks(
    db: Connection, task: Task, steps: Sequence[FastPathStep], now: datetime, woken: set[str]
) -> list[FastPathStep]:
    """Insert jobs for ticks of schedules that are not locked and have no unfinished run."""
    expected = [
        {"id": step.schedule, "version": step.version, "tick": to_naive_utc(step.tick)}
        for step in steps
    ]
    locked_ids = {schedule_id for (schedule_id,) in _LOCK.fetch_all(db, (json_text(expected),))}
    locked = [step for step in steps if step.schedule in locked_ids]
    values = (
        json_text([{"nth": nth, "id": step.schedule} for nth, step in enumerate(locked)]),
        task.queue,
        int(claim_mode(task)),
        task.on_lost is OnLost.FAIL,
        task.max_attempts,
        task.timeout_seconds,
        to_naive_utc(now),
    )
    fired = _FIRE.fetch_all(db, values)
    woken.update(queue for _, queue in fired)
    return [locked[nth] for nth, _ in fired]


def advance_by_one(db: Connection, steps: Sequence[FastPathStep]) -> None:
    """Advance schedules by one tick each; changed rows are skipped."""
    rows = [
        {
            "id": step.schedule,
            "version": step.version,
            "tick": to_naive_utc(step.tick),
            "following": to_naive_utc(step.next_at),
        }
        for step in steps
    ]
    _ADVANCE.execute(db, (json_text(rows),))
