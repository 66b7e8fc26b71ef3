"""Plan of the comparison: measurements by product, and compared figures."""

from dataclasses import dataclass

JOBS = (
    ("celery", "redis"),
    ("celery", "results"),
    ("dramatiq", "drain"),
    ("procrastinate", "drain"),
    ("huey", "drain"),
    ("taskiq", "drain"),
    ("workbell", "batch"),
    ("workbell", "ordinary"),
    ("workbell", "isolated"),
    ("procrastinate", "single"),
    ("workbell", "single"),
    ("procrastinate", "bulk"),
    ("workbell", "bulk"),
    ("taskiq", "latency"),
    ("procrastinate", "latency"),
    ("workbell", "latency"),
    ("workbell", "embedded"),
)
SCHEDULES = (("apscheduler", "ticks"), ("celery", "beat"), ("workbell", "ticks"))
HTTP = (("django_rest", "http"), ("fastapi", "http"), ("workbell", "http"))
"""Product and measurement, in the order of a round."""


@dataclass(frozen=True)
class Row:
    """
    One comparison of a figure of Workbell with another product's.

    Figures are named "product measurement figure". `minimum` and `target` apply
    to the ratio, or to Workbell's figure if there is no other; with `less`,
    smaller is better.
    """

    area: str
    ours: str
    theirs: str | None
    minimum: float | None
    target: float | None
    against: str
    less: bool = False


_BATCH, _ORDINARY = "workbell batch jobs/s", "workbell ordinary jobs/s"
_SINGLE, _TICKS = "workbell single jobs/s", "workbell ticks fired/s"
_DRAIN, _PLAIN = "drain, no-op batch tasks", "drain, no-op ordinary tasks"
_FIRED, _LOGINS = "schedules fired, 1M in the table", "logins"
_LIST_COST, _OUR_LIST = "HTTP list of 20, processor µs", "workbell http list cpu us"
_EMBEDDED = "embedded SQLite, enqueue + run, 8 producers"

ROWS = (
    Row(_DRAIN, _BATCH, "procrastinate drain jobs/s", 12, 25, "Procrastinate"),
    Row(_DRAIN, _BATCH, "celery results jobs/s", 12, 25, "Celery, results on PostgreSQL"),
    Row(_DRAIN, _BATCH, "celery redis jobs/s", None, None, "Celery on Redis, stores no result"),
    Row(_DRAIN, _BATCH, "dramatiq drain jobs/s", 3, 5, "Dramatiq on Redis, stores no result"),
    Row(_DRAIN, _BATCH, "huey drain jobs/s", 1, 1.5, "Huey on Redis, loses jobs on a crash"),
    Row(_DRAIN, _BATCH, "taskiq drain jobs/s", None, None, "taskiq on Redis, loses jobs on a crash"),
    Row(_PLAIN, _ORDINARY, "procrastinate drain jobs/s", 3.5, 8, "Procrastinate"),
    Row(_PLAIN, _ORDINARY, "celery results jobs/s", None, None, "Celery, results on PostgreSQL"),
    Row(
        "drain, no-op tasks in processes", "workbell isolated jobs/s", "celery results jobs/s",
        1, 2, "Celery, results on PostgreSQL",
    ),
    Row("enqueue, single, durable", _SINGLE, "procrastinate single jobs/s", 1, 1.5, "Procrastinate"),
    Row(
        "enqueue, 500 per batch", "workbell bulk jobs/s", "procrastinate bulk jobs/s",
        1, 1.3, "Procrastinate",
    ),
    Row(
        "start latency idle, p50", "workbell latency p50 ms", "taskiq latency p50 ms",
        4, 2, "taskiq", less=True,
    ),
    Row("start latency idle, p99, ms", "workbell latency p99 ms", None, 12, 6, "-", less=True),
    Row(
        "start latency idle, p99", "workbell latency p99 ms", "procrastinate latency p99 ms",
        None, None, "Procrastinate", less=True,
    ),
    Row(_EMBEDDED, "workbell embedded jobs/s", "workbell embedded naive jobs/s", 2, 4, "one commit each"),
    Row(_FIRED, _TICKS, "apscheduler ticks fired/s", 12, 25, "APScheduler 3, 100k"),
    Row(_FIRED, _TICKS, "celery beat fired/s", 40, 80, "django-celery-beat, 100k, without checks"),
    Row(_FIRED, _TICKS, "celery beat fired/s by ticks", None, None, "django-celery-beat, 100k"),
    Row("scheduler memory, MiB", "workbell ticks growth MiB", None, 20, 1, "-", less=True),
    Row(
        "scheduler memory, 1M and 100k", "workbell ticks growth MiB", "celery beat growth MiB",
        None, None, "django-celery-beat", less=True,
    ),
    Row("HTTP ping", "workbell http ping/s", "django_rest http ping/s", None, None, "Django REST"),
    Row("HTTP ping", "workbell http ping/s", "fastapi http ping/s", None, None, "FastAPI"),
    Row("HTTP list of 20", "workbell http list/s", "django_rest http list/s", 4.5, 6, "Django REST"),
    Row("HTTP list of 20", "workbell http list/s", "fastapi http list/s", 1.7, 3, "FastAPI"),
    Row("HTTP create", "workbell http create/s", "django_rest http create/s", 2, 4, "Django REST"),
    Row(_LIST_COST, _OUR_LIST, "django_rest http list cpu us", None, None, "Django REST", less=True),
    Row(_LIST_COST, _OUR_LIST, "fastapi http list cpu us", None, None, "FastAPI", less=True),
    Row("HTTP create", "workbell http create/s", "fastapi http create/s", 1, 2, "FastAPI"),
    Row(_LOGINS, "workbell http login/s", "django_rest http login/s", 8, 10, "Django's default hasher"),
)  # fmt: skip
