from collections.abc import Callable, Sequence
from threading import Condition
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from waitress.task import Task
from waitress.wasyncore import dispatcher

class ClientDisconnected(Exception): ...

class HTTPChannel(dispatcher):
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
    outbuf_lock: Condition
    def readable(self) -> bool: ...
    def writable(self) -> int: ...
    def handle_read(self) -> None: ...
    def handle_close(self) -> None: ...
    def _flush_some(self, do_close: bool = True) -> bool: ...
    def _flush_exception(
        self, flush: Callable[..., bool], do_close: bool = True
    ) -> tuple[bool, bool]: ...
