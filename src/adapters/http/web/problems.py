"""Problem documents (RFC 9457) for every error."""

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

ERROR_STATUSES: Mapping[type[WorkbellError], int] = {
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
ENROLMENT_REQUIRED = "Add a second factor first: POST /api/v1/auth/second-factor."
HTTP_ERROR_CODES: Mapping[int, str] = {
    400: "invalid",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}
HTTP_ERROR_DETAILS: Mapping[int, str] = {
    404: "There is no resource at this URL.",
    405: "This URL does not support the method; the Allow header lists the supported ones.",
}


@frozen(kw_only=True)
class Problem:
    """An error (RFC 9457); `code` is stable, and clients may match on it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field_errors: Mapping[str, Sequence[str]]
    request_id: str


@frozen(kw_only=True)
class StaleVersionProblem(Problem):
    """A failed If-Match or If-None-Match, with the current version and the changed fields."""

    version: int
    changed: Sequence[str]


@frozen
class ErrorResponse:
    """An error response: status, headers and members of the document."""

    status: int
    headers: Mapping[str, str]
    members: Mapping[str, Any]


def get_status(error: WorkbellError, statuses: Mapping[type[WorkbellError], int]) -> int:
    """Return the status of the operation for an error, else that of its class."""
    for kind in type(error).__mro__:
        if (status := statuses.get(kind) or ERROR_STATUSES.get(kind)) is not None:
            return status
    return 500


def error_response(error: WorkbellError, status: int, request_id: str) -> ErrorResponse:
    """Return the response for an error of the domain or the services."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    detail = error.detail
    match error:
        case EnrolmentRequired():
            detail = ENROLMENT_REQUIRED
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


def http_error_response(error: falcon.HTTPError, request_id: str) -> ErrorResponse:
    """Return the response for an error that Falcon or an HTTP check raised."""
    status = error.status_code
    detail = error.description or HTTP_ERROR_DETAILS.get(status) or HTTPStatus(status).phrase
    code = HTTP_ERROR_CODES.get(status, "invalid")
    headers: dict[str, str] = dict(error.headers or ())
    return ErrorResponse(status, headers, _members(status, detail, code, request_id, {}))


def unexpected_error_response(request_id: str) -> ErrorResponse:
    """Return the response for an unexpected error, without its details."""
    detail = f"Internal server error; see the server log for request id {request_id}."
    return ErrorResponse(500, {}, _members(500, detail, HTTP_ERROR_CODES[500], request_id, {}))


def in_style(error: ErrorResponse, style: Style) -> Mapping[str, Any]:
    """
    Return the members of a problem document in a style.

    InsightHub adds the messages of each field under the field's name; nested
    paths (`parameters.email`) go under the top-level field, and messages
    without a field under `non_field_errors`.
    """
    if style is not Style.INSIGHTHUB or error.status != 400:
        return error.members
    by_field: dict[str, list[str]] = {}
    for path, messages in error.members["field_errors"].items():
        by_field.setdefault(path.partition(".")[0] or "non_field_errors", []).extend(messages)
    return {**(by_field or {"non_field_errors": [error.members["detail"]]}), **error.members}


def _members(
    status: int, detail: str, code: str, request_id: str, fields: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "field_errors": {path: list(messages) for path, messages in fields.items()},
        "request_id": request_id,
    }
