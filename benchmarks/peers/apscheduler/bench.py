"""APScheduler 3: firing due jobs, with 100,000 schedules in PostgreSQL."""

import pickle
from datetime import UTC, datetime, timedelta

from apscheduler.job import Job
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from apscheduler.util import datetime_to_utc_timestamp
from measuring import jobs, tally

SCHEDULES = 100_000
DUE = 4_000


def ticks() -> dict[str, float]:
    """Fire all due schedules: update each row and call its function in a thread."""
    tally.clear()
    due = jobs.scaled(DUE)
    url = jobs.DATABASE.replace("postgresql:", "postgresql+psycopg:")
    store = SQLAlchemyJobStore(url=url)
    scheduler = BackgroundScheduler(jobstores={"default": store}, timezone=UTC)
    store.start(scheduler, "default")
    _fill(scheduler, store, due)
    scheduler.start()
    tally.until(due)
    scheduler.shutdown()
    return {"fired/s": tally.rate()}


def _fill(scheduler: BackgroundScheduler, store: SQLAlchemyJobStore, due: int) -> None:
    """Insert rows as the job store does, but in one transaction."""
    now = datetime.now(UTC)
    rows = []
    for n in range(SCHEDULES):
        job = Job(
            scheduler,
            id=str(n),
            func=tally.note,
            args=(n,),
            kwargs={},
            trigger=IntervalTrigger(hours=1, start_date=now, timezone=UTC),
            executor="default",
            name="note",
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
            next_run_time=now - timedelta(seconds=1) if n < due else now + timedelta(hours=1),
        )
        at = datetime_to_utc_timestamp(job.next_run_time)
        state = pickle.dumps(job.__getstate__(), store.pickle_protocol)
        rows.append({"id": job.id, "next_run_time": at, "job_state": state})
    with store.engine.begin() as connection:
        connection.execute(store.jobs_t.insert(), rows)


if __name__ == "__main__":
    jobs.answer({"ticks": ticks})
