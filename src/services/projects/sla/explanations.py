"""Explanations of the clocks of a task."""

from collections.abc import Sequence

from attrs import frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action
from workbell.domain.projects.sla.explanation import ClockExplanation, explain
from workbell.domain.projects.sla.item_clocks import present_clocks
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.projects.access import get_work_item
from workbell.services.projects.sla.versions import PinnedVersions


@frozen(kw_only=True)
class SlaExplanations:
    """Explains why a task is due when it is due."""

    store: Store[ProjectsTx]
    clock: Clock

    def explain(self, actor: Actor, item_id: WorkItemId) -> Sequence[ClockExplanation]:
        """
        Explain the clocks of a task in their present cycles, as they are now.

        Clocks that never had a target are left out.

        Raises:
            NotFound: There is no such task, or the actor may not see it.
        """
        now = self.clock.now()
        with self.store.view() as tx:
            get_work_item(tx, actor, item_id, Action.READ_PROJECT)
            clocks = present_clocks(tx.sla_clocks.of_items([item_id]))
            versions = PinnedVersions.load(tx, {clock.pins for clock in clocks})
        return [
            explain(clock, versions.rules(clock.pins), now)
            for clock in clocks
            if clock.due_date is not None or clock.target is not None
        ]
