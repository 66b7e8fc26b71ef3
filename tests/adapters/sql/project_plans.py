"""Queries of projects whose plans are tested, on the rows of the benchmark."""

from typing import Any

from tests.adapters.sql.server_plans import Ask
from tests.contract.factories import NOON
from workbell.adapters.sql.store import SqlTx
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.projects.work_item import WorkItemId, WorkItemStatus
from workbell.entrypoints.bench.projects import BIG, BIG_BOARD, MANAGER
from workbell.ports.projects.repository import WorkItemFilter

TASKS, CAP = 20_000, 500
MEMBERS = Scope(owner=MANAGER)
OPEN = [WorkItemStatus.TODO, WorkItemStatus.REVIEW]


def _listing(order: str, scope: Scope = MEMBERS, **filters: Any) -> Ask:
    return lambda tx: tx.work_items.list_page(scope, WorkItemFilter(**filters), ordering=(order,))


def _index(name: str) -> set[str]:
    return {f"workbell_work_items_{name}_idx"}


RANK = {"workbell_work_items_rank_key"}
MANY: dict[str, tuple[Ask, set[str]]] = {
    **{
        f"all by {order}": (_listing(order, ALL_OWNERS), _index(order.removeprefix("-")))
        for order in (
            *("created_at", "-created_at", "-updated_at", "due_date", "-due_date"),
            *("-priority", "status", "title", "sla_due_at"),
        )
    },
    "of a member": (_listing("-created_at"), _index("created_at")),
    "of a project": (_listing("due_date", project_id=BIG), _index("due_date")),
    "with a label": (_listing("-updated_at", label="common"), _index("updated_at")),
    "in statuses": (_listing("title", ALL_OWNERS, statuses=OPEN), _index("title")),
    "of a board by position": (_listing("position", board_id=BIG_BOARD), RANK),
    "of a board by position, backwards": (_listing("-position", board_id=BIG_BOARD), RANK),
}
"""Lists of more tasks than the cap, which are not sorted."""


def _lock_few(tx: SqlTx) -> object:
    return tx.work_items.lock_many(MEMBERS, [WorkItemId(5), WorkItemId(10)])


FEW: dict[str, tuple[Ask, set[str]]] = {
    "of an assignee": (_listing("due_date", assignee_id=UserId(9)), _index("assignee")),
    "of a reporter": (_listing("-created_at", reporter_id=UserId(9)), _index("reporter")),
    "breached": (_listing("-sla_due_at", ALL_OWNERS, is_sla_breached=True), _index("breached")),
    "of a small project": (_listing("title", project_id=7, statuses=OPEN), _index("board")),
    "with a rare label": (
        _listing("-priority", project_id=BIG, label="label 5"),
        {"workbell_work_item_labels_label_idx", "workbell_work_items_pkey"},
    ),
    "a task": (
        lambda tx: tx.work_items.view(MEMBERS, WorkItemId(5)),
        {"workbell_work_items_pkey"},
    ),
    "locked tasks": (_lock_few, {"workbell_work_items_pkey"}),
    "neighbours": (lambda tx: tx.work_items.neighbour_ranks(BIG_BOARD, "m"), RANK),
    "the last rank": (lambda tx: tx.work_items.end_rank(BIG_BOARD, last=True), RANK),
    "purging": (lambda tx: tx.work_items.purge(NOON, limit=5), _index("deleted_at")),
    "search documents": (
        lambda tx: tx.work_items.list_search_documents(after=TASKS - 50, limit=20),
        {"workbell_work_items_pkey"},
    ),
}
"""Queries for few rows, which may be sorted."""
