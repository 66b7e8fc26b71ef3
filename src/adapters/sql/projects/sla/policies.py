"""Calendars and SLA policies in SQL."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    insert,
    select,
    tuple_,
    update,
)

from workbell.adapters.sql.database.filters import count_rows, equals
from workbell.adapters.sql.database.statements import inserted_id, row_to_dict
from workbell.adapters.sql.projects.scopes import MEMBER, is_visible_project, member_of
from workbell.adapters.sql.projects.sla.rows import (
    calendar_from_row,
    calendar_values,
    hours_from_row,
    hours_values,
    policy_from_row,
    policy_values,
)
from workbell.adapters.sql.schema.sla import (
    calendar_versions,
    calendars,
    policies,
    policy_versions,
)
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import BusinessCalendar, BusinessHours, CalendarId
from workbell.domain.projects.sla.policy import PolicyId, SlaPolicy, SlaTerms
from workbell.ports.projects.sla import VersionKey


@frozen
class SqlSlaCalendarRepository:
    """Calendars of projects that are not deleted, and all their versions."""

    _db: Connection

    def add(self, calendar: BusinessCalendar) -> BusinessCalendar:
        """Insert a calendar and its version; return it with its id."""
        result = self._db.execute(insert(calendars), calendar_values(calendar))
        added = evolve(calendar, id=CalendarId(inserted_id(result)))
        self._add_version(added)
        return added

    def get(self, scope: Scope, calendar_id: CalendarId) -> BusinessCalendar:
        """Return a calendar in the scope."""
        return calendar_from_row(_get(self._db, calendars, scope, calendar_id, "calendar"))

    def replace(self, calendar: BusinessCalendar) -> None:
        """Update a calendar and store its version."""
        _replace(self._db, calendars, calendar.id, calendar_values(calendar))
        self._add_version(calendar)

    def delete(self, calendar_id: CalendarId) -> None:
        """Delete a calendar; its versions stay."""
        _delete(self._db, calendars, calendar_id)

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[BusinessCalendar], int]:
        """Return a page of calendars by id, and their number."""
        conditions = [
            *equals(calendars.c.project_id, project_id),
            is_visible_project(calendars.c.project_id),
        ]
        rows, count = _list(self._db, calendars, scope, conditions, offset, limit)
        return [calendar_from_row(row) for row in rows], count

    def versions(self, keys: Collection[VersionKey]) -> Mapping[VersionKey, BusinessHours]:
        """Return the hours of versions, also of deleted calendars."""
        rows = _versions(self._db, calendar_versions, "calendar_id", keys)
        return {key: hours_from_row(values) for key, values in rows.items()}

    def _add_version(self, calendar: BusinessCalendar) -> None:
        key = {"calendar_id": calendar.id, "version": calendar.version}
        self._db.execute(insert(calendar_versions), key | hours_values(calendar.hours))


@frozen
class SqlSlaPolicyRepository:
    """Policies of projects that are not deleted, and all their versions."""

    _db: Connection

    def add(self, policy: SlaPolicy) -> SlaPolicy:
        """Insert a policy and its version; return it with its id."""
        result = self._db.execute(insert(policies), policy_values(policy))
        added = evolve(policy, id=PolicyId(inserted_id(result)))
        self._add_version(added)
        return added

    def get(self, scope: Scope, policy_id: PolicyId) -> SlaPolicy:
        """Return a policy in the scope."""
        return policy_from_row(_get(self._db, policies, scope, policy_id, "SLA policy"))

    def replace(self, policy: SlaPolicy) -> None:
        """Update a policy and store its version."""
        _replace(self._db, policies, policy.id, policy_values(policy))
        self._add_version(policy)

    def delete(self, policy_id: PolicyId) -> None:
        """Delete a policy; its versions stay."""
        _delete(self._db, policies, policy_id)

    def find_active(self, project_id: ProjectId) -> SlaPolicy | None:
        """Return the active policy of a project, or None."""
        query = select(policies).where(
            policies.c.project_id == project_id, policies.c.is_active.is_(True)
        )
        row = self._db.execute(query.order_by(policies.c.id).limit(1)).one_or_none()
        return None if row is None else policy_from_row(row_to_dict(row))

    def uses_calendar(self, calendar_id: CalendarId) -> bool:
        """Whether a policy uses a calendar."""
        query = select(policies.c.id).where(policies.c.calendar_id == calendar_id).limit(1)
        return self._db.execute(query).one_or_none() is not None

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        is_active: bool | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[SlaPolicy], int]:
        """Return a page of policies by id, and their number."""
        conditions = [
            *equals(policies.c.project_id, project_id),
            *equals(policies.c.is_active, is_active),
            is_visible_project(policies.c.project_id),
        ]
        rows, count = _list(self._db, policies, scope, conditions, offset, limit)
        return [policy_from_row(row) for row in rows], count

    def versions(self, keys: Collection[VersionKey]) -> Mapping[VersionKey, SlaTerms]:
        """Return the terms of versions, also of deleted policies."""
        rows = _versions(self._db, policy_versions, "policy_id", keys)
        return {key: SlaTerms.from_json(values["terms"]) for key, values in rows.items()}

    def _add_version(self, policy: SlaPolicy) -> None:
        self._db.execute(
            insert(policy_versions),
            {"policy_id": policy.id, "version": policy.version, "terms": policy.terms.to_json()},
        )


def _get(db: Connection, table: Table, scope: Scope, row_id: int, noun: str) -> dict[str, Any]:
    query = select(table).where(table.c.id == row_id, is_visible_project(table.c.project_id))
    row = db.execute(query, {MEMBER: member_of(scope)}).one_or_none()
    if row is None:
        raise NotFound(f"There is no {noun} {row_id}.")
    return row_to_dict(row)


def _replace(db: Connection, table: Table, row_id: int, values: dict[str, Any]) -> None:
    statement = update(table).where(table.c.id == bindparam("row_id")).values(values)
    if db.execute(statement, {"row_id": row_id}).rowcount == 0:
        raise NotFound(f"There is no row {row_id} in {table.name}.")


def _delete(db: Connection, table: Table, row_id: int) -> None:
    db.execute(delete(table).where(table.c.id == row_id))


def _list(
    db: Connection,
    table: Table,
    scope: Scope,
    conditions: Sequence[ColumnElement[bool]],
    offset: int,
    limit: int,
) -> tuple[Sequence[dict[str, Any]], int]:
    query = select(table).where(*conditions).order_by(table.c.id).offset(offset).limit(limit)
    member = {MEMBER: member_of(scope)}
    rows = [row_to_dict(row) for row in db.execute(query, member)]
    return rows, db.execute(count_rows(table, *conditions), member).scalar_one()


def _versions(
    db: Connection, table: Table, id_name: str, keys: Collection[VersionKey]
) -> Mapping[VersionKey, dict[str, Any]]:
    if not keys:
        return {}
    key = tuple_(table.c[id_name], table.c.version)
    rows = map(row_to_dict, db.execute(select(table).where(key.in_(sorted(set(keys))))))
    return {(row[id_name], row["version"]): row for row in rows}
