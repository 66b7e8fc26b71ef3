from collections.abc import Sequence
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from waitress.task import Task
from waitress.wasyncore import dispatcher

class ClientDisconnected(Exception): ...

class HTTPChannel(dispatcher):
    def __init__(self, *arguments: Any, **options: Any) -> None: ...
    parser_class: type[HTTPRequestParser]
    task_class: type[Task]
    error_task_class: type[Task]
    server: Any
    adj: Adjustments
    addr: tuple[Any, ...]
    requests: Sequence[HTTPRequestParser]
    will_close: bool
    close_when_flushed: bool
    last_activity: float
    total_outbufs_len: int
    def readable(self) -> bool: ...
    def writable(self) -> int: ...
    def handle_read(self) -> None: ...
    def handle_close(self) -> None: ...
    def send(self, data: bytes, do_close: bool = True) -> int: ...
    def write_soon(self, data: Any) -> int: ...
