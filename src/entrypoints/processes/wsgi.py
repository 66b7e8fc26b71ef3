"""WSGI application for other servers, built on the first request."""

import atexit
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from attrs import define, field

from workbell.adapters.http.app import FalconApp, build_app
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import load
from workbell.entrypoints.processes.api import open_api

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@define(eq=False)
class LazyApplication:
    """
    The HTTP API as a WSGI application, configured by the settings.

    It is built on the first request, because a server may import the module
    before it forks. Its connections and threads are closed at exit.
    """

    _lock: Lock = field(init=False, factory=Lock)
    _app: FalconApp | None = field(init=False, default=None)

    def __call__(self, env: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request; the first one can raise as `open_api`."""
        app = self._app or self._build()
        return app(env, start_response)

    def _build(self) -> FalconApp:
        with self._lock:
            if self._app is None:
                settings = load()
                configure(settings)
                application, runtime = open_api(settings)
                app = build_app(application.app_dependencies(runtime))
                runtime.start()
                atexit.register(application.close)
                atexit.register(runtime.stop, settings.shutdown_grace_seconds)
                self._app = app
            return self._app
