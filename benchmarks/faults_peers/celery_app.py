"""Celery and beat, with default or safest settings."""

import os

import notes
from celery import Celery
from celery.schedules import crontab

SCHEDULES = 20

app = Celery("celery_app", broker=os.environ["FAULT_REDIS"])
app.conf.broker_connection_retry_on_startup = True
app.conf.beat_schedule = {
    f"tick-{n}": {"task": "celery_app.tick", "schedule": crontab(), "args": [n]}
    for n in range(SCHEDULES)
}
if os.environ["FAULT_VARIANT"] == "safest":
    app.conf.task_acks_late = True
    app.conf.task_reject_on_worker_lost = True
    app.conf.worker_prefetch_multiplier = 1
    app.conf.broker_transport_options = {"visibility_timeout": 5}


@app.task
def work(number: str, milliseconds: int) -> None:
    """Record the start, wait, record the end."""
    notes.work(number, milliseconds)


@app.task
def tick(number: int) -> None:
    """Record a tick."""
    notes.tick(number)
