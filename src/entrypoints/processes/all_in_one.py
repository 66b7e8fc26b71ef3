"""`workbell up`: API, scheduler and workers in one process."""

import gc
import sys

import click
import structlog
from attrs import asdict, evolve

from workbell.adapters.http.app import build_app, make_openapi
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.entrypoints.bootstrap.build import API_THREADS, build, import_task_modules
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.library.client import DECLARED
from workbell.entrypoints.processes.lifecycle import Lifecycle

SWITCH_SECONDS = 0.002
"""Thread switch interval of the interpreter; Python's default is 5 ms."""

log = structlog.get_logger()


def serve(settings: Settings) -> int:
    """Run all roles until SIGTERM or SIGINT; return the exit status."""
    configure(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    import_task_modules(settings.tasks)
    echo = sys.stderr if sys.stderr.isatty() else None
    application = build(settings, tasks=DECLARED.all(), echo=echo)
    life = Lifecycle()
    life.install_signal_handlers()
    runtime = application.runtime(
        threads=settings.worker_threads, log_attempts=True, on_stuck=life.request_restart
    )
    server = HttpServer(
        build_app(application.app_dependencies(runtime)),
        listen(settings.host, settings.port),
        application.ids.new,
        threads=API_THREADS,
    )
    if (migration := application.migrate_and_register()) is not None:
        log.info("schema_migrated", **asdict(migration))
    application.ensure_reminder_schedules()
    application.warn_if_redis_unavailable()
    password = application.ensure_administrator()
    runtime.start()
    gc.freeze()  # exclude the objects built so far from collections
    server.start()
    _print_banner(settings, server.address, password)
    life.wait()
    log.info("stopping", role="up")
    server.stop(grace=min(5.0, settings.shutdown_grace_seconds))
    stopped_cleanly = runtime.stop(settings.shutdown_grace_seconds)
    application.close()
    log.info("stopped", role="up", stopped_cleanly=stopped_cleanly)
    return life.exit_status(stopped_cleanly=stopped_cleanly)


def _print_banner(settings: Settings, address: tuple[str, int], password: str | None) -> None:
    host, port = address
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only shown
    at = f"http://{shown}:{port}"
    data = settings.data_dir.absolute()
    lines = [
        f"Workbell is running at {at}",
        f"  API reference  {at}/api/docs/",
        f"  Health         {at}/api/health/",
        f"  Data           {data}",
    ]
    if settings.smtp_url is None:
        lines.append(f"  Mail           {data / 'mail'} (SMTP_URL is not set)")
    if password is not None:
        lines.append(f"  Administrator  {settings.admin_username}, password {password}")
        lines.append("                 (shown only once; it expires after 7 days, so change it)")
    click.echo("\n".join(lines))


def openapi_document(settings: Settings) -> bytes:
    """Return the OpenAPI document of this release as JSON."""
    application = build(evolve(settings, database_url="memory://"))
    try:
        return make_openapi(application.app_dependencies(), settings.public_url)
    finally:
        application.close()
