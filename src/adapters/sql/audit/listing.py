"""Lists of audit entries, by ranges of indexes, newest first."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Select, func, select, union_all

from workbell.adapters.sql.database.filters import (
    count_limit,
    count_ordered,
    equals,
    equals_number,
    in_range,
)
from workbell.adapters.sql.schema.audit import audit
from workbell.domain.audit.query import AuditFilter, AuditScope

MAX_SKEW = timedelta(hours=1)
"""The most by which the times of two entries may contradict the order of their ids."""
audit_c = audit.c
_AT = func.coalesce(audit_c.at, audit_c.at)
"""The time without its index: the list is read in the order of ids."""


@frozen
class AuditLists:
    """Queries for the ids of audit entries."""

    _db: Connection

    def ids(
        self,
        filters: AuditFilter,
        scope: AuditScope | None,
        before_id: int | None,
        offset: int,
        limit: int,
    ) -> Sequence[int]:
        """Return the ids of a page of entries, newest first."""
        conditions = [*self._conditions(filters)]
        if before_id is not None:
            conditions.append(audit_c.id < before_id)
        query = self._newest(conditions, scope, offset + limit).offset(offset).limit(limit)
        return self._db.execute(query).scalars().all()

    def count(self, filters: AuditFilter, scope: AuditScope | None) -> int:
        """Return the number of entries, up to `count_limit`."""
        conditions = [*self._conditions(filters)]
        query = count_ordered(self._newest(conditions, scope, count_limit()))
        return self._db.execute(query).scalar_one()

    def _newest(
        self, conditions: Sequence[ColumnElement[bool]], scope: AuditScope | None, limit: int
    ) -> Select[Any]:
        """Return the query for ids; reads at most `limit` of each set of the scope."""
        branches = [_newest([*conditions, *part]) for part in _visible(scope)]
        if len(branches) == 1:
            return branches[0]
        limited = [select(each.limit(limit).subquery()) for each in branches]
        every = union_all(*limited).subquery()
        return select(every.c.id).order_by(every.c.id.desc())

    def _conditions(self, filters: AuditFilter) -> Iterator[ColumnElement[bool]]:
        for name in ("user_id", "project_id"):
            value = getattr(filters, name)
            if value is not None:
                yield equals_number(audit_c[name], value)
        for name in ("action", "model_name", "object_id"):
            yield from equals(audit_c[name], getattr(filters, name))
        yield from in_range(_AT, filters.date_from, filters.date_to)
        yield from self._id_range(filters)

    def _id_range(self, filters: AuditFilter) -> Iterator[ColumnElement[bool]]:
        """Yield bounds of the ids of entries in the range of times."""
        if filters.date_from is not None:
            older = select(audit_c.id).where(audit_c.at < filters.date_from - MAX_SKEW)
            newest = older.order_by(audit_c.at.desc(), audit_c.id.desc()).limit(1)
            yield audit_c.id > (self._db.execute(newest).scalar() or 0)
        if filters.date_to is not None:
            newer = select(audit_c.id).where(audit_c.at > filters.date_to + MAX_SKEW)
            oldest = newer.order_by(audit_c.at, audit_c.id).limit(1)
            last = self._db.execute(oldest).scalar()
            if last is not None:
                yield audit_c.id < last


def _visible(scope: AuditScope | None) -> Iterator[Sequence[ColumnElement[bool]]]:
    """Yield the conditions of the disjoint sets of entries in a scope."""
    if scope is None:
        yield ()
        return
    yield (equals_number(audit_c.user_id, scope.user_id),)
    for project_id in scope.project_ids:
        yield (equals_number(audit_c.project_id, project_id), audit_c.user_id != scope.user_id)


def _newest(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    return select(audit_c.id).where(*conditions).order_by(audit_c.id.desc())
