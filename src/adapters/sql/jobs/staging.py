"""Placing: due rows become ready, or are held while they may not run."""

from collections.abc import Sequence
from datetime import datetime

from attrs import Factory, frozen
from sqlalchemy import Connection, bindparam, literal_column, select, update

from workbell.adapters.sql.database.statements import AnyRow, chunks, prepared
from workbell.adapters.sql.jobs import lanes
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.jobs.job import JobState
from workbell.ports.system import Clock

_c = jobs.c
PLACED = (*lanes.READIED, _c.lane, _c.task)
_ROWS = select(*PLACED).where(_c.id.in_(bindparam("ids", expanding=True)))
_HOLD = prepared(
    update(jobs)
    .where(_c.id == bindparam("job_id"))
    .values(state=literal_column(str(int(JobState.HELD)))),
    "job_id",
)


@frozen
class JobRows:
    """The jobs of one connection, the queues to wake, and the store's clock."""

    _db: Connection
    _woken: set[str] = Factory(set[str])
    _clock: Clock | None = None
    _sole: bool = False

    def now(self) -> datetime:
        """
        Return the store's own time.

        Raises:
            RuntimeError: There is no store: the connection is a caller's own.
        """
        if self._clock is None:
            raise RuntimeError("Only a store's own transaction knows the time.")
        return self._clock.now()


def place(db: Connection, ids: Sequence[int], now: datetime, woken: set[str]) -> None:
    """Move rows, whose lanes are locked, to READY or HELD, in the order of their ids here."""
    found: dict[int, AnyRow] = {}
    for some in chunks(ids):
        found.update((row.id, row) for row in db.execute(_ROWS, {"ids": some}))
    place_rows(db, [found[each] for each in ids], now, woken)


def place_rows(db: Connection, rows: Sequence[AnyRow], now: datetime, woken: set[str]) -> None:
    """Move rows of `PLACED` to READY or HELD; laned ones wait for their lane's next turn."""
    inactive = frozenset(lanes.inactive_tasks.run(db).scalars())
    ready = [row for row in rows if row.lane is None and row.task not in inactive]
    held = [row for row in rows if row.lane is not None or row.task in inactive]
    _HOLD.run_many(db, [(row.id,) for row in held])
    lanes.make_ready(db, ready, now, woken)
    lanes.release(db, {row.lane for row in held if row.lane is not None}, now, woken)
