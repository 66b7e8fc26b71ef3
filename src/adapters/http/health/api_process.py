"""Health, liveness, readiness and metrics of the API."""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import field, frozen
from prometheus_client.core import Metric

from workbell.adapters.http.health.worker_process import Readiness, probe
from workbell.adapters.http.web.operations import (
    PROBLEM,
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Operation,
)
from workbell.adapters.http.web.problems import Problem, error_response
from workbell.adapters.observability.metrics import (
    CONTENT_TYPE,
    MetricsRegistry,
    gauge,
    labelled_gauge,
)
from workbell.domain.errors import Unauthenticated, Unavailable
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.identity.permissions import Action, check
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo
from workbell.services.identity.login import LoginService
from workbell.services.jobs.commands import JobService

NO_STORE = {"Cache-Control": "no-store"}


@frozen(kw_only=True, slots=False)
class HealthBody:
    """State of the database and the cache."""

    status: str
    database: str
    cache: str


@frozen(kw_only=True, slots=False)
class ReadinessBody:
    """Readiness, the schema revision, and the state of the cache."""

    status: str
    schema_version: str
    cache: str


@frozen(kw_only=True)
class HealthProblem(Problem):
    """The database or the cache does not respond."""

    database: str
    cache: str


@frozen(kw_only=True)
class ReadinessProblem(Problem):
    """The service cannot handle requests."""

    schema_version: str
    cache: str


@frozen(kw_only=True, slots=False)
class LivenessBody:
    """The process is alive."""

    status: str


@frozen(kw_only=True)
class HealthRoutes:
    """Health checks and metrics."""

    readiness: Readiness
    jobs: JobService
    login_service: LoginService
    metrics_registry: MetricsRegistry
    worker_lease: timedelta
    metrics_token: str | None = field(repr=False)
    version: str

    def health(self, request: ApiRequest) -> ApiResponse:
        """Return the state of the database and the cache."""
        states = {
            "database": probe(self.readiness.database.ping),
            "cache": probe(self.readiness.cache),
        }
        failed = [name for name, state in states.items() if state != "connected"]
        if not failed:
            return ApiResponse(body=HealthBody(status="healthy", **states), headers=NO_STORE)
        return _unavailable(request, f"Not connected: {', '.join(failed)}.", states)

    def live(self, _: ApiRequest) -> ApiResponse:
        """Report that the process is alive."""
        return ApiResponse(body=LivenessBody(status="alive"), headers=NO_STORE)

    def ready(self, request: ApiRequest) -> ApiResponse:
        """Report whether the service can handle requests."""
        reasons, state = self.readiness.check()
        if reasons:
            return _unavailable(request, " ".join(reasons), state)
        return ApiResponse(body=ReadinessBody(status="ready", **state), headers=NO_STORE)

    def metrics(self, request: ApiRequest) -> ApiResponse:
        """Return metrics in the Prometheus text format."""
        self._check_metrics_access(request)
        stats, queues = self.jobs.stats(SYSTEM), self.jobs.queues()
        workers, now = self.jobs.workers(SYSTEM), self.jobs.clock.now()
        text = self.metrics_registry.exposition(
            (
                labelled_gauge(
                    "workbell_build_info", "The running version.", ["version"],
                    [([self.version], 1)],
                ),
                *_job_metrics(stats),
                *_queue_metrics(queues, now),
                _live_workers(workers, now - self.worker_lease),
                gauge(
                    "workbell_tasks_parked", "Tasks whose jobs are held because no worker knows them.",
                    len(self.jobs.definitions.parked()),
                ),
            )
        )  # fmt: skip
        return ApiResponse(body=text, media_type=CONTENT_TYPE, headers=NO_STORE)

    def _check_metrics_access(self, request: ApiRequest) -> None:
        """Admit METRICS_TOKEN and superusers."""
        if self.metrics_token is not None and hmac.compare_digest(
            request.token.encode(), self.metrics_token.encode()
        ):
            return
        if not request.token:
            raise Unauthenticated("Metrics require METRICS_TOKEN or a superuser.")
        reader = self.login_service.authenticate(request.token, request.client_info)
        check(reader, Action.READ_METRICS, "Metrics require METRICS_TOKEN or a superuser.")


def _unavailable(request: ApiRequest, detail: str, state: Mapping[str, Any]) -> ApiResponse:
    error = error_response(Unavailable(detail), 503, request.client_info.request_id)
    body, headers = {**error.members, **state}, {**error.headers, **NO_STORE}
    return ApiResponse(status=503, body=body, headers=headers, media_type=PROBLEM)


def _job_metrics(stats: JobStats) -> Sequence[Metric]:
    """Return metrics of database rows, which only the API exports."""
    return (
        labelled_gauge(
            "workbell_jobs", "Jobs by status.", ["status"],
            [([name], count) for name, count in sorted(stats.by_status.items())],
        ),
        gauge(
            "workbell_jobs_finished_last_hour", "Jobs that finished within the last hour.",
            stats.finished_last_hour,
        ),
        gauge(
            "workbell_jobs_failed_last_hour", "Jobs that failed within the last hour.",
            stats.failed_last_hour,
        ),
        gauge("workbell_schedules_active", "Active schedules.", stats.schedules_active),
        gauge(
            "workbell_schedules_overdue", "Active schedules without a success in time.",
            stats.schedules_overdue,
        ),
    )  # fmt: skip


def _queue_metrics(queues: Sequence[QueueStats], now: datetime) -> Sequence[Metric]:
    states = ("scheduled", "held", "ready", "running")
    return (
        labelled_gauge(
            "workbell_queue_jobs", "Unfinished jobs by queue and state.", ["queue", "state"],
            [
                ([queue.name, state], getattr(queue, state))
                for queue in queues
                for state in states
            ],
        ),
        labelled_gauge(
            "workbell_queue_oldest_wait_seconds", "Waiting time of the oldest ready job in seconds.",
            ["queue"],
            [
                ([queue.name], max(0.0, (now - (queue.oldest_ready_at or now)).total_seconds()))
                for queue in queues
            ],
        ),
    )  # fmt: skip


def _live_workers(workers: Sequence[WorkerInfo], since: datetime) -> Metric:
    live = sum(worker.seen_at >= since for worker in workers)
    return gauge("workbell_workers_live", "Worker processes with an unexpired lease.", live)


def operations(routes: HealthRoutes) -> Sequence[AnyOperation]:
    """Return the health and metrics operations."""
    public: dict[str, Any] = {"access": Access.ANYONE, "tag": "operations"}
    return (
        Operation(
            method="GET", path="/api/health", name="get_health",
            summary="Check the connections to the database and the cache.", handler=routes.health,
            responses={200: HealthBody, 503: HealthProblem}, **public,
        ),
        Operation(
            method="GET", path="/livez", name="get_liveness",
            summary="Check that the process is alive.", handler=routes.live,
            responses={200: LivenessBody}, **public,
        ),
        Operation(
            method="GET", path="/readyz", name="get_readiness",
            summary="Check that the service can handle requests.", handler=routes.ready,
            responses={200: ReadinessBody, 503: ReadinessProblem}, **public,
        ),
        Operation(
            method="GET", path="/metrics", name="get_metrics",
            summary="Get metrics in the Prometheus text format (METRICS_TOKEN or superuser).",
            handler=routes.metrics, media_types=("text/plain",), errors=(401, 403), **public,
        ),
    )  # fmt: skip
