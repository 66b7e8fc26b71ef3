"""The stored parts of a response: headers and a snippet, as clean text."""

import re
from codecs import getincrementaldecoder
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Final

from workbell.adapters.webhook_client.connections import ResponseTooLarge
from workbell.domain.delivery.delivery import SNIPPET_BYTES

MAX_HEADERS: Final = 64
MAX_VALUE: Final = 1_024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_decoder = getincrementaldecoder("utf-8")


def clean_line(text: str, length: int) -> str:
    """Return text as one line without control characters."""
    return _CONTROL.sub(" ", text[:length]).strip()


def clean_headers(message: "Message[str, str]") -> dict[str, str]:
    """
    Return response headers by lower-case name.

    Repeated ones are joined by commas; later and longer ones are cut.
    """
    headers = dict[str, str]()
    for name, value in message.items()[:MAX_HEADERS]:
        key, text = clean_line(name, 128).lower(), clean_line(value, MAX_VALUE)
        headers[key] = f"{headers[key]}, {text}"[:MAX_VALUE] if key in headers else text
    return headers


def read_snippet(response: HTTPResponse) -> tuple[str, bool]:
    """
    Read the beginning of a body; return its text, and whether it was all.

    Failures end the text: the head of the response has been received.
    """
    body, is_complete = b"", False
    try:
        while len(body) < SNIPPET_BYTES:
            part = response.read1(SNIPPET_BYTES - len(body))
            body += part
            if not part or response.length == 0:
                is_complete = not response.length
                break
    except (OSError, HTTPException, ValueError, ResponseTooLarge):
        pass
    # a negative chunk size makes http.client return more than it was asked for
    text = _decoder("replace").decode(body[:SNIPPET_BYTES], final=is_complete)
    return text.replace("\0", "\ufffd"), is_complete


def is_persistent(response: HTTPResponse) -> bool:
    """Whether another response may follow, and it is clear where this one ends."""
    headers = response.headers
    has_both = "content-length" in headers and "transfer-encoding" in headers
    return not (response.will_close or headers.defects or has_both)
