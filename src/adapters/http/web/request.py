"""The wire: bodies, tokens and version headers, read strictly."""

import re
from typing import Any

import falcon
from attrs import frozen

from workbell.adapters.http.web.operations import JSON, AnyOperation
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.errors import Invalid
from workbell.ports.serialization import Serializer

MAX_ID = 2**63 - 1
_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*')
_VERSION = re.compile(r"v([0-9]{1,18})", re.ASCII)
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")


@frozen
class BodyReader:
    """Reads JSON bodies of a bounded size into the operations' request classes."""

    serializer: Serializer
    most: int

    def read(self, req: falcon.Request, operation: AnyOperation) -> Any:
        """
        Return the body as the value that the operation takes.

        Raises:
            Invalid: It does not fit; every field at fault is named.
            HTTPUnsupportedMediaType: It is not JSON.
            HTTPContentTooLarge: It has more bytes than are taken.
        """
        assert operation.request is not None
        data = self._bytes(req)
        if not data.strip():
            if operation.optional:
                return self.serializer.structure({}, operation.request)
            raise Invalid("The body is empty; a JSON object is needed.")
        self._check_type(req)
        value = jsontext.loads(data)
        if not operation.partial:
            return self.serializer.structure(value, operation.request)
        if not isinstance(value, dict):
            raise Invalid("The body must be a JSON object.")
        return value

    def _bytes(self, req: falcon.Request) -> bytes:
        stream: Any = req.bounded_stream
        if req.content_length is None and req.env.get("wsgi.input_terminated"):
            stream = req.stream
        elif (req.content_length or 0) > self.most:
            self._too_large()
        data: bytes = stream.read(self.most + 1)
        if len(data) > self.most:
            self._too_large()
        return data

    def _too_large(self) -> None:
        raise falcon.HTTPContentTooLarge(
            description=f"The body may have at most {self.most:,} bytes."
        )

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
            description=f"The body must be {JSON} in UTF-8, not encoded otherwise."
        )


def path_id(text: str) -> int:
    """
    Return an id of a path.

    Raises:
        HTTPNotFound: It is no positive integer of 64 bits.
    """
    if _ID.fullmatch(text) and (number := int(text)) <= MAX_ID:
        return number
    raise falcon.HTTPNotFound


def bearer(header: str | None) -> str:
    """Return the token of an Authorization header, empty where there is none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() in {"bearer", "token"} else ""


def versions(header: str | None) -> frozenset[int] | None:
    """
    Return the versions that an If-Match header accepts (RFC 9110, 13.1.1).

    None stands for any: no header, or `*`. Tags that are not ours fit none.
    """
    if header is None or header.strip() == "*":
        return None
    tags = (_TAG.fullmatch(part) for part in header.split(","))
    numbers = (_VERSION.fullmatch(tag[2]) for tag in tags if tag)
    return frozenset(int(number[1]) for number in numbers if number)


def request_id(header: str | None) -> str | None:
    """Return a request id that came from outside, if it is one: printable, at most 64."""
    return header if header and _REQUEST_ID.fullmatch(header) else None


def etag(version: int) -> dict[str, str]:
    """Return the header that names a version."""
    return {"ETag": f'"v{version}"'}
