"""Calls that list and count jobs and schedules, and the index that each one follows."""

from tests.adapters.sql.server_plans import Ask
from tests.contract.factories import NOON
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import Status
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ScheduleFilter

HEAVY = UserId(1)
"""The owner of three of ten jobs; none of them failed, was cancelled or skipped."""
OWN = Scope(owner=HEAVY)
ALL, MINE = "all", "mine"
SCOPES = {ALL: ALL_OWNERS, MINE: OWN}
STATUS = "workbell_jobs_status_idx", "workbell_jobs_owner_status_idx"
SUCCEEDED = "workbell_jobs_status_idx", "workbell_jobs_owner_idx"
OWNER = "workbell_jobs_pkey", "workbell_jobs_owner_idx"
RUNS = "workbell_jobs_started_idx", "workbell_jobs_started_idx"

JOB_LISTS: dict[str, tuple[JobFilter, tuple[str, ...], tuple[str, str]]] = {
    "newest": (JobFilter(), ("-id",), OWNER),
    "oldest": (JobFilter(), ("id",), OWNER),
    "after a cursor": (JobFilter(before_id=900), ("-id",), OWNER),  # type: ignore[arg-type]
    "succeeded": (JobFilter(statuses=[Status.SUCCEEDED]), ("-id",), SUCCEEDED),
    "failed": (JobFilter(statuses=[Status.FAILED]), ("-id",), STATUS),
    "failed after a cursor": (
        JobFilter(statuses=[Status.FAILED], before_id=900),  # type: ignore[arg-type]
        ("-id",),
        STATUS,
    ),
    "results": (JobFilter(statuses=[Status.SUCCEEDED, Status.FAILED]), ("-id",), SUCCEEDED),
    "pending": (
        JobFilter(statuses=[Status.PENDING]),
        ("-id",),
        ("workbell_jobs_pending_idx", "workbell_jobs_waiting_idx"),
    ),
    "retrying": (
        JobFilter(statuses=[Status.RETRYING]),
        ("-id",),
        ("workbell_jobs_retrying_idx", "workbell_jobs_"),
    ),
    "running": (
        JobFilter(statuses=[Status.RUNNING]),
        ("-id",),
        ("workbell_jobs_lease_idx", "workbell_jobs_lease_idx"),
    ),
    "of a schedule": (JobFilter(schedule_id=4), ("-id",), RUNS),
    "of a task": (JobFilter(task="none"), ("-id",), OWNER),
    "found": (JobFilter(search="none"), ("-id",), OWNER),
    "failed and found": (JobFilter(statuses=[Status.FAILED], search="x"), ("-id",), STATUS),
    "created in a range": (JobFilter(created_from=NOON), ("-id",), OWNER),
    "by creation": (JobFilter(), ("-created_at",), OWNER),
    "by name": (JobFilter(), ("name",), OWNER),
}
SCHEDULE_LISTS: dict[str, tuple[ScheduleFilter, tuple[str, ...]]] = {
    "newest": (ScheduleFilter(), ("-created_at",)),
    "oldest": (ScheduleFilter(), ("created_at",)),
    "active": (ScheduleFilter(is_active=True), ("-created_at",)),
    "created in a range": (ScheduleFilter(created_from=NOON), ("-created_at",)),
    "found": (ScheduleFilter(search="none"), ("-created_at",)),
    "by name": (ScheduleFilter(), ("name",)),
}


def list_jobs(name: str, scope: str) -> Ask:
    """Return the call that lists jobs."""
    filters, ordering, _ = JOB_LISTS[name]
    return lambda tx: tx.jobs.list_page(SCOPES[scope], filters, ordering=ordering)


def list_schedules(name: str, scope: str) -> Ask:
    """Return the call that lists schedules."""
    filters, ordering = SCHEDULE_LISTS[name]
    return lambda tx: tx.schedules.list_page(SCOPES[scope], filters, ordering=ordering)


COUNTS: dict[str, Ask] = {
    "statistics": lambda tx: tx.statistics.jobs(ALL_OWNERS, NOON),
    "statistics of an owner": lambda tx: tx.statistics.jobs(OWN, NOON),
    "queues": lambda tx: tx.queues.all(),
}

_COLUMNS = """id, state, queue, priority, fair_tag, fair_key, weight, due_at, concurrency_key,
    concurrency_limit, mode, fail_when_lost, attempt, uncharged, max_attempts, timeout_seconds,
    token, lease_until, cancel_requested, owner, task, name, origin, schedule_id, hidden,
    created_at, queued_at, started_at, ended_at, description, parameters"""
_STATE = """CASE WHEN n > 27000 THEN CASE {0} WHEN 0 THEN 0 WHEN 1 THEN 1 WHEN 2 THEN 3 ELSE 2 END
    WHEN {1} = 7 THEN 5 WHEN {2} = 9 THEN 6 WHEN {2} = 19 THEN 7 ELSE 4 END"""


def fill_statement(dialect: str) -> str:
    """Return the INSERT of 30,000 jobs, of which the newest 3,000 are unfinished."""

    def mod(number: int) -> str:
        return f"mod(n, {number})" if dialect == "postgresql" else f"(n % {number})"

    no, noon = ("false" if dialect == "postgresql" else "0"), "'2030-01-01 12:00:00.000000'"
    noon = f"timestamp {noon}" if dialect == "postgresql" else noon
    state = _STATE.format(mod(20), mod(50), mod(1000))
    series = {
        "postgresql": "generate_series(1, 30000) AS g(n)",
        "mysql": "(SELECT seq AS n FROM seq_1_to_30000) AS g",
        "sqlite": "(WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g"
        " WHERE n < 30000) SELECT n FROM g) AS g",
    }
    return f"""
        INSERT INTO workbell_jobs ({_COLUMNS})
        SELECT n, {state}, CASE WHEN {mod(2)} = 0 THEN 'default' ELSE 'mail' END, 0, n, '', 1,
            {noon}, NULL, 1, 1, {no}, CASE WHEN n = 28006 OR n <= 27000 THEN 1 ELSE 0 END, 0, 3,
            60, 1, CASE WHEN n > 27000 AND {mod(20)} = 2 THEN {noon} END, {no},
            CASE WHEN {mod(10)} < 3 AND {mod(50)} <> 7 AND {mod(1000)} NOT IN (9, 19) THEN 1
            ELSE 2 + {mod(3000)} END, 'echo', 'job', 'api',
            CASE WHEN {mod(2)} = 0 THEN {mod(2000)} END, {no}, {noon}, {noon},
            CASE WHEN n <= 27000 OR {mod(20)} = 2 THEN {noon} END,
            CASE WHEN n <= 27000 THEN {noon} END, '', '{{}}'
        FROM {series[dialect]}
    """.replace("%", "%%" if dialect == "mysql" else "%")
