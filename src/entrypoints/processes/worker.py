"""Worker and scheduler as processes of their own."""

import gc
import os

import structlog

from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.http.health.worker_process import Readiness, WorkerHealthRoutes, make_worker_health_app
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.domain.errors import Invalid
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build, user_tasks
from workbell.entrypoints.config.logging import configure
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.library.client import DECLARED
from workbell.entrypoints.processes.lifecycle import Lifecycle

HEALTH_THREADS = 2

log = structlog.get_logger()


def work(settings: Settings) -> int:
    """Run jobs until a signal says stop; return the exit status; see `run`."""
    return _run(settings, "worker", threads=settings.worker_threads)


def schedule(settings: Settings) -> int:
    """Make jobs of schedules until a signal says stop; return the exit status; see `run`."""
    return _run(settings, "scheduler", threads=0)


def open_application(settings: Settings, part: str) -> Application:
    """
    Return the house of a process that is one of several.

    Raises:
        Invalid: A setting or a module of tasks is wrong, or there is no server.
        Unavailable: The store does not answer, or has another schema.
    """
    if settings.database_url.startswith(("sqlite", "memory")):
        raise Invalid(
            f"`workbell {part}` needs PostgreSQL, MySQL or MariaDB (WORKBELL_DATABASE_URL); "
            "on SQLite, `workbell up` runs everything in one process."
        )
    user_tasks(settings.tasks)
    application = build(settings, tasks=DECLARED.all())
    application.verify_and_register()
    return application


def _run(settings: Settings, part: str, *, threads: int) -> int:
    configure(settings)
    life = Lifecycle()
    life.install_signal_handlers()
    application = open_application(settings, part)
    application.warn_if_redis_unavailable()
    if not threads:
        application.keep_schedules()
    runtime = application.runtime(
        threads=threads, scheduler=not threads, log_attempts=True, on_stuck=life.request_restart
    )
    server = _health(application, runtime) if settings.metrics_port is not None else None
    runtime.start()
    gc.freeze()  # what was built stays: the collector need not walk it again and again
    log.info("started", part=part, pid=os.getpid(), threads=threads, queues=application.queues)
    life.wait()
    log.info("stopping", part=part)
    rested = runtime.stop(settings.shutdown_grace_seconds)
    if server is not None:
        server.stop(grace=1.0)
    application.close()
    log.info("stopped", part=part, rested=rested)
    return life.exit_status(rested=rested)


def _health(application: Application, runtime: Runtime) -> HttpServer:
    """Serve health and metrics on METRICS_PORT."""
    settings = application.settings
    face = WorkerHealthRoutes(
        readiness=Readiness(
            database=application.store,
            cache=application.check_cache,
            outdated=application.outdated_revisions,
            ailments=runtime.health_problems,
        ),
        metrics_registry=application.metrics,
        token=settings.metrics_token,
    )
    port = settings.metrics_port or 0
    listener = listen(settings.host, port)
    server = HttpServer(make_worker_health_app(face), listener, application.ids.new, threads=HEALTH_THREADS)
    server.start()
    return server
