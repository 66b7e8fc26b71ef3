"""`workbell api`: one or several HTTP API processes on one port."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import click
import structlog

from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.http.app import build_app
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.domain.errors import WorkbellError
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import API_THREADS
from workbell.entrypoints.bootstrap.metrics import enable_multiprocess, mark_process_dead
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.processes.all_in_one import SWITCH_SECONDS
from workbell.entrypoints.processes.lifecycle import Lifecycle
from workbell.entrypoints.processes.supervisor import READY, Supervisor
from workbell.entrypoints.processes.worker import open_application

EXIT_UNAVAILABLE = 2

log = structlog.get_logger()


def serve(settings: Settings, workers: int) -> int:
    """
    Serve HTTP until SIGTERM or SIGINT; return the exit status.

    One worker serves in this process; several are child processes that
    inherit the listening socket.
    """
    configure(settings)
    life = Lifecycle()
    life.install_signal_handlers()
    listener = listen(settings.host, settings.port)
    _prepare(settings)
    log.info("started", role="api", pid=os.getpid(), workers=workers, port=settings.port)
    if workers == 1:
        status = life.exit_status(stopped_cleanly=_serve_until(settings, listener, life.wait))
    else:
        with TemporaryDirectory(prefix="workbell-metrics-") as folder:
            enable_multiprocess(Path(folder))
            status = Supervisor(
                target=run_worker_process,
                arguments=(settings, listener),
                count=workers,
                grace_seconds=settings.shutdown_grace_seconds,
                on_death=mark_process_dead,
            ).run(life)
    log.info("stopped", role="api", status=status)
    return status


def run_worker_process(control: Connection, settings: Settings, listener: socket.socket) -> None:
    """Serve in a child process until a signal, or until `control` closes."""
    stop = Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    Thread(target=_wait_for_end, args=(control, stop), name="control", daemon=True).start()
    configure(settings)

    def wait() -> None:
        control.send_bytes(READY)
        stop.wait()

    try:
        _serve_until(settings, listener, wait)
    except WorkbellError as error:
        log.error("start_failed", role="api", pid=os.getpid(), reason=str(error))
        sys.exit(EXIT_UNAVAILABLE)


def _wait_for_end(control: Connection, stop: Event) -> None:
    try:
        control.recv_bytes()
    except (EOFError, OSError):  # the supervisor has closed its end, or has died
        stop.set()


def _serve_until(settings: Settings, listener: socket.socket, wait: Callable[[], None]) -> bool:
    """Serve until `wait` returns; return whether all threads stopped in time."""
    application, runtime = open_api(settings)
    app = build_app(application.app_dependencies(runtime))
    server = HttpServer(app, listener, application.ids.new, threads=API_THREADS)
    runtime.start()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # exclude the objects built so far from collections
    server.start()
    wait()
    server_stopped = server.stop(settings.shutdown_grace_seconds)
    runtime_stopped = runtime.stop(settings.shutdown_grace_seconds)
    application.close()
    return server_stopped and runtime_stopped


def open_api(settings: Settings) -> tuple[Application, Runtime]:
    """Build application and runtime; raises as `open_application`."""
    application = open_application(settings, "api")
    return application, application.runtime(threads=0, scheduler=False)


def _prepare(settings: Settings) -> None:
    """Check the store, and create the administrator if there is none."""
    application = open_application(settings, "api")
    application.warn_if_redis_unavailable()
    password = application.ensure_administrator()
    application.close()
    if password is not None:
        click.echo(f"Administrator {settings.admin_username}, password {password}")
        click.echo("(shown only once; it expires after 7 days, so change it)")
