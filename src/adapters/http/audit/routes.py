"""The audit log over HTTP: list, verify, erase personal data."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.identity.people import PersonBody, person_body
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import (
    Cursor,
    CursorQuery,
    PageSize,
    cursor_page,
    decode_cursor,
    history_page,
    make_slice,
)
from workbell.adapters.http.web.request import MAX_ID
from workbell.domain.audit.checkpoint import Checkpoint
from workbell.domain.audit.query import AuditFilter
from workbell.domain.constraints import Constraints, Instant
from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.services.audit.log import AuditLog, ListedEntry
from workbell.services.audit.verification import AuditReport, AuditVerifier

BASE = "/api/v1/audit"
PERSONAL_DATA = "/api/v1/users/{user_id}/personal-data"
VERIFIED_ENTRIES = 100_000
"""Number of the newest entries that a request verifies; `workbell audit verify` has no limit."""
FilterName = Annotated[str, Constraints(max_length=128)]
UserNumber = Annotated[UserId, Constraints(ge=1, le=MAX_ID)]


@frozen(kw_only=True)
class AuditQuery(CursorQuery):
    """Filters and page of the audit log; times are included in the range."""

    model_name: FilterName | None = None
    action: FilterName | None = None
    user: UserNumber | None = None
    object_id: FilterName | None = None
    date_from: Instant | None = None
    date_to: Instant | None = None


@frozen(kw_only=True)
class CheckpointQuery:
    """Page of the list of checkpoints."""

    cursor: Cursor = None
    page_size: PageSize = None


@frozen(kw_only=True, slots=False)
class AuditEntryBody:
    """
    An entry of the audit log; `changes` are values before and after, by field.

    `user` is null if the client was unknown. If `is_erased`, the personal data of
    the entry was erased.
    """

    id: int
    user: int | None
    user_detail: PersonBody | None
    action: str
    model_name: str
    object_id: str
    project: int | None
    changes: Mapping[str, Sequence[Any]]
    ip_address: str
    user_agent: str
    request_id: str
    timestamp: datetime
    is_erased: bool


@frozen(kw_only=True, slots=False)
class AuditFaultBody:
    """The first entry that differs from what was sealed; `id` is null if it is missing."""

    seal_seq: int
    id: int | None
    reason: str


@frozen(kw_only=True, slots=False)
class AuditReportBody:
    """
    The result of a verification.

    `verified` entries from number `first_seal_seq` on match the chain. `unsealed`
    ones are too new to be protected. `unverifiable_checkpoints` were signed with a
    key that is not configured.
    """

    is_intact: bool
    verified: int
    first_seal_seq: int
    unsealed: int
    erased: int
    checkpoints: int
    unverifiable_checkpoints: int
    fault: AuditFaultBody | None


@frozen(kw_only=True, slots=False)
class CheckpointBody:
    """The hash of the log up to entry `seal_seq`, signed by HMAC-SHA-256."""

    seal_seq: int
    hash: str
    at: datetime
    key_id: str
    signature: str


@frozen(kw_only=True, slots=False)
class ErasureBody:
    """The number of entries whose personal data was erased."""

    erased: int


@frozen(kw_only=True)
class AuditRoutes:
    """Entries visible to the caller; the rest is for superusers."""

    log: AuditLog
    verifier: AuditVerifier

    def list(self, request: ApiRequest[object, AuditQuery]) -> ApiResponse:
        """Return a page of the entries visible to the caller."""
        query = request.query
        filters = AuditFilter(
            user_id=query.user,
            action=query.action,
            model_name=query.model_name,
            object_id=query.object_id,
            date_from=query.date_from,
            date_to=query.date_to,
        )

        def find(
            before_id: int | None, offset: int, limit: int
        ) -> tuple[Sequence[ListedEntry], int]:
            return self.log.find(
                request.actor, filters, before_id=before_id, offset=offset, limit=limit
            )

        return history_page(request, find, _entry_body, lambda listed: listed.entry.id)

    def verify(self, request: ApiRequest) -> ApiResponse:
        """Verify the newest entries."""
        report = self.verifier.verify(request.actor, newest=VERIFIED_ENTRIES)
        return ApiResponse(body=report_body(report))

    def checkpoints(self, request: ApiRequest[object, CheckpointQuery]) -> ApiResponse:
        """Return a page of signed checkpoints."""
        query = request.query
        size = make_slice(request, 1, query.page_size).size
        before = decode_cursor(query.cursor or "")
        found = self.log.checkpoints(request.actor, before=before, limit=size)
        last = found[-1].seal_seq if found else None
        return cursor_page(request, size, [*map(_checkpoint_body, found)], last)

    def erase(self, request: ApiRequest) -> ApiResponse:
        """Erase a user's personal data from the log."""
        erased = self.log.erase(request.actor, UserId(request.ids["user_id"]))
        return ApiResponse(body=ErasureBody(erased=erased))


def report_body(report: AuditReport) -> AuditReportBody:
    """Return the body of a report."""
    fault = report.fault
    found = None
    if fault is not None:
        found = AuditFaultBody(seal_seq=fault.seal_seq, id=fault.audit_id, reason=fault.reason)
    return copy_fields(AuditReportBody, report, is_intact=report.is_intact, fault=found)


def _entry_body(listed: ListedEntry) -> AuditEntryBody:
    entry = listed.entry
    return copy_fields(
        AuditEntryBody,
        entry,
        user=None if entry.user_id == SYSTEM_ID else entry.user_id,
        user_detail=listed.user and person_body(listed.user),
        project=entry.project_id,
        ip_address=entry.address,
        timestamp=entry.at,
    )


def _checkpoint_body(checkpoint: Checkpoint) -> CheckpointBody:
    return copy_fields(CheckpointBody, checkpoint)


def operations(routes: AuditRoutes) -> Sequence[AnyOperation]:
    """Return the operations on the audit log."""
    superusers: dict[str, Any] = {"access": Access.SUPERUSER, "tag": "audit"}
    return (
        Operation(
            method="GET", path=f"{BASE}/logs", name="list_audit_entries", tag="audit",
            summary="List the audit entries that you may read, newest first.",
            handler=routes.list, query=AuditQuery,
            responses={200: ListOf(AuditEntryBody, history=True)}, errors=(404,),
        ),
        Operation(
            method="GET", path=f"{BASE}/verify", name="verify_audit_log",
            summary="Verify the newest 100,000 sealed entries against their hash chain.",
            handler=routes.verify, responses={200: AuditReportBody}, **superusers,
        ),
        Operation(
            method="GET", path=f"{BASE}/checkpoints", name="list_audit_checkpoints",
            summary="List the signed checkpoints of the log, newest first.",
            handler=routes.checkpoints, query=CheckpointQuery,
            responses={200: ListOf(CheckpointBody, history=True)}, **superusers,
        ),
        Operation(
            method="DELETE", path=PERSONAL_DATA, name="erase_personal_data",
            summary="Erase a user's personal data from the audit log; the chain stays intact.",
            handler=routes.erase, responses={200: ErasureBody}, **superusers,
        ),
    )  # fmt: skip
