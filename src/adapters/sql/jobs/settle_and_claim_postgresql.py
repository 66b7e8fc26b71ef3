"""Exchange on PostgreSQL: outcomes and claims, many rows by one statement."""

from collections.abc import Sequence

import msgspec
from attrs import evolve
from sqlalchemy import Connection, text

from workbell.adapters.sql.database.column_types import json_text, to_naive_utc
from workbell.adapters.sql.database.statements import Values, prepare
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.job import JobId, JobState

_GIVEN = """
given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:settled AS json)) AS g(
        nth int, id bigint, token bigint, state smallint, due timestamp, most int, mode smallint,
        result text, error text, lease_before timestamp, attempt int, queued timestamp,
        started timestamp, ended timestamp, outcome text, worker text)
),
standing AS MATERIALIZED (
    SELECT id, token, state, cancel_requested, lease_until FROM workbell_jobs
    WHERE id = ANY(ARRAY(SELECT id FROM given)) ORDER BY id FOR UPDATE
),
accepted AS MATERIALIZED (
    SELECT DISTINCT ON (given.id) given.*,
        CASE WHEN given.state = 0 AND standing.cancel_requested THEN 6 ELSE given.state END AS goes
    FROM given JOIN standing ON standing.id = given.id
    WHERE standing.state = 3 AND standing.token = given.token
        AND (given.lease_before IS NULL OR standing.lease_until < given.lease_before)
    ORDER BY given.id, given.nth
),
written AS (
    UPDATE workbell_jobs SET state = goes,
        due_at = CASE WHEN goes >= 4 THEN due_at ELSE coalesce(due, due_at) END,
        max_attempts = most, mode = accepted.mode, result = accepted.result, reason = error,
        lease_until = NULL, ended_at = CASE WHEN goes >= 4 THEN ended END
    FROM accepted WHERE workbell_jobs.id = accepted.id
),
told AS (
    INSERT INTO workbell_attempts (
        job_id, number, queued_at, started_at, ended_at, outcome, worker, error)
    SELECT id, attempt, queued, started, ended, outcome, worker, error FROM accepted
)"""
_CLAIMED = """
found AS MATERIALIZED (
    SELECT id, priority, fair_tag, mode FROM workbell_jobs
    WHERE state = 2 AND queue = :queue AND NOT cancel_requested
        AND NOT EXISTS (
            SELECT 1 FROM workbell_queues AS q WHERE name = :queue AND q.state <> 'running'
        )
    ORDER BY priority DESC, fair_tag, id LIMIT CAST(:most AS int) FOR UPDATE SKIP LOCKED
),
counted AS (
    SELECT id, row_number() OVER line AS nth,
        count(*) FILTER (WHERE mode = 1) OVER line AS ordinary,
        count(*) FILTER (WHERE mode = 2) OVER line AS alone
    FROM found WINDOW line AS (ORDER BY priority DESC, fair_tag, id)
),
picked AS MATERIALIZED (
    SELECT id, nth FROM counted WHERE CASE WHEN alone = 0
        THEN ordinary <= CAST(:free AS int) ELSE nth = 1 END
),
claimed AS (
    UPDATE workbell_jobs SET state = 3, lease_until = :lease, worker = :worker, started_at = :now,
        attempt = attempt + 1, token = token + 1
    FROM picked WHERE workbell_jobs.id = picked.id
    RETURNING nth, workbell_jobs.id, token, task, owner, parameters::json, queue, mode, fail_when_lost,
        concurrency_key, attempt, max_attempts, timeout_seconds, cancel_requested, schedule_id, worker,
        due_at AT TIME ZONE 'UTC' AS due_at, queued_at AT TIME ZONE 'UTC' AS queued_at,
        started_at AT TIME ZONE 'UTC' AS started_at, lease_until AT TIME ZONE 'UTC' AS lease_until,
        coalesce(tick, for_tick) AT TIME ZONE 'UTC' AS tick
)"""
_CLAIMS = "(SELECT CAST(json_agg(claimed ORDER BY nth) AS text) FROM claimed)"
_ASKED = ("queue", "most", "free", "lease", "worker", "now")
_SETTLE = prepare(text(f"WITH {_GIVEN} SELECT id, token, goes FROM accepted"), "settled")  # noqa: S608
_CLAIM = prepare(text(f"WITH {_CLAIMED} SELECT NULL, {_CLAIMS}"), *_ASKED)
_EXCHANGE = prepare(
    text(f"WITH {_GIVEN}, {_CLAIMED} SELECT ARRAY(SELECT id FROM accepted), {_CLAIMS}"),  # noqa: S608
    "settled",
    *_ASKED,
)
_claims_of = msgspec.json.Decoder(list[Claim]).decode


def write_settlements(db: Connection, settlements: Sequence[Settlement]) -> dict[JobId, Settlement]:
    """Write accepted outcomes and their attempts; return the outcomes by id."""
    given = {(each.id, each.token): each for each in reversed(settlements)}
    return {
        JobId(job_id): evolve(given[job_id, token], state=JobState(state))
        for job_id, token, state in _SETTLE.fetch_all(db, (_settled(settlements),))
    }


def settle_and_claim(
    db: Connection, settlements: Sequence[Settlement], asked: Values, committing: bool
) -> tuple[list[Claim], set[JobId]]:
    """
    Write outcomes that have no consequences, and claim.

    `asked` is the queue, how many rows at most, the free threads, the end of
    the lease, the worker and the time.
    """
    queue, most, free, lease, worker, now = asked
    values = (queue, most, free, to_naive_utc(lease), worker, to_naive_utc(now))
    if settlements:
        rows = _EXCHANGE.fetch_all(db, (_settled(settlements), *values), committing=committing)
    else:
        rows = _CLAIM.fetch_all(db, values, committing=committing)
    ((accepted, claims),) = rows
    return _claims_of(claims or "[]"), {JobId(each) for each in accepted or ()}


def _settled(settlements: Sequence[Settlement]) -> str | None:
    """Return outcomes as the JSON that `given` reads."""
    rows = [
        {
            "nth": nth,
            "id": each.id,
            "token": each.token,
            "state": int(each.state),
            "due": to_naive_utc(each.due_at),
            "most": each.max_attempts,
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
