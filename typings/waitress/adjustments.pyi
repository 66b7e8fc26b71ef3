import socket

class Adjustments:
    threads: int
    url_scheme: str
    recv_bytes: int
    channel_timeout: int
    inbuf_overflow: int
    outbuf_high_watermark: int
    max_request_body_size: int
    def __init__(
        self,
        *,
        sockets: list[socket.socket],
        threads: int,
        backlog: int,
        ident: str | None,
        recv_bytes: int,
        connection_limit: int,
        channel_timeout: int,
        cleanup_interval: int,
        max_request_header_size: int,
        max_request_body_size: int,
        outbuf_high_watermark: int,
        clear_untrusted_proxy_headers: bool,
    ) -> None: ...
