"""Celery on Redis; with results in the database if Django settings are given."""

import os

from celery import Celery
from measuring import tally

app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True
if os.environ.get("DJANGO_SETTINGS_MODULE"):
    app.conf.result_backend = "django-db"
    app.conf.result_extended = True
else:
    app.conf.task_ignore_result = True


@app.task(name="noop")
def noop(n: int) -> None:
    """Record the start."""
    tally.note(n)
