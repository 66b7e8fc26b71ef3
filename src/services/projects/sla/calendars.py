"""Use cases of business calendars: create, list, change and delete them."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from workbell.domain.errors import LimitReached
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check_key
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import BusinessCalendar, CalendarId, parse_hours
from workbell.domain.projects.sla.policy import MAX_POLICIES, CalendarInUse
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command, changed_values
from workbell.services.projects.access import check_relation, get_reading_scope
from workbell.services.projects.sla.access import (
    check_same_project,
    get_calendar,
    get_named_project,
)
from workbell.services.projects.sla.requests import NewCalendar
from workbell.services.projects.versions import check_version
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class CalendarService:
    """
    Creates, lists, changes and deletes calendars of projects.

    Methods that take an id raise `NotFound` unless the actor may see the project,
    and `NotAllowed` if they may only see it. A change is a new version: running
    clocks keep theirs.
    """

    store: Store[ProjectsTx]
    clock: Clock
    serializer: Serializer

    @retry_on_contention
    def create(self, actor: Actor, new: NewCalendar) -> BusinessCalendar:
        """
        Create a calendar.

        Raises:
            Invalid: A field is wrong, or nothing is open within 400 days.
            LimitReached: The project has 100 calendars.
        """
        now = self.clock.now()
        check_key(actor, Action.MANAGE_SLA)
        check_request(new)
        hours = parse_hours(new.time_zone, new.intervals, new.exceptions, now)
        with self.store.begin() as tx:
            project = get_named_project(tx, actor, new.project)
            scope = get_reading_scope(actor)
            _, count = tx.sla_calendars.list_page(scope, project_id=project.id, limit=1)
            if count >= MAX_POLICIES:
                raise LimitReached(
                    f"A project has at most {MAX_POLICIES} calendars.",
                    used=count,
                    limit=MAX_POLICIES,
                )
            calendar = tx.sla_calendars.add(
                BusinessCalendar(
                    project_id=project.id,
                    name=new.name,
                    hours=hours,
                    created_at=now,
                    updated_at=now,
                )
            )
            changes = {"name": [None, new.name], "time_zone": [None, new.time_zone]}
            audit_command(
                tx.audit, actor, "CREATE", "calendar", calendar.id, now, changes,
                project_id=project.id,
            )  # fmt: skip
        return calendar

    def list(
        self, actor: Actor, *, project_id: int | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[BusinessCalendar], int]:
        """Return a page of the calendars that the actor may see, and their number."""
        check_key(actor, Action.READ_PROJECT)
        project = None if project_id is None else ProjectId(project_id)
        with self.store.view() as tx:
            return tx.sla_calendars.list_page(
                get_reading_scope(actor), project_id=project, offset=offset, limit=limit
            )

    def get(self, actor: Actor, calendar_id: CalendarId) -> BusinessCalendar:
        """Return a calendar."""
        with self.store.view() as tx:
            return get_calendar(tx, actor, calendar_id, Action.READ_PROJECT)

    def check_change(self, actor: Actor, calendar_id: CalendarId) -> None:
        """Raise NotFound or NotAllowed unless the actor may change a calendar."""
        with self.store.view() as tx:
            calendar = tx.sla_calendars.get(get_reading_scope(actor), calendar_id)
            check_relation(tx, actor, calendar.project_id, Action.MANAGE_SLA)

    @retry_on_contention
    def change(
        self,
        actor: Actor,
        calendar_id: CalendarId,
        updates: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> BusinessCalendar:
        """
        Change the given fields; raise StaleVersion if the version is another.

        Raises:
            Invalid: A field is wrong, or nothing is open within 400 days.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_calendar(tx, actor, calendar_id, Action.MANAGE_SLA)
            check_version(tx, "calendar", before.id, current=before.version, expected=version)
            check_same_project(before.project_id, updates)
            current = self.serializer.unstructure(NewCalendar.of(before))
            new = self.serializer.structure({**current, **updates}, NewCalendar)
            hours = parse_hours(new.time_zone, new.intervals, new.exceptions, now)
            if (new.name, hours) == (before.name, before.hours):
                return before
            after = evolve(
                before, name=new.name, hours=hours, version=before.version + 1, updated_at=now
            )
            tx.sla_calendars.replace(after)
            changes = changed_values(
                current, self.serializer.unstructure(NewCalendar.of(after))
            ) | {"version": [before.version, after.version]}
            audit_command(
                tx.audit, actor, "UPDATE", "calendar", calendar_id, now, changes,
                project_id=before.project_id,
            )  # fmt: skip
        return after

    @retry_on_contention
    def delete(self, actor: Actor, calendar_id: CalendarId, *, version: int | None = None) -> None:
        """Delete a calendar; raise CalendarInUse if a policy uses it."""
        now = self.clock.now()
        with self.store.begin() as tx:
            calendar = get_calendar(tx, actor, calendar_id, Action.MANAGE_SLA)
            check_version(tx, "calendar", calendar.id, current=calendar.version, expected=version)
            if tx.sla_policies.uses_calendar(calendar_id):
                raise CalendarInUse
            tx.sla_calendars.delete(calendar_id)
            audit_command(
                tx.audit, actor, "DELETE", "calendar", calendar_id, now,
                {"name": [calendar.name, None]}, project_id=calendar.project_id,
            )  # fmt: skip
