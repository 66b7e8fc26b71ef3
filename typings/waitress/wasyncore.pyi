import socket as _socket
from collections.abc import Mapping
from typing import Any

class dispatcher:
    socket: _socket.socket
    connected: bool
    accepting: bool
    _map: dict[int, dispatcher]
    def recv(self, buffer_size: int) -> bytes: ...
    def close(self) -> None: ...

class file_dispatcher(dispatcher): ...

def loop(
    timeout: float = 30.0,
    use_poll: bool = False,
    map: Mapping[int, Any] | None = None,
    count: int | None = None,
) -> None: ...
