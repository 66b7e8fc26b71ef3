import socket as _socket
from typing import Any
from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments
from waitress.task import ThreadedTaskDispatcher
from waitress.trigger import trigger as _trigger
from waitress.wasyncore import dispatcher

class BaseWSGIServer(dispatcher):
    channel_class: type[Any]
    adj: Adjustments
    active_channels: dict[int, Any]
    task_dispatcher: ThreadedTaskDispatcher
    trigger: _trigger
    def __init__(
        self,
        application: WSGIApplication,
        map: dict[int, dispatcher] | None = None,
        _start: bool = True,
        _sock: _socket.socket | None = None,
        dispatcher: ThreadedTaskDispatcher | None = None,
        adj: Adjustments | None = None,
        sockinfo: tuple[Any, ...] | None = None,
        bind_socket: bool = True,
    ) -> None: ...
    def pull_trigger(self) -> None: ...
    def maintenance(self, now: float) -> None: ...

class TcpWSGIServer(BaseWSGIServer): ...
