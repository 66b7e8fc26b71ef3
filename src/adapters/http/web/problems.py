"""Problem documents (RFC 9457): every error in one form."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

import falcon
from attrs import frozen

from workbell.adapters.http.web.operations import Style
from workbell.domain.errors import (
    Conflict,
    Invalid,
    LimitReached,
    NotAllowed,
    NotFound,
    StaleVersion,
    Throttled,
    Unauthenticated,
    Unavailable,
    WorkbellError,
)
from workbell.domain.identity.second_factor import EnrolmentRequired

FAMILIES: Mapping[type[WorkbellError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    StaleVersion: 412,
    LimitReached: 409,
    Throttled: 429,
    Unavailable: 503,
}
ENROL = "Add a second factor first: POST /api/v1/auth/second-factor."
HTTP_CODES: Mapping[int, str] = {
    400: "invalid",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}
HTTP_DETAILS: Mapping[int, str] = {
    404: "There is nothing at this address.",
    405: "This address does not take the method; the header Allow lists those that it takes.",
}


@frozen(kw_only=True)
class Problem:
    """What went wrong (RFC 9457); `code` is stable and may be matched by programs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field_errors: Mapping[str, Sequence[str]]
    request_id: str


@frozen(kw_only=True)
class StaleVersionProblem(Problem):
    """The version that was sent is stale: the current one, and what has changed since."""

    version: int
    changed: Sequence[str]


@frozen
class ErrorResponse:
    """An error as it is answered: status, headers and the members of the document."""

    status: int
    headers: Mapping[str, str]
    members: Mapping[str, Any]


def status_of(error: WorkbellError, statuses: Mapping[type[WorkbellError], int]) -> int:
    """Return an error's status: the operation's own word for it, or its family's."""
    for kind in type(error).__mro__:
        if (status := statuses.get(kind) or FAMILIES.get(kind)) is not None:
            return status
    return 500


def error_response(error: WorkbellError, status: int, request_id: str) -> ErrorResponse:
    """Return what is answered to an error of the package."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    detail = error.detail
    match error:
        case EnrolmentRequired():
            detail = ENROL
        case Unauthenticated() if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="workbell"'
        case Throttled() | Unavailable():
            headers["Retry-After"] = str(max(1, ceil(error.retry_after)))
        case StaleVersion():
            extra = {"version": error.version, "changed": list(error.changed)}
            headers["ETag"] = f'"v{error.version}"'
    fields = error.field_errors if isinstance(error, Invalid) else {}
    members = _members(status, detail, error.code, request_id, fields)
    return ErrorResponse(status, headers, members | extra)


def http_refusal(error: falcon.HTTPError, request_id: str) -> ErrorResponse:
    """Return the answer to an error that Falcon or an HTTP check has raised."""
    status = error.status_code
    detail = error.description or HTTP_DETAILS.get(status) or HTTPStatus(status).phrase
    code = HTTP_CODES.get(status, "invalid")
    headers: dict[str, str] = dict(error.headers or ())
    return ErrorResponse(status, headers, _members(status, detail, code, request_id, {}))


def unexpected_error_response(request_id: str) -> ErrorResponse:
    """Return what is answered when nobody foresaw the error; it says nothing of it."""
    detail = f"Something went wrong here; the log has it under the request id {request_id}."
    return ErrorResponse(500, {}, _members(500, detail, HTTP_CODES[500], request_id, {}))


def in_style(refused: ErrorResponse, style: Style) -> Mapping[str, Any]:
    """
    Return a problem's members in a style.

    InsightHub lists the messages of each field under the field's own name, and
    those of no field under `non_field_errors`; what lies within a field's
    value (`parameters.email`) stands under the field.
    """
    if style is not Style.INSIGHTHUB or refused.status != 400:
        return refused.members
    own: dict[str, list[str]] = {}
    for path, said in refused.members["field_errors"].items():
        own.setdefault(path.partition(".")[0] or "non_field_errors", []).extend(said)
    return {**(own or {"non_field_errors": [refused.members["detail"]]}), **refused.members}


def _members(
    status: int,
    detail: str,
    code: str,
    request_id: str,
    fields: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "field_errors": {path: list(said) for path, said in fields.items()},
        "request_id": request_id,
    }
