"""Clocks of work items, which follow the changes of the items."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.clock import ClockKind, ClockPhase, Pins, SlaClock
from workbell.domain.projects.sla.item_clocks import ARCHIVED, Phase, present_clocks
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.ports.projects.repository import ProjectsTx
from workbell.services.projects.sla.recording import ClockRecorder
from workbell.services.projects.sla.transitions import (
    ClockUpdate,
    answer,
    follow_item,
    set_phase,
    start_clocks,
)
from workbell.services.projects.sla.versions import PinnedVersions, pin_policy

BATCH: Final = 500
"""How many work items are read and written at once."""
_PAUSED: Final = Phase(ClockPhase.PAUSED, ARCHIVED)
_CANCELLED: Final = Phase(ClockPhase.CANCELLED, "deleted")


@frozen(kw_only=True)
class SlaClocks:
    """
    Starts, pauses, resumes and stops the clocks of work items.

    Every method works in the caller's transaction, which holds the row of the item
    or of the project. None of them changes the version of an item.
    """

    recorder: ClockRecorder

    def update(
        self, tx: ProjectsTx, before: WorkItem | None, after: WorkItem, actor: Actor, now: datetime
    ) -> WorkItem:
        """
        Let the clocks follow an item that was inserted (`before` is None) or changed.

        Returns the item with its SLA columns, which are stored.
        """
        if before is None:
            pins = pin_policy(tx, tx.sla_policies.find_active(after.project_id))
            versions = PinnedVersions.load(tx, [pins])
            changes = list(start_clocks(after, pins, versions, now))
            return self._record(tx, after, (), changes, versions, now)
        if _state(before) == _state(after):
            return after
        clocks = tx.sla_clocks.of_items([after.id])
        versions = PinnedVersions.load(tx, _pins(clocks))
        is_answered = before.status is not after.status and actor.user_id != after.reporter_id
        changes = list(follow_item(after, _by_kind(clocks), versions, now, is_answered=is_answered))
        return self._record(tx, after, clocks, changes, versions, now)

    def respond(self, tx: ProjectsTx, item: WorkItem, actor: Actor, now: datetime) -> WorkItem:
        """Stop the first-response clock, unless the actor reported the item."""
        if actor.user_id == item.reporter_id:
            return item
        clocks = tx.sla_clocks.of_items([item.id])
        clock = _by_kind(clocks).get(ClockKind.FIRST_RESPONSE)
        if clock is None:
            return item
        versions = PinnedVersions.load(tx, [clock.pins])
        changes = list(answer(clock, versions, now))
        return self._record(tx, item, clocks, changes, versions, now)

    def pause_project(self, tx: ProjectsTx, project_id: ProjectId, now: datetime) -> None:
        """Pause every running clock of a project, which is being archived."""
        for items, clocks, versions in _batches(tx, project_id):
            changes = [
                change
                for clock in clocks
                if clock.phase is ClockPhase.RUNNING
                for change in set_phase(clock, versions, _PAUSED, now)
            ]
            self.recorder.record(tx, items, clocks, changes, versions, now)

    def resume_project(self, tx: ProjectsTx, project_id: ProjectId, now: datetime) -> None:
        """Let the clocks of a project, which is being restored, follow their items again."""
        for items, clocks, versions in _batches(tx, project_id):
            changes = [
                change
                for item_id, item in items.items()
                for change in follow_item(
                    item, _by_kind(c for c in clocks if c.work_item_id == item_id), versions, now
                )
            ]
            self.recorder.record(tx, items, clocks, changes, versions, now)

    def cancel(self, tx: ProjectsTx, item_id: WorkItemId, now: datetime) -> None:
        """Cancel the clocks of an item that is being deleted."""
        clocks = tx.sla_clocks.of_items([item_id])
        versions = PinnedVersions.load(tx, _pins(clocks))
        changes = cancel_clocks(clocks, versions, now)
        self.recorder.record(tx, {}, clocks, changes, versions, now)

    def _record(
        self,
        tx: ProjectsTx,
        item: WorkItem,
        clocks: Sequence[SlaClock],
        changes: Sequence[ClockUpdate],
        versions: PinnedVersions,
        now: datetime,
    ) -> WorkItem:
        if not changes:
            return item
        return self.recorder.record(tx, {item.id: item}, clocks, changes, versions, now)[item.id]


def cancel_clocks(
    clocks: Sequence[SlaClock], versions: PinnedVersions, now: datetime
) -> list[ClockUpdate]:
    """Return the open clocks as cancelled."""
    return [
        change
        for clock in clocks
        if clock.phase.is_open
        for change in set_phase(clock, versions, _CANCELLED, now)
    ]


def _batches(
    tx: ProjectsTx, project_id: ProjectId
) -> Iterable[tuple[Mapping[WorkItemId, WorkItem], Sequence[SlaClock], PinnedVersions]]:
    """Yield the items of a project that have open clocks, with their clocks, in batches."""
    after = WorkItemId(0)
    while ids := tx.sla_clocks.lock_items_of_project(project_id, after=after, limit=BATCH):
        items = {item.id: item for item in tx.work_items.lock_many(ALL_OWNERS, ids)}
        clocks = present_of(tx.sla_clocks.of_items(list(items)))
        yield items, clocks, PinnedVersions.load(tx, _pins(clocks))
        after = ids[-1]


def present_of(clocks: Iterable[SlaClock]) -> Sequence[SlaClock]:
    """Return the newest cycles of the clocks of several items."""
    newest = {(clock.work_item_id, clock.kind): clock for clock in clocks}
    return list(newest.values())


def _by_kind(clocks: Iterable[SlaClock]) -> Mapping[ClockKind, SlaClock]:
    return {clock.kind: clock for clock in present_clocks(clocks)}


def _pins(clocks: Iterable[SlaClock]) -> set[Pins]:
    return {clock.pins for clock in clocks}


def _state(item: WorkItem) -> tuple[object, ...]:
    """Return the fields that clocks depend on."""
    return item.status, item.priority, item.due_date
