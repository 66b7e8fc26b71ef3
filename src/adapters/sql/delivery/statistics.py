"""Statistics of a destination in SQL, each read from a range of one index."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    ScalarSelect,
    Select,
    bindparam,
    false,
    func,
    literal_column,
    select,
    true,
)

from workbell.adapters.sql.schema.delivery import deliveries, delivery_attempts
from workbell.domain import constraints
from workbell.domain.delivery.delivery import UNFINISHED
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.delivery.percentile import find_percentile
from workbell.ports.delivery.repository import STATISTICS_SAMPLE, DestinationStatistics

deliveries_c, attempts_c = deliveries.c, delivery_attempts.c
_ONE: Select[Any] = select(literal_column("1"))
# A number in the SQL text, for the reason that `equals_number` has.
_destination = bindparam("destination_id", type_=BigInteger, literal_execute=True)
_recent = (
    attempts_c.destination_id == _destination,
    attempts_c.is_test == false(),
    attempts_c.started_at >= bindparam("since"),
)
_is_success = attempts_c.is_success == true()
_waiting = [
    (
        deliveries_c.destination_id == _destination,
        deliveries_c.state == literal_column(str(int(state))),
        deliveries_c.is_test == false(),
    )
    for state in UNFINISHED
]


def _count(*conditions: Any) -> ScalarSelect[Any]:
    rows = _ONE.where(*conditions).limit(bindparam("cap", type_=Integer))
    return select(func.count()).select_from(rows.subquery()).scalar_subquery()


def _oldest(*conditions: Any) -> ScalarSelect[Any]:
    query = select(deliveries_c.created_at).where(*conditions).order_by(deliveries_c.created_at)
    return query.limit(literal_column("1")).scalar_subquery()


_FIGURES = select(
    _count(*_recent, _is_success),
    _count(*_recent, attempts_c.is_success == false()),
    *[_count(*conditions) for conditions in _waiting],
    *[_oldest(*conditions) for conditions in _waiting],
)
_DURATIONS = (
    select(attempts_c.duration_ms)
    .where(*_recent, _is_success)
    .order_by(attempts_c.started_at.desc())
    .limit(literal_column(str(STATISTICS_SAMPLE)))
)


def read_statistics(
    db: Connection, destination_id: DestinationId, since: datetime
) -> DestinationStatistics:
    """Return the figures of a destination since a time; tests are left out."""
    cap = constraints.COUNT_CAP
    values = {"destination_id": destination_id, "since": since, "cap": cap}
    figures: list[Any] = list(db.execute(_FIGURES, values).one())
    succeeded, failed, *counts = figures[: -len(UNFINISHED)]
    oldest = figures[-len(UNFINISHED) :]
    del values["cap"]
    durations = db.execute(_DURATIONS, values).scalars().all()
    return DestinationStatistics(
        succeeded=succeeded,
        failed=failed,
        p50_ms=find_percentile(durations, 50),
        p95_ms=find_percentile(durations, 95),
        pending=min(sum(counts), cap),
        oldest_pending_at=min((at for at in oldest if at is not None), default=None),
    )
