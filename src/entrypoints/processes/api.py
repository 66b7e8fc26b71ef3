"""The API as processes of its own, behind granian or gunicorn."""

import errno
import gc
import os
import socket
import sys
from pathlib import Path

import click
import structlog

from workbell.adapters.http.app import build_app
from workbell.adapters.http.liveness import FalconApp
from workbell.domain.errors import Unavailable
from workbell.entrypoints.bootstrap.http import make_app_dependencies
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.option import variable
from workbell.entrypoints.config.settings import Settings, load
from workbell.entrypoints.config.sources import CONFIG
from workbell.entrypoints.processes.all_in_one import SWITCH_SECONDS
from workbell.entrypoints.processes.worker import open_house

THREADS = 8
HEADER_MS = 10_000
BUFFER_BYTES = 64 * 1024

log = structlog.get_logger()


def application() -> FalconApp:
    """
    Return the WSGI application of one process, by the settings of the environment.

    For granian's workers, and for gunicorn: `workbell.entrypoints.processes.api:application()`.

    Raises:
        Invalid: A setting is wrong.
        Unavailable: The store does not answer, or has another schema.
    """
    settings = load()
    configure(settings)
    house = open_house(settings, "api")
    runtime = house.runtime(threads=0, scheduler=False)
    app = build_app(make_app_dependencies(house, runtime))
    runtime.start()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what was built stays: the collector need not walk it again and again
    return app


def serve(settings: Settings, config: Path | None, workers: int) -> int:
    """
    Answer requests until a signal says stop; return the exit status.

    Raises:
        Invalid: A setting or a module of tasks is wrong, or there is no server.
        Unavailable: granian is missing, the port is taken, or the store is not ready.
    """
    configure(settings)
    try:
        from granian.constants import HTTPModes, Interfaces
        from granian.http import HTTP1Settings
        from granian.log import LogLevels
        from granian.server import Server
    except ImportError:
        raise Unavailable("`workbell api` needs granian: install workbell[server].") from None
    _check_port(settings)
    _prepare(settings)
    # its processes read the settings anew, and shall find the same
    os.environ |= {variable("host"): settings.host, variable("port"): str(settings.port)}
    if config is not None:
        os.environ[CONFIG] = str(config.absolute())
    log.info("started", part="api", pid=os.getpid(), workers=workers, port=settings.port)
    Server(
        f"{__name__}:{application.__name__}",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MS, max_buffer_size=BUFFER_BYTES),
        websockets=False,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.shutdown_grace_seconds,
    ).serve()
    log.info("stopped", part="api")
    return 0


def _prepare(settings: Settings) -> None:
    """Look whether the store is ready, and create the administrator where there is none."""
    house = open_house(settings, "api")
    house.warn_of_absent_cache()
    password = house.first_administrator()
    house.close()
    if password is not None:
        click.echo(f"Administrator {settings.admin_username}, password {password}")
        click.echo("(shown only this once; it works for 7 days, unless you change it)")


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise Unavailable(f"Cannot listen on {settings.host}:{settings.port}: {reason}.") from error
