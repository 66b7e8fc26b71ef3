"""Use cases of SLA policies: create, list, change, delete and apply them."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from workbell.domain.errors import Invalid, LimitReached, NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.permissions import Action, check_key
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import CalendarId
from workbell.domain.projects.sla.policy import (
    MAX_POLICIES,
    OtherPolicyActive,
    PolicyId,
    SlaPolicy,
    check_terms,
)
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command, changed_values
from workbell.services.projects.access import check_relation, get_reading_scope
from workbell.services.projects.sla.access import (
    check_same_project,
    get_named_project,
    get_policy,
)
from workbell.services.projects.sla.requests import NewPolicy
from workbell.services.projects.versions import check_version
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class PolicyService:
    """
    Creates, lists, changes and deletes SLA policies of projects.

    Methods that take an id raise `NotFound` unless the actor may see the project,
    and `NotAllowed` if they may only see it. A change is a new version: clocks
    keep theirs until the policy is applied.
    """

    store: Store[ProjectsTx]
    clock: Clock
    serializer: Serializer

    @retry_on_contention
    def create(self, actor: Actor, new: NewPolicy) -> SlaPolicy:
        """
        Create a policy.

        Raises:
            Invalid: A field is wrong.
            OtherPolicyActive: The project has an active policy.
            LimitReached: The project has 100 policies.
        """
        now = self.clock.now()
        check_key(actor, Action.MANAGE_SLA)
        check_request(new)
        terms = new.terms()
        check_terms(terms)
        with self.store.begin() as tx:
            project = get_named_project(tx, actor, new.project)
            scope = get_reading_scope(actor)
            _, count = tx.sla_policies.list_page(scope, project_id=project.id, limit=1)
            if count >= MAX_POLICIES:
                raise LimitReached(
                    f"A project has at most {MAX_POLICIES} SLA policies.",
                    used=count,
                    limit=MAX_POLICIES,
                )
            policy = SlaPolicy(
                project_id=project.id,
                name=new.name,
                is_active=new.is_active,
                calendar_id=None if new.calendar is None else CalendarId(new.calendar),
                terms=terms,
                created_at=now,
                updated_at=now,
            )
            _check_uses(tx, policy)
            policy = tx.sla_policies.add(policy)
            changes = {"name": [None, new.name], "is_active": [None, new.is_active]}
            audit_command(
                tx.audit, actor, "CREATE", "sla_policy", policy.id, now, changes,
                project_id=project.id,
            )  # fmt: skip
        return policy

    def list(
        self,
        actor: Actor,
        *,
        project_id: int | None = None,
        is_active: bool | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[SlaPolicy], int]:
        """Return a page of the policies that the actor may see, and their number."""
        check_key(actor, Action.READ_PROJECT)
        project = None if project_id is None else ProjectId(project_id)
        with self.store.view() as tx:
            return tx.sla_policies.list_page(
                get_reading_scope(actor),
                project_id=project,
                is_active=is_active,
                offset=offset,
                limit=limit,
            )

    def get(self, actor: Actor, policy_id: PolicyId) -> SlaPolicy:
        """Return a policy."""
        with self.store.view() as tx:
            return get_policy(tx, actor, policy_id, Action.READ_PROJECT)

    def check_change(self, actor: Actor, policy_id: PolicyId) -> None:
        """Raise NotFound or NotAllowed unless the actor may change a policy."""
        with self.store.view() as tx:
            policy = tx.sla_policies.get(get_reading_scope(actor), policy_id)
            check_relation(tx, actor, policy.project_id, Action.MANAGE_SLA)

    @retry_on_contention
    def change(
        self,
        actor: Actor,
        policy_id: PolicyId,
        updates: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> SlaPolicy:
        """
        Change the given fields; raise StaleVersion if the version is another.

        Raises:
            Invalid: A field is wrong.
            OtherPolicyActive: It is activated while another one is active.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_policy(tx, actor, policy_id, Action.MANAGE_SLA)
            check_version(tx, "sla_policy", before.id, current=before.version, expected=version)
            check_same_project(before.project_id, updates)
            current = self.serializer.unstructure(NewPolicy.of(before))
            new = self.serializer.structure({**current, **updates}, NewPolicy)
            after = evolve(
                before,
                name=new.name,
                is_active=new.is_active,
                calendar_id=None if new.calendar is None else CalendarId(new.calendar),
                terms=new.terms(),
            )
            if after == before:
                return before
            check_terms(after.terms)
            _check_uses(tx, after)
            after = after.touch(now)
            tx.sla_policies.replace(after)
            changes = changed_values(current, self.serializer.unstructure(NewPolicy.of(after))) | {
                "version": [before.version, after.version]
            }
            audit_command(
                tx.audit, actor, "UPDATE", "sla_policy", policy_id, now, changes,
                project_id=before.project_id,
            )  # fmt: skip
        return after

    @retry_on_contention
    def delete(self, actor: Actor, policy_id: PolicyId, *, version: int | None = None) -> None:
        """Delete a policy; the clocks that use it go on."""
        now = self.clock.now()
        with self.store.begin() as tx:
            policy = get_policy(tx, actor, policy_id, Action.MANAGE_SLA)
            check_version(tx, "sla_policy", policy.id, current=policy.version, expected=version)
            tx.sla_policies.delete(policy_id)
            audit_command(
                tx.audit, actor, "DELETE", "sla_policy", policy_id, now,
                {"name": [policy.name, None]}, project_id=policy.project_id,
            )  # fmt: skip


def _check_uses(tx: ProjectsTx, policy: SlaPolicy) -> None:
    """Check the calendar of a policy, and that no other one of the project is active."""
    if policy.calendar_id is not None:
        try:
            calendar = tx.sla_calendars.get(ALL_OWNERS, policy.calendar_id)
        except NotFound:
            calendar = None
        if calendar is None or calendar.project_id != policy.project_id:
            raise Invalid.field("calendar", "is not a calendar of the project")
    active = tx.sla_policies.find_active(policy.project_id)
    if policy.is_active and active is not None and active.id != policy.id:
        raise OtherPolicyActive(f"SLA policy {active.id} of the project is active.")
