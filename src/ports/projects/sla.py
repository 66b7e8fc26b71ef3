"""Repositories of service levels: calendars, policies and clocks."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.identity.actor import Scope
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import BusinessCalendar, BusinessHours, CalendarId
from workbell.domain.projects.sla.clock import ClockId, SlaClock, SlaEvent
from workbell.domain.projects.sla.policy import PolicyId, SlaPolicy, SlaTerms
from workbell.domain.projects.work_item import WorkItemId

VersionKey = tuple[int, int]
"""The id and the version of a policy or a calendar."""


@frozen(kw_only=True)
class StoredEvent:
    """An event of a clock; unique by clock, cycle, kind and step."""

    clock_id: ClockId
    cycle: int
    event: SlaEvent
    detected_at: datetime


class SlaCalendarRepository(Protocol):
    """
    Calendars of projects that are not deleted, and all their versions.

    A scope covers the projects of which its owner is a member.
    """

    def add(self, calendar: BusinessCalendar) -> BusinessCalendar:
        """Insert a calendar and its version; return it with its id."""

    def get(self, scope: Scope, calendar_id: CalendarId) -> BusinessCalendar:
        """Return a calendar in the scope, or raise NotFound."""

    def replace(self, calendar: BusinessCalendar) -> None:
        """Update a calendar and store its version; the caller holds the project's row."""

    def delete(self, calendar_id: CalendarId) -> None:
        """Delete a calendar; its versions stay."""

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[BusinessCalendar], int]:
        """Return a page of calendars by id, and their number up to `COUNT_CAP` + 1."""

    def versions(self, keys: Collection[VersionKey]) -> Mapping[VersionKey, BusinessHours]:
        """Return the hours of versions, also of deleted calendars."""


class SlaPolicyRepository(Protocol):
    """
    Policies of projects that are not deleted, and all their versions.

    A scope covers the projects of which its owner is a member.
    """

    def add(self, policy: SlaPolicy) -> SlaPolicy:
        """Insert a policy and its version; return it with its id."""

    def get(self, scope: Scope, policy_id: PolicyId) -> SlaPolicy:
        """Return a policy in the scope, or raise NotFound."""

    def replace(self, policy: SlaPolicy) -> None:
        """Update a policy and store its version; the caller holds the project's row."""

    def delete(self, policy_id: PolicyId) -> None:
        """Delete a policy; its versions stay."""

    def find_active(self, project_id: ProjectId) -> SlaPolicy | None:
        """Return the active policy of a project, or None."""

    def uses_calendar(self, calendar_id: CalendarId) -> bool:
        """Whether a policy uses a calendar."""

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        is_active: bool | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[SlaPolicy], int]:
        """Return a page of policies by id, and their number up to `COUNT_CAP` + 1."""

    def versions(self, keys: Collection[VersionKey]) -> Mapping[VersionKey, SlaTerms]:
        """Return the terms of versions, also of deleted policies."""


class SlaClockRepository(Protocol):
    """
    Clocks of work items, and what they have reported.

    Clocks change only while the row of their work item is locked.
    """

    def add(self, new: Sequence[SlaClock]) -> Sequence[SlaClock]:
        """Insert clocks and return them with their ids in order; Conflict if a cycle exists."""

    def replace(self, changed: Sequence[SlaClock]) -> None:
        """Update clocks; the caller holds the rows of their work items."""

    def of_items(self, item_ids: Collection[WorkItemId]) -> Sequence[SlaClock]:
        """Return the clocks of work items, by work item, kind and cycle."""

    def next_due(self) -> datetime | None:
        """Return when the next event of any clock is due, or None."""

    def list_due_items(self, now: datetime, *, limit: int) -> Sequence[WorkItemId]:
        """Return the items of `lock_due_items`, unlocked; nothing else is decoded."""

    def quarantine(self, item_id: WorkItemId, now: datetime) -> Sequence[ClockId]:
        """Set no next event for the clocks of an item that are due; return their ids."""

    def lock_due_items(
        self, now: datetime, *, limit: int, only: WorkItemId | None = None
    ) -> Sequence[WorkItemId]:
        """
        Lock and return the work items of clocks that are due, the longest overdue first.

        `limit` is the number of due clocks that are considered. Items that another
        transaction has locked are skipped; deleted items are returned, too. `only` limits
        it to one item.
        """

    def lock_items_of_project(
        self, project_id: ProjectId, *, after: WorkItemId, limit: int
    ) -> Sequence[WorkItemId]:
        """Lock and return items of a project that have open clocks, by id, after an id."""

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Insert events; Conflict if one exists."""

    def events_of(self, item_id: WorkItemId) -> Sequence[StoredEvent]:
        """Return the events of a work item's clocks, by when they were due."""


class SlaTx(Protocol):
    """The repositories of service levels within one transaction."""

    @property
    def sla_calendars(self) -> SlaCalendarRepository:
        """The calendars."""

    @property
    def sla_policies(self) -> SlaPolicyRepository:
        """The policies."""

    @property
    def sla_clocks(self) -> SlaClockRepository:
        """The clocks."""
