"""Application of a policy to the open clocks of its project."""

from typing import Final

from attrs import frozen

from workbell.domain.errors import Conflict
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.permissions import Action
from workbell.domain.projects.sla.clock import ClockKind
from workbell.domain.projects.sla.policy import PolicyId
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.projects.sla.access import get_policy
from workbell.services.projects.sla.clocks import BATCH, present_of
from workbell.services.projects.sla.recording import ClockRecorder
from workbell.services.projects.sla.transitions import move_to_policy
from workbell.services.projects.sla.versions import PinnedVersions, pin_policy
from workbell.services.transaction_retry import retry_on_contention

_START: Final = WorkItemId(0)


@frozen(kw_only=True)
class PolicyApplication:
    """Moves the open clocks of a project to the present versions of its active policy."""

    store: Store[ProjectsTx]
    clock: Clock
    recorder: ClockRecorder

    def apply(self, actor: Actor, policy_id: PolicyId) -> int:
        """
        Apply a policy; return how many clocks have changed.

        Each transaction moves the clocks of up to 500 tasks; a repetition finishes
        what an interrupted one has begun. Consumed time and pauses survive.

        Raises:
            NotFound: There is no such policy, or the actor may not see it.
            NotAllowed: The actor may not manage service levels.
            Conflict: The policy is not active.
        """
        total, after = 0, _START
        while True:
            changed, last = self._apply_batch(actor, policy_id, after)
            total += changed
            if last is None:
                return total
            after = last

    @retry_on_contention
    def _apply_batch(
        self, actor: Actor, policy_id: PolicyId, after: WorkItemId
    ) -> tuple[int, WorkItemId | None]:
        """Apply a policy to the tasks after an id; return the last one, None at the end."""
        now = self.clock.now()
        with self.store.begin() as tx:
            policy = get_policy(tx, actor, policy_id, Action.MANAGE_SLA)
            if not policy.is_active:
                raise Conflict(f"SLA policy {policy_id} is not active.")
            project_id = policy.project_id
            if after == _START:
                changes = {"applied_version": [None, policy.version]}
                audit_command(
                    tx.audit, actor, "APPLY", "sla_policy", policy_id, now, changes,
                    project_id=project_id,
                )  # fmt: skip
            ids = tx.sla_clocks.lock_items_of_project(project_id, after=after, limit=BATCH)
            if not ids:
                return 0, None
            items = {item.id: item for item in tx.work_items.lock_many(ALL_OWNERS, ids)}
            clocks = present_of(tx.sla_clocks.of_items(list(items)))
            pins = pin_policy(tx, policy)
            versions = PinnedVersions.load(tx, {pins, *(clock.pins for clock in clocks)})
            moved = [
                change
                for clock in clocks
                if clock.kind is not ClockKind.DUE and clock.pins != pins
                for change in move_to_policy(items[clock.work_item_id], clock, pins, versions, now)
            ]
            self.recorder.record(tx, items, clocks, moved, versions, now)
            return len(moved), ids[-1] if len(ids) == BATCH else None
