"""
Settling and claiming on PostgreSQL in one statement.

Executing row by row, or binding arrays, costs the driver 2 to 4 times the CPU
time (docs/decisions/0005-one-strategy-per-database.md). A single statement
commits itself: one round trip in place of three.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from attrs import evolve
from sqlalchemy import Connection, text

from workbell.adapters.sql.database.column_types import json_text, to_naive_utc
from workbell.adapters.sql.database.statements import Values, prepare
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.job import JobId, JobState

_SETTLED = """
input AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:settled AS json)) AS g(
        nth int, id bigint, token bigint, state smallint, due timestamp, uncharged int,
        mode smallint, result text, error text, lease_before timestamp, attempt int,
        queued timestamp, started timestamp, ended timestamp, outcome text, worker text)
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
        job_id, number, queued_at, started_at, ended_at, outcome, worker, error)
    SELECT id, attempt, queued, started, ended, outcome, worker, error FROM accepted
)"""
_CLAIMED = """
candidates AS MATERIALIZED (
    SELECT id, priority, fair_tag, mode FROM workbell_jobs
    WHERE state = 2 AND queue = :queue AND NOT cancel_requested
        AND NOT EXISTS (
            SELECT 1 FROM workbell_queues AS q WHERE name = :queue AND q.state <> 'running'
        )
    ORDER BY priority DESC, fair_tag, id LIMIT CAST(:limit AS int) FOR UPDATE SKIP LOCKED
),
ranked AS (
    SELECT id, row_number() OVER line AS nth,
        count(*) FILTER (WHERE mode = 1) OVER line AS ordinary,
        count(*) FILTER (WHERE mode = 2) OVER line AS exclusive
    FROM candidates WINDOW line AS (ORDER BY priority DESC, fair_tag, id)
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
        due_at AT TIME ZONE 'UTC' AS due_at, queued_at AT TIME ZONE 'UTC' AS queued_at,
        started_at AT TIME ZONE 'UTC' AS started_at, lease_until AT TIME ZONE 'UTC' AS lease_until,
        coalesce(tick, for_tick) AT TIME ZONE 'UTC' AS tick
)"""
_CLAIMS = "(SELECT CAST(json_agg(claimed ORDER BY nth) AS text) FROM claimed)"
_CLAIM_PARAMETERS = ("queue", "limit", "free", "lease", "worker", "now")
_SETTLE = prepare(text(f"WITH {_SETTLED} SELECT id, token, new_state FROM accepted"), "settled")  # noqa: S608
_CLAIM = prepare(text(f"WITH {_CLAIMED} SELECT NULL, {_CLAIMS}"), *_CLAIM_PARAMETERS)
_SETTLE_AND_CLAIM = prepare(
    text(f"WITH {_SETTLED}, {_CLAIMED} SELECT ARRAY(SELECT id FROM accepted), {_CLAIMS}"),  # noqa: S608
    "settled",
    *_CLAIM_PARAMETERS,
)
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
    db: Connection, settlements: Sequence[Settlement], request: Values, committing: bool
) -> tuple[list[Claim], set[JobId]]:
    """
    Write outcomes that make no other job ready, and claim.

    `request` is (queue, limit, free threads, end of the lease, worker, now).
    """
    queue, limit, free, lease, worker, now = request
    values: Values = (queue, limit, free, to_naive_utc(lease), worker, to_naive_utc(now))
    if settlements:
        values = (_to_json(settlements), *values)
        rows = _SETTLE_AND_CLAIM.fetch_all(db, values, committing=committing)
    else:
        rows = _CLAIM.fetch_all(db, values, committing=committing)
    ((accepted, claims),) = rows
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
        }
        for nth, each in enumerate(settlements)
    ]
    return json_text(rows)
