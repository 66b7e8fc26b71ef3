from typing import Any

from waitress.adjustments import Adjustments

class HTTPRequestParser:
    completed: bool
    expect_continue: bool
    headers_finished: bool
    header_plus: bytes
    chunked: bool
    content_length: int
    body_rcv: Any
    version: str
    error: Any
    connection_close: bool
    headers: dict[str, str]
    adj: Adjustments
    command: str
    path: str
    query: str
    request_uri: str
    url_scheme: str
    def __init__(self, adj: Adjustments) -> None: ...
    def parse_header(self, header_plus: bytes) -> None: ...
    def received(self, data: bytes) -> int: ...
