"""Strict parsing of request bodies, path ids, tokens and version headers."""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NoReturn

import falcon
from attrs import frozen

from workbell.adapters.http.web.operations import JSON, AnyOperation
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid
from workbell.ports.serialization import Serializer

MAX_ID = 2**63 - 1
_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*')
_VERSION = re.compile(r"v([0-9]{1,18})(?:-[0-9a-f]+)?", re.ASCII)
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")


@frozen
class BodyReader:
    """Parses JSON bodies of at most `max_bytes` into request classes."""

    serializer: Serializer
    max_bytes: int

    def read(self, req: falcon.Request, operation: AnyOperation) -> tuple[Any, bytes]:
        """
        Return the parsed body, and as received.

        The parsed body is a dict if the operation is partial, and a sequence if it
        is an array.

        Raises:
            Invalid: The body is invalid; the error names every invalid field.
            HTTPUnsupportedMediaType: The body is not JSON in UTF-8.
            HTTPContentTooLarge: The body exceeds the limit.
        """
        assert operation.request is not None
        data = self._bytes(req, operation.max_body_bytes or self.max_bytes)
        if not data.strip():
            if operation.optional:
                return self.serializer.structure({}, operation.request), data
            raise Invalid("The body is empty; send a JSON object.")
        self._check_type(req)
        value = jsontext.loads(data)
        if not operation.partial:
            return self._structure(value, operation), data
        if not isinstance(value, dict):
            raise Invalid("The body must be a JSON object.")
        if missing := [name for name in operation.required if name not in value]:
            raise Invalid(field_errors={name: [f"{name} is required"] for name in missing})
        return value, data

    def _structure(self, value: Any, operation: AnyOperation) -> Any:
        kind: Any = operation.request
        if operation.max_batch and isinstance(value, list):
            _check_batch(value, operation)
            kind = Sequence[kind]
        return self.serializer.structure(value, kind)

    def _bytes(self, req: falcon.Request, limit: int) -> bytes:
        stream: Any = req.bounded_stream
        if req.content_length is None and req.env.get("wsgi.input_terminated"):
            stream = req.stream
        elif (req.content_length or 0) > limit:
            _refuse_size(limit)
        data: bytes = stream.read(limit + 1)
        if len(data) > limit:
            _refuse_size(limit)
        return data

    def _check_type(self, req: falcon.Request) -> None:
        media_type, _, parameters = (req.content_type or "").partition(";")
        charset = parameters.strip().lower().replace('"', "")
        if (
            media_type.strip().lower() == JSON
            and charset in {"", "charset=utf-8", "charset=utf8"}
            and req.get_header("Content-Encoding", default="identity").lower() == "identity"
        ):
            return
        raise falcon.HTTPUnsupportedMediaType(
            description=f"The body must be {JSON} in UTF-8, without Content-Encoding."
        )


def _check_batch(items: list[Any], operation: AnyOperation) -> None:
    name = operation.path.rpartition("/")[2]
    limits = Constraints(min_length=1, max_length=operation.max_batch)
    if problems := [f"{name} {problem}" for problem in limits.problems(items)]:
        raise Invalid.field(name, *problems)


def _refuse_size(limit: int) -> NoReturn:
    raise falcon.HTTPContentTooLarge(description=f"The body exceeds the limit of {limit:,} bytes.")


def parse_path_id(text: str) -> int:
    """
    Return a path parameter as an id.

    Raises:
        HTTPNotFound: The text is not a positive 64-bit integer.
    """
    if _ID.fullmatch(text) and (number := int(text)) <= MAX_ID:
        return number
    raise falcon.HTTPNotFound


def parse_bearer_token(header: str | None) -> str:
    """Return the token of an Authorization header, or "" without one."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() in {"bearer", "token"} else ""


def parse_if_match(header: str | None) -> frozenset[int] | None:
    """
    Return the versions that an If-Match header accepts (RFC 9110, 13.1.1).

    None means any version: no header, or `*`. Foreign tags match no version.
    """
    return None if header is None else _parse_versions(header)


def parse_if_none_match(header: str | None) -> frozenset[int] | None:
    """
    Return the versions that an If-None-Match header excludes (RFC 9110, 13.1.2).

    None means any version: `*`. Without a header no version is excluded.
    """
    return frozenset() if header is None else _parse_versions(header)


def _parse_versions(header: str) -> frozenset[int] | None:
    if header.strip() == "*":
        return None
    tags = (_TAG.fullmatch(part) for part in header.split(","))
    numbers = (_VERSION.fullmatch(tag[2]) for tag in tags if tag)
    return frozenset(int(number[1]) for number in numbers if number)


def matches_tag(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names an ETag (RFC 9110, 13.1.2)."""
    if header is None or header.strip() == "*":
        return header is not None
    found = map(_TAG.fullmatch, header.split(","))
    return any(f'"{each[2]}"' == tag for each in found if each)


def add_content_hash(tag: str, content: bytes) -> str:
    """
    Return the ETag of a version with a hash of the response.

    A response may also change without a new version: it can contain the next run
    of a schedule, or the progress of a goal at the current time.
    """
    return f'{tag[:-1]}-{blake2b(content, digest_size=8).hexdigest()}"'


def parse_request_id(header: str | None) -> str | None:
    """Return a client's X-Request-ID if it is 1-64 printable ASCII characters."""
    return header if header and _REQUEST_ID.fullmatch(header) else None


def etag_header(version: int) -> dict[str, str]:
    """Return the ETag header for a version."""
    return {"ETag": f'"v{version}"'}
