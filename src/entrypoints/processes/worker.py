"""`workbell worker` and `workbell scheduler`."""

import gc
import os
from typing import Literal

import structlog

from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.http.health.worker_process import (
    Readiness,
    WorkerHealthRoutes,
    make_worker_health_app,
)
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.domain.errors import Invalid
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build, import_task_modules
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.library.client import DECLARED
from workbell.entrypoints.processes.lifecycle import Lifecycle

HEALTH_THREADS = 2

log = structlog.get_logger()


def open_application(settings: Settings, role: str) -> Application:
    """
    Build the application of one of several processes.

    Raises:
        Invalid: A setting or a task module is invalid, or the database is no server.
        Unavailable: The database is unreachable, or has another schema.
    """
    if settings.database_url.startswith(("sqlite", "memory")):
        raise Invalid(
            f"`workbell {role}` needs PostgreSQL, MySQL or MariaDB (WORKBELL_DATABASE_URL); "
            "on SQLite, `workbell up` runs everything in one process."
        )
    import_task_modules(settings.tasks)
    application = build(settings, tasks=DECLARED.all())
    application.verify_and_register()
    return application


def run(settings: Settings, role: Literal["worker", "scheduler"]) -> int:
    """Run jobs or schedules until SIGTERM or SIGINT; return the exit status."""
    threads = settings.worker_threads if role == "worker" else 0
    configure(settings)
    life = Lifecycle()
    life.install_signal_handlers()
    application = open_application(settings, role)
    application.warn_if_redis_unavailable()
    if not threads:
        application.ensure_reminder_schedules()
    runtime = application.runtime(
        threads=threads, scheduler=not threads, log_attempts=True, on_stuck=life.request_restart
    )
    server = _start_health_server(application, runtime)
    runtime.start()
    gc.freeze()  # exclude the objects built so far from collections
    log.info("started", role=role, pid=os.getpid(), threads=threads, queues=application.queues)
    life.wait()
    log.info("stopping", role=role)
    stopped_cleanly = runtime.stop(settings.shutdown_grace_seconds)
    if server is not None:
        server.stop(grace=1.0)
    application.close()
    log.info("stopped", role=role, stopped_cleanly=stopped_cleanly)
    return life.exit_status(stopped_cleanly=stopped_cleanly)


def _start_health_server(application: Application, runtime: Runtime) -> HttpServer | None:
    """Start a server of health and metrics on METRICS_PORT, if it is set."""
    settings = application.settings
    if settings.metrics_port is None:
        return None
    routes = WorkerHealthRoutes(
        readiness=Readiness(
            database=application.store,
            cache=application.check_cache,
            outdated=application.outdated_revisions,
            health_problems=runtime.health_problems,
        ),
        metrics_registry=application.metrics,
        token=settings.metrics_token,
    )
    app = make_worker_health_app(routes)
    listener = listen(settings.host, settings.metrics_port)
    server = HttpServer(app, listener, application.ids.new, threads=HEALTH_THREADS)
    server.start()
    return server
