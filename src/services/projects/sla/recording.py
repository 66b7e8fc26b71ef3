"""Storage of changed clocks: rows, events, notices, columns of tasks."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from workbell.domain.identity.user import UserId
from workbell.domain.notifications.notice import Notice, NoticeKind
from workbell.domain.projects.project import ProjectId, ProjectRole
from workbell.domain.projects.sla.clock import SlaClock, SlaEvent, SlaEventKind
from workbell.domain.projects.sla.item_clocks import (
    earliest_deadline,
    is_breached,
    present_clocks,
)
from workbell.domain.projects.sla.policy import EscalationStep, Recipient
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.projects.sla import StoredEvent
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.notices import limit_to_readers
from workbell.services.projects.sla.transitions import ClockUpdate
from workbell.services.projects.sla.versions import PinnedVersions

_KINDS = {
    SlaEventKind.WARNING: NoticeKind.SLA_WARNING,
    SlaEventKind.BREACH: NoticeKind.SLA_BREACH,
    SlaEventKind.ESCALATION: NoticeKind.SLA_ESCALATION,
}


@frozen(kw_only=True)
class ClockRecorder:
    """Stores changed clocks with their events and notices, in the caller's transaction."""

    notifier: Notifier

    def record(
        self,
        tx: ProjectsTx,
        items: Mapping[WorkItemId, WorkItem],
        clocks: Sequence[SlaClock],
        changes: Sequence[ClockUpdate],
        versions: PinnedVersions,
        now: datetime,
    ) -> Mapping[WorkItemId, WorkItem]:
        """
        Store changes and return the items with their SLA columns.

        `clocks` are all clocks of the items as they were before the changes. Items that
        are missing are deleted: only their clocks are stored.
        """
        new = [change for change in changes if not change.clock.id]
        added = tx.sla_clocks.add([change.clock for change in new]) if new else ()
        stored = [
            *(change for change in changes if change.clock.id),
            *(evolve(change, clock=clock) for change, clock in zip(new, added, strict=True)),
        ]
        tx.sla_clocks.replace([change.clock for change in changes if change.clock.id])
        tx.sla_clocks.add_events(
            [
                StoredEvent(
                    clock_id=change.clock.id,
                    cycle=change.clock.cycle,
                    event=event,
                    detected_at=now,
                )
                for change in stored
                for event in change.events
            ]
        )
        self._notify(tx, items, stored, versions)
        return _update_items(tx, items, clocks, stored)

    def _notify(
        self,
        tx: ProjectsTx,
        items: Mapping[WorkItemId, WorkItem],
        stored: Iterable[ClockUpdate],
        versions: PinnedVersions,
    ) -> None:
        members: dict[ProjectId, Mapping[UserId, ProjectRole]] = {}
        notices: list[Notice] = []
        for change in stored:
            item = items.get(change.clock.work_item_id)
            if item is None or not change.events:
                continue
            steps = versions.terms(change.clock.pins).escalation
            people = _People(tx, item, members)
            notices += _make_notices(item, change, steps, people)
        if notices:
            self.notifier.notify(tx, *limit_to_readers(tx, notices))


@frozen
class _People:
    """Resolves the recipients of an item's notices; members are read once a project."""

    _tx: ProjectsTx
    _item: WorkItem
    _members: dict[ProjectId, Mapping[UserId, ProjectRole]]

    def find(self, recipients: Iterable[Recipient]) -> Collection[UserId]:
        """Return the users, by id and without repeats."""
        found: set[UserId] = set()
        for recipient in recipients:
            if recipient is Recipient.ASSIGNEE:
                found |= {self._item.assignee_id} if self._item.assignee_id is not None else set()
            elif recipient is Recipient.REPORTER:
                found.add(self._item.reporter_id)
            elif recipient is Recipient.WATCHERS:
                found.update(self._tx.watchers.list_of(self._item.id))
            else:
                role = ProjectRole(recipient)
                found |= {user for user, one in self._roles().items() if one is role}
        return sorted(found)

    def _roles(self) -> Mapping[UserId, ProjectRole]:
        project_id = self._item.project_id
        if project_id not in self._members:
            self._members[project_id] = {
                view.user.id: view.member.role
                for view in self._tx.project_members.list_of([project_id])
            }
        return self._members[project_id]


_CONCERNED = (Recipient.ASSIGNEE, Recipient.REPORTER, Recipient.WATCHERS)


def _make_notices(
    item: WorkItem, change: ClockUpdate, steps: Sequence[EscalationStep], people: _People
) -> Iterable[Notice]:
    """
    Yield the notices of events that are reported at once.

    A breach replaces the warning, and each user gets one notice: that of the breach,
    or else that of the last escalation step.
    """
    notified: Collection[UserId] = ()
    by_kind = {event.kind: event for event in change.events}
    if (first := by_kind.get(SlaEventKind.BREACH) or by_kind.get(SlaEventKind.WARNING)) is not None:
        notified = people.find(_CONCERNED)
        yield _notice(item, change.clock, first, notified)
    last = by_kind.get(SlaEventKind.ESCALATION)
    if last is not None and last.step < len(steps):
        step = steps[last.step]
        others = [user for user in people.find(step.notify) if user not in notified]
        if others:
            yield _notice(item, change.clock, last, others, minutes=step.after_minutes)


def _notice(
    item: WorkItem,
    clock: SlaClock,
    event: SlaEvent,
    recipients: Collection[UserId],
    **data: int,
) -> Notice:
    deadline = clock.deadline if event.kind is SlaEventKind.WARNING else clock.breached_at
    return Notice(
        kind=_KINDS[event.kind],
        key=f"sla:{clock.id}:{clock.cycle}:{event.kind}:{event.step}",
        recipients=list(recipients),
        project_id=item.project_id,
        object_id=item.id,
        title=item.title,
        data={
            "clock": clock.kind.replace("_", " "),
            "at": event.at.isoformat(),
            "deadline": None if deadline is None else deadline.isoformat(),
            **data,
        },
    )


def _update_items(
    tx: ProjectsTx,
    items: Mapping[WorkItemId, WorkItem],
    clocks: Sequence[SlaClock],
    stored: Iterable[ClockUpdate],
) -> Mapping[WorkItemId, WorkItem]:
    """Store the SLA columns of items whose clocks have changed; return all items."""
    by_item: dict[int, dict[tuple[str, int], SlaClock]] = {}
    for clock in (*clocks, *(change.clock for change in stored)):
        by_item.setdefault(clock.work_item_id, {})[clock.kind, clock.cycle] = clock
    updated = dict(items)
    for item_id, item in items.items():
        by_cycle = by_item.get(item_id, {})
        present = present_clocks(by_cycle[key] for key in sorted(by_cycle))
        due_at, breached = earliest_deadline(present), is_breached(present)
        if (due_at, breached) != (item.sla_due_at, item.is_sla_breached):
            tx.work_items.set_sla(item_id, due_at, is_breached=breached)
            updated[item_id] = evolve(item, sla_due_at=due_at, is_sla_breached=breached)
    return updated
