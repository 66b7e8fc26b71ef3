"""Procrastinate on PostgreSQL, as it comes."""

import os

from measuring import tally
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))


@app.task(name="noop")
async def noop(n: int) -> None:
    """Do nothing but be counted."""
    tally.note(n)
