"""Bulk edits: one change of up to 500 tasks in one transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from attrs import frozen

from workbell.domain.errors import Conflict, Invalid, NotAllowed, NotFound, WorkbellError
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check_key
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import ProjectsTx, WorkItemFilter
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.projects.access import get_project, get_reading_scope
from workbell.services.projects.requests import BulkChange, BulkEdit, NewWorkItem
from workbell.services.projects.work_item_writer import WorkItemWriter
from workbell.services.projects.work_items import edit_item
from workbell.services.transaction_retry import retry_on_contention

Outcome = Literal["changed", "unchanged", "refused"]
REFUSALS: Final = (Invalid, NotAllowed, NotFound, Conflict)
"""Errors of one task; others, such as lock conflicts, end the whole transaction."""
_PLACEHOLDERS: Mapping[str, Any] = {
    "status": "BACKLOG",
    "priority": "LOW",
    "assignee": None,
    "due_date": None,
    "board": 1,
    "estimated_hours": None,
    "labels_add": [],
    "labels_remove": [],
}
"""Valid values of the fields that a change omits, to check the others."""


@frozen(kw_only=True)
class BulkItemResult:
    """What became of one task; `code` and `detail` say why it was refused."""

    id: int
    outcome: Outcome
    code: str | None = None
    detail: str | None = None


@frozen(kw_only=True)
class BulkResult:
    """What became of each task of a bulk edit, in the order of the request."""

    results: Sequence[BulkItemResult]

    @property
    def changed(self) -> int:
        """How many tasks were changed."""
        return Counter(result.outcome for result in self.results)["changed"]

    @property
    def refused(self) -> int:
        """How many tasks were refused."""
        return Counter(result.outcome for result in self.results)["refused"]


class BulkRefused(Conflict):
    """An atomic bulk edit was refused because of some of its tasks; nothing changed."""

    code = "bulk_refused"

    def __init__(self, result: BulkResult) -> None:
        super().__init__(f"{result.refused} of {len(result.results)} tasks cannot be changed.")
        self.result = result


@frozen
class Plan:
    """A task before and after a bulk edit; the same object if nothing changes."""

    before: WorkItem
    after: WorkItem

    @property
    def is_change(self) -> bool:
        """Whether anything changes."""
        return self.after is not self.before


@frozen(kw_only=True)
class BulkService:
    """Changes many tasks at once, atomically or each for itself."""

    store: Store[ProjectsTx]
    clock: Clock
    serializer: Serializer
    writer: WorkItemWriter

    @retry_on_contention
    def edit(self, actor: Actor, edit: BulkEdit) -> BulkResult:
        """
        Change many tasks in one transaction, each with its own audit entry.

        Raises:
            Invalid: A field of the change is wrong.
            BulkRefused: In mode `atomic`, a task cannot be changed; nothing was.
        """
        check_key(actor, Action.WRITE_TASKS)
        check_request(edit)
        updates = self._read_updates(edit.set)
        ids = list(dict.fromkeys(WorkItemId(item_id) for item_id in edit.ids))
        now = self.clock.now()
        with self.store.begin() as tx:
            scope = get_reading_scope(actor)
            refusals = find_refusals(tx, actor, ids)
            locked = {item.id: item for item in tx.work_items.lock_many(scope, [*refusals])}
            plans = {
                item_id: refusals.get(item_id) or self._plan(tx, locked.get(item_id), updates, now)
                for item_id in ids
            }
            result = BulkResult(
                results=[to_result(item_id, plan) for item_id, plan in plans.items()]
            )
            if result.refused and edit.mode == "atomic":
                raise BulkRefused(result)
            if not edit.dry_run:
                for plan in plans.values():
                    if isinstance(plan, Plan) and plan.is_change:
                        self.writer.save(tx, actor, plan.before, plan.after, now)
        return result

    def _plan(
        self, tx: ProjectsTx, before: WorkItem | None, updates: Mapping[str, Any], now: datetime
    ) -> Plan | WorkbellError:
        """Return the next state of a task, or why it is refused."""
        if before is None:
            return NotFound("There is no such task.")
        try:
            old = self.serializer.unstructure(NewWorkItem.of(before))
            new = self.serializer.structure(merge(old, updates), NewWorkItem)
            after = edit_item(tx, before, new, now)
        except REFUSALS as error:
            return error
        has_changes = bool(self.writer.find_changes(before, after))
        return Plan(before=before, after=after if has_changes else before)

    def _read_updates(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check the fields of a change on their own, and return them as JSON values."""
        try:
            change = self.serializer.structure({**_PLACEHOLDERS, **given}, BulkChange)
        except Invalid as error:
            raise Invalid(
                field_errors={f"set.{path}": found for path, found in error.field_errors.items()}
            ) from None
        values = self.serializer.unstructure(change)
        return {name: values[name] for name in given}


def find_refusals(
    tx: ProjectsTx, actor: Actor, ids: Sequence[WorkItemId]
) -> Mapping[WorkItemId, WorkbellError | None]:
    """
    Return why the actor may not change each of the tasks that they may see, or None.

    Each project is locked and checked once, before its tasks are locked, in the
    order of all writers.
    """
    filters = WorkItemFilter(ids=ids)
    views, _ = tx.work_items.list_page(get_reading_scope(actor), filters, limit=len(ids))
    refusals: dict[ProjectId, WorkbellError | None] = {}
    for project_id in sorted({view.item.project_id for view in views}):
        refusals[project_id] = None
        try:
            get_project(tx, actor, project_id, Action.WRITE_TASKS)
        except REFUSALS as error:
            refusals[project_id] = error
    return {view.item.id: refusals[view.item.project_id] for view in views}


def merge(fields: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a task with those of a bulk change, and labels added and removed."""
    merged = {**fields, **updates}
    added, removed = merged.pop("labels_add", ()), merged.pop("labels_remove", ())
    labels = dict.fromkeys([*fields["labels"], *added])
    return {**merged, "labels": [label for label in labels if label not in removed]}


def to_result(item_id: int, plan: Plan | WorkbellError) -> BulkItemResult:
    """Return what becomes of a task by its plan."""
    if isinstance(plan, WorkbellError):
        return BulkItemResult(id=item_id, outcome="refused", code=plan.code, detail=plan.detail)
    return BulkItemResult(id=item_id, outcome="changed" if plan.is_change else "unchanged")
