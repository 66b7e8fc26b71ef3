"""
Settling and claiming on PostgreSQL in one statement.

Executing row by row, or binding arrays, costs the driver 2 to 4 times the CPU
time (docs/decisions/0005-one-strategy-per-database.md). A single statement
commits itself: one round trip in place of three.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from attrs import evolve
from sqlalchemy import Connection, text

from workbell.adapters.sql.database.column_types import json_text, to_naive_utc
from workbell.adapters.sql.database.statements import PreparedStatement, Values, prepare
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.claim_limits import ClaimLimits
from workbell.domain.jobs.job import JobId, JobState

_SETTLED = """
input AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:settled AS json)) AS g(
        nth int, id bigint, token bigint, state smallint, due timestamp, uncharged int,
        mode smallint, result text, error text, lease_before timestamp, attempt int,
        queued timestamp, started timestamp, ended timestamp, outcome text, worker text,
        traceback text, isolation text)
),
locked AS MATERIALIZED (
    SELECT id, token, state, cancel_requested, lease_until FROM workbell_jobs
    WHERE id = ANY(ARRAY(SELECT id FROM input)) ORDER BY id FOR UPDATE
),
accepted AS MATERIALIZED (
    SELECT DISTINCT ON (input.id) input.*,
        CASE WHEN input.state = 0 AND locked.cancel_requested THEN 6 ELSE input.state END
            AS new_state
    FROM input JOIN locked ON locked.id = input.id
    WHERE locked.state = 3 AND locked.token = input.token
        AND (input.lease_before IS NULL OR locked.lease_until < input.lease_before)
    ORDER BY input.id, input.nth
),
updated AS (
    UPDATE workbell_jobs SET state = new_state,
        due_at = CASE WHEN new_state >= 4 THEN due_at ELSE coalesce(due, due_at) END,
        uncharged = accepted.uncharged, mode = accepted.mode, result = accepted.result,
        reason = error, lease_until = NULL, ended_at = CASE WHEN new_state >= 4 THEN ended END
    FROM accepted WHERE workbell_jobs.id = accepted.id
),
attempts_inserted AS (
    INSERT INTO workbell_attempts (
        job_id, number, queued_at, started_at, ended_at, outcome, worker, error,
        traceback, isolation)
    SELECT
        id, attempt, queued, started, ended, outcome, worker, error, traceback, isolation
    FROM accepted
)"""
_CLAIMED = """
candidates AS MATERIALIZED (
    SELECT id, priority, fair_tag, mode{columns} FROM workbell_jobs
    WHERE state = 2 AND queue = :queue AND NOT cancel_requested{conditions}
        AND coalesce((SELECT is_active FROM workbell_task_definitions WHERE key = task), true)
        AND (schedule_id IS NULL OR NOT EXISTS (
            SELECT 1 FROM workbell_cancellations AS c
            WHERE c.schedule_id = workbell_jobs.schedule_id AND last_job_id >= workbell_jobs.id
        ))
        AND NOT EXISTS (
            SELECT 1 FROM workbell_queues AS q WHERE name = :queue AND q.state <> 'running'
        )
    ORDER BY priority DESC, fair_tag, id LIMIT CAST(:limit AS int) FOR UPDATE SKIP LOCKED
),{within}
ranked AS (
    SELECT id, row_number() OVER line AS nth,
        count(*) FILTER (WHERE mode = 1) OVER line AS ordinary,
        count(*) FILTER (WHERE mode = 2) OVER line AS exclusive
    FROM {source} WINDOW line AS (ORDER BY priority DESC, fair_tag, id)
),
selected AS MATERIALIZED (
    SELECT id, nth FROM ranked WHERE CASE WHEN exclusive = 0
        THEN ordinary <= CAST(:free AS int) ELSE nth = 1 END
),
claimed AS (
    UPDATE workbell_jobs SET state = 3, lease_until = :lease, worker = :worker, started_at = :now,
        attempt = attempt + 1, token = token + 1
    FROM selected WHERE workbell_jobs.id = selected.id
    RETURNING nth, workbell_jobs.id, token, task, owner, parameters::json, queue, mode, fail_when_lost,
        concurrency_key, attempt, uncharged, max_attempts, timeout_seconds, cancel_requested, schedule_id, worker,
        fair_key AS fairness_key,
        due_at AT TIME ZONE 'UTC' AS due_at, queued_at AT TIME ZONE 'UTC' AS queued_at,
        started_at AT TIME ZONE 'UTC' AS started_at, lease_until AT TIME ZONE 'UTC' AS lease_until,
        coalesce(tick, for_tick) AT TIME ZONE 'UTC' AS tick
)"""
# `<> ALL` would let the planner expect no rows if most rows are of one task or owner, and sort
# them all. It expects 99 % to pass a `?` on a subquery, and so follows the index of claims.
_NOT_EXCLUDED = """
        AND NOT (SELECT CAST(:tasks AS jsonb)) ? task"""
_NOT_SATURATED = """
        AND NOT (SELECT CAST(:saturated AS jsonb)) ? fair_key"""
# The same rule as `select_within_limits`.
_WITHIN = """
placed AS (
    SELECT *, coalesce(CAST(CAST(:slots AS json) ->> fair_key AS int), CAST(:default_slots AS int)) AS slots,
        row_number() OVER (
            PARTITION BY fair_key, owner = 0 OR mode = 0 ORDER BY priority DESC, fair_tag, id
        ) AS place
    FROM candidates
),
within AS (
    SELECT * FROM placed WHERE owner = 0 OR mode = 0 OR place <= slots
),"""
_CLAIMS = "(SELECT CAST(json_agg(claimed ORDER BY nth) AS text) FROM claimed)"
_CLAIM_PARAMETERS = ("queue", "limit", "free", "lease", "worker", "now")
_SETTLE = prepare(text(f"WITH {_SETTLED} SELECT id, token, new_state FROM accepted"), "settled")  # noqa: S608


@cache
def _statement(extra: tuple[str, ...], *, settles: bool) -> PreparedStatement:
    """Return the statement that claims, with the parts for its extra parameters."""
    is_limited = "slots" in extra
    conditions = _NOT_EXCLUDED * ("tasks" in extra) + _NOT_SATURATED * ("saturated" in extra)
    claimed = _CLAIMED.format(
        columns=", owner, fair_key" if is_limited else "",
        conditions=conditions,
        within=_WITHIN if is_limited else "",
        source="within" if is_limited else "candidates",
    )
    if settles:
        sql = f"WITH {_SETTLED}, {claimed} SELECT ARRAY(SELECT id FROM accepted), {_CLAIMS}"  # noqa: S608
        return prepare(text(sql), "settled", *_CLAIM_PARAMETERS, *extra)
    return prepare(text(f"WITH {claimed} SELECT NULL, {_CLAIMS}"), *_CLAIM_PARAMETERS, *extra)


_decode_claims = msgspec.json.Decoder(list[Claim]).decode
_decode_claim = msgspec.json.Decoder(Claim).decode


def write_settlements(db: Connection, settlements: Sequence[Settlement]) -> dict[JobId, Settlement]:
    """Write accepted outcomes and their attempts; return the outcomes by id."""
    first = {(each.id, each.token): each for each in reversed(settlements)}
    return {
        JobId(job_id): evolve(first[job_id, token], state=JobState(state))
        for job_id, token, state in _SETTLE.fetch_all(db, (_to_json(settlements),))
    }


def settle_and_claim(
    db: Connection,
    settlements: Sequence[Settlement],
    request: Values,
    limits: ClaimLimits,
    committing: bool,
) -> tuple[list[Claim], set[JobId]]:
    """
    Write outcomes that make no other job ready, and claim.

    `request` is (queue, limit, free threads, end of the lease, worker, now).
    """
    queue, limit, free, lease, worker, now = request
    extra = _limit_values(limits, min(limit, free))
    values: Values = (queue, limit, free, to_naive_utc(lease), worker, to_naive_utc(now))
    values = (*values, *extra.values())
    if settlements:
        values = (_to_json(settlements), *values)
    statement = _statement(tuple(extra), settles=bool(settlements))
    ((accepted, claims),) = statement.fetch_all(db, values, committing=committing)
    return _read_claims(claims or "[]", now), {JobId(each) for each in accepted or ()}


def _read_claims(claims: str, now: datetime) -> list[Claim]:
    """Decode claims, which are committed: all together, or each by itself if one fails."""
    try:
        return _decode_claims(claims)
    except msgspec.DecodeError:
        # msgspec cannot split a list in which a text is no Unicode.
        return [_read_claim(values, now) for values in json.loads(claims)]


def _read_claim(values: dict[str, Any], now: datetime) -> Claim:
    try:
        return _decode_claim(msgspec.json.encode(values))
    except (msgspec.DecodeError, ValueError) as error:
        return Claim.of_unreadable(JobId(values["id"]), values["token"], str(error), now)


def _limit_values(limits: ClaimLimits, rows: int) -> dict[str, Any]:
    """Return the parameters that limits on a claim of some ordinary rows require."""
    values: dict[str, Any] = {}
    if limits.excluded_tasks:
        values["tasks"] = json_text(limits.excluded_tasks)
    if saturated := limits.saturated_keys:
        values["saturated"] = json_text(saturated)
    slots = limits.fewest_slots
    if slots is not None and slots < rows:
        values |= {"slots": json_text(limits.slots_by_key), "default_slots": limits.default_slots}
    return values


def _to_json(settlements: Sequence[Settlement]) -> str | None:
    """Return outcomes as the JSON of the CTE `input`."""
    rows = [
        {
            "nth": nth,
            "id": each.id,
            "token": each.token,
            "state": int(each.state),
            "due": to_naive_utc(each.due_at),
            "uncharged": each.uncharged,
            "mode": int(each.mode),
            "result": json_text(each.result),
            "error": each.error,
            "lease_before": to_naive_utc(each.lease_before),
            "attempt": each.attempt,
            "queued": to_naive_utc(each.queued_at),
            "started": to_naive_utc(each.started_at),
            "ended": to_naive_utc(each.ended_at),
            "outcome": each.outcome.value,
            "worker": each.worker,
            "traceback": each.traceback,
            "isolation": each.isolation,
        }
        for nth, each in enumerate(settlements)
    ]
    return json_text(rows)
