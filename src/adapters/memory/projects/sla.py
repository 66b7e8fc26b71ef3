"""Calendars, SLA policies and clocks in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows
from workbell.adapters.memory.projects.scopes import is_visible_project
from workbell.adapters.memory.tables import Tables
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import BusinessCalendar, BusinessHours, CalendarId
from workbell.domain.projects.sla.clock import ClockId, ClockKind, SlaClock, SlaEventKind
from workbell.domain.projects.sla.policy import PolicyId, SlaPolicy, SlaTerms
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.sla import StoredEvent, VersionKey

_KINDS = tuple(ClockKind)
_EVENT_KINDS = tuple(SlaEventKind)


@define(eq=False)
class MemorySlaCalendarRepository:
    """Calendars of projects that are not deleted, and all their versions."""

    _tables: Tables

    def add(self, calendar: BusinessCalendar) -> BusinessCalendar:
        """Insert a calendar and its version; return it with its id."""
        added = evolve(calendar, id=CalendarId(self._tables.sla_calendars.next_id()))
        self._put(added)
        return added

    def get(self, scope: Scope, calendar_id: CalendarId) -> BusinessCalendar:
        """Return a calendar in the scope."""
        found = self._tables.sla_calendars.get(calendar_id)
        if found is None or not is_visible_project(self._tables, scope, found.project_id):
            raise NotFound(f"There is no calendar {calendar_id}.")
        return found

    def replace(self, calendar: BusinessCalendar) -> None:
        """Update a calendar and store its version."""
        if self._tables.sla_calendars.get(calendar.id) is None:
            raise NotFound(f"There is no calendar {calendar.id}.")
        self._put(calendar)

    def delete(self, calendar_id: CalendarId) -> None:
        """Delete a calendar; its versions stay."""
        self._tables.sla_calendars.delete(calendar_id)

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[BusinessCalendar], int]:
        """Return a page of calendars by id, and their number."""
        found = [
            calendar
            for calendar in self._tables.sla_calendars
            if project_id in {None, calendar.project_id}
            and is_visible_project(self._tables, scope, calendar.project_id)
        ]
        return found[offset : offset + limit], count_rows(found)

    def versions(self, keys: Collection[VersionKey]) -> Mapping[VersionKey, BusinessHours]:
        """Return the hours of versions, also of deleted calendars."""
        found = {key: self._tables.sla_calendar_versions.get(key) for key in keys}
        return {key: hours for key, hours in found.items() if hours is not None}

    def _put(self, calendar: BusinessCalendar) -> None:
        self._tables.sla_calendars.put(calendar.id, calendar)
        key = (calendar.id, calendar.version)
        self._tables.sla_calendar_versions.put(key, calendar.hours)


@define(eq=False)
class MemorySlaPolicyRepository:
    """Policies of projects that are not deleted, and all their versions."""

    _tables: Tables

    def add(self, policy: SlaPolicy) -> SlaPolicy:
        """Insert a policy and its version; return it with its id."""
        added = evolve(policy, id=PolicyId(self._tables.sla_policies.next_id()))
        self._put(added)
        return added

    def get(self, scope: Scope, policy_id: PolicyId) -> SlaPolicy:
        """Return a policy in the scope."""
        found = self._tables.sla_policies.get(policy_id)
        if found is None or not is_visible_project(self._tables, scope, found.project_id):
            raise NotFound(f"There is no SLA policy {policy_id}.")
        return found

    def replace(self, policy: SlaPolicy) -> None:
        """Update a policy and store its version."""
        if self._tables.sla_policies.get(policy.id) is None:
            raise NotFound(f"There is no SLA policy {policy.id}.")
        self._put(policy)

    def delete(self, policy_id: PolicyId) -> None:
        """Delete a policy; its versions stay."""
        self._tables.sla_policies.delete(policy_id)

    def find_active(self, project_id: ProjectId) -> SlaPolicy | None:
        """Return the active policy of a project, or None."""
        of_project = (one for one in self._tables.sla_policies if one.project_id == project_id)
        return next((policy for policy in of_project if policy.is_active), None)

    def uses_calendar(self, calendar_id: CalendarId) -> bool:
        """Whether a policy uses a calendar."""
        return any(policy.calendar_id == calendar_id for policy in self._tables.sla_policies)

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
        found = [
            policy
            for policy in self._tables.sla_policies
            if project_id in {None, policy.project_id}
            and is_active in {None, policy.is_active}
            and is_visible_project(self._tables, scope, policy.project_id)
        ]
        return found[offset : offset + limit], count_rows(found)

    def versions(self, keys: Collection[VersionKey]) -> Mapping[VersionKey, SlaTerms]:
        """Return the terms of versions, also of deleted policies."""
        found = {key: self._tables.sla_policy_versions.get(key) for key in keys}
        return {key: terms for key, terms in found.items() if terms is not None}

    def _put(self, policy: SlaPolicy) -> None:
        self._tables.sla_policies.put(policy.id, policy)
        self._tables.sla_policy_versions.put((policy.id, policy.version), policy.terms)


@define(eq=False)
class MemorySlaClockRepository:
    """Clocks of work items, and what they have reported."""

    _tables: Tables

    def add(self, new: Sequence[SlaClock]) -> Sequence[SlaClock]:
        """Insert clocks and return them with their ids, in the same order."""
        added = [evolve(one, id=ClockId(self._tables.sla_clocks.next_id())) for one in new]
        for clock in added:
            cycles = self.of_items([clock.work_item_id])
            if any((one.kind, one.cycle) == (clock.kind, clock.cycle) for one in cycles):
                raise Conflict("The clock has this cycle already.")
            self._put(clock)
        return added

    def replace(self, changed: Sequence[SlaClock]) -> None:
        """Update clocks."""
        for clock in changed:
            if (old := self._tables.sla_clocks.get(clock.id)) is None:
                continue
            if old.next_event_at is not None:
                entry = (old.next_event_at, old.work_item_id, old.id)
                self._tables.sla_index.remove(("due",), entry)
            self._tables.sla_index.remove(("item", old.work_item_id), old.id)
            self._put(clock)

    def of_items(self, item_ids: Collection[WorkItemId]) -> Sequence[SlaClock]:
        """Return the clocks of work items, by work item, kind and cycle."""
        ids = (one for item in set(item_ids) for one in self._tables.sla_index.of("item", item))
        found = (self._tables.sla_clocks.rows[clock_id] for clock_id in ids)
        return sorted(found, key=lambda c: (c.work_item_id, _KINDS.index(c.kind), c.cycle))

    def next_due(self) -> datetime | None:
        """Return when the next event of any clock is due, or None."""
        due = self._tables.sla_index.of("due")
        return due[0][0] if due else None

    def list_due_items(self, now: datetime, *, limit: int) -> Sequence[WorkItemId]:
        """Return the work items of clocks that are due."""
        first = self._tables.sla_index.of("due")[:limit]
        return list(dict.fromkeys(item_id for at, item_id, _ in first if at <= now))

    def quarantine(self, item_id: WorkItemId, now: datetime) -> Sequence[ClockId]:
        """Set no next event for the clocks of an item that are due."""
        due = [
            clock_id
            for at, of_item, clock_id in self._tables.sla_index.of("due")
            if of_item == item_id and at <= now
        ]
        clocks = [self._tables.sla_clocks.rows[clock_id] for clock_id in due]
        self.replace([evolve(clock, next_event_at=None) for clock in clocks])
        return due

    def lock_due_items(
        self, now: datetime, *, limit: int, only: WorkItemId | None = None
    ) -> Sequence[WorkItemId]:
        """Return the work items of clocks that are due, the longest overdue first."""
        due = self.list_due_items(now, limit=limit)
        return [item_id for item_id in due if only in {None, item_id}]

    def lock_items_of_project(
        self, project_id: ProjectId, *, after: WorkItemId, limit: int
    ) -> Sequence[WorkItemId]:
        """Return items of a project that have open clocks, by id, after an id."""
        ids = {
            clock.work_item_id
            for clock in self._tables.sla_clocks
            if clock.project_id == project_id and clock.work_item_id > after and clock.phase.is_open
        }
        return sorted(ids)[:limit]

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Insert events; Conflict if one exists."""
        for stored in events:
            key = (stored.clock_id, stored.cycle, stored.event.kind, stored.event.step)
            if self._tables.sla_events.get(key) is not None:
                raise Conflict("An event of the clock exists already.")
            self._tables.sla_events.put(key, stored)

    def events_of(self, item_id: WorkItemId) -> Sequence[StoredEvent]:
        """Return the events of a work item's clocks, by when they were due."""
        ids = set(self._tables.sla_index.of("item", item_id))
        found = [stored for stored in self._tables.sla_events if stored.clock_id in ids]
        return sorted(found, key=_event_order)

    def _put(self, clock: SlaClock) -> None:
        self._tables.sla_clocks.put(clock.id, clock)
        self._tables.sla_index.add(("item", clock.work_item_id), clock.id)
        if clock.next_event_at is not None:
            entry = (clock.next_event_at, clock.work_item_id, clock.id)
            self._tables.sla_index.add(("due",), entry)


def _event_order(stored: StoredEvent) -> tuple[datetime, int, int, int]:
    event = stored.event
    return event.at, stored.clock_id, _EVENT_KINDS.index(event.kind), event.step
