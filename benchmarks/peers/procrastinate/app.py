"""Procrastinate on PostgreSQL with default settings."""

import os

from measuring import tally
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))


@app.task(name="noop")
async def noop(n: int) -> None:
    """Record the start."""
    tally.note(n)
