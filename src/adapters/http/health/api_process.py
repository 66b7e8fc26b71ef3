"""The service about itself, over HTTP: health, readiness, metrics, schema."""

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
from workbell.domain.errors import Unavailable
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.identity.permissions import Action, check
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo
from workbell.services.identity.login import LoginService
from workbell.services.jobs.commands import JobService

NO_STORE = {"Cache-Control": "no-store"}


@frozen(kw_only=True, slots=False)
class HealthBody:
    """Whether the parts that are needed answer."""

    status: str
    database: str
    cache: str


@frozen(kw_only=True, slots=False)
class ReadinessBody:
    """Whether requests can be served, the revision of the tables, and how the cache is."""

    status: str
    schema_version: str
    cache: str


@frozen(kw_only=True)
class HealthProblem(Problem):
    """The database or the cache does not answer; each one's state."""

    database: str
    cache: str


@frozen(kw_only=True)
class ReadinessProblem(Problem):
    """Requests cannot be served: the revision of the tables, and the state of the cache."""

    schema_version: str
    cache: str


@frozen(kw_only=True, slots=False)
class LivenessBody:
    """That the process answers."""

    status: str


@frozen(kw_only=True)
class HealthRoutes:
    """What the service says of itself; `metrics_registry` has the metrics of its processes."""

    readiness: Readiness
    jobs: JobService
    signing_in: LoginService
    metrics_registry: MetricsRegistry
    worker_lease: timedelta
    metrics_token: str | None = field(repr=False)
    version: str

    def health(self, request: ApiRequest) -> ApiResponse:
        """Return whether database and cache answer."""
        parts = {
            "database": probe(self.readiness.database.ping),
            "cache": probe(self.readiness.cache),
        }
        away = [name for name, found in parts.items() if found != "connected"]
        if not away:
            return ApiResponse(body=HealthBody(status="healthy", **parts), headers=NO_STORE)
        return _unavailable(request, f"Not connected: {', '.join(away)}.", parts)

    def live(self, _: ApiRequest) -> ApiResponse:
        """Return that the process answers."""
        return ApiResponse(body=LivenessBody(status="alive"), headers=NO_STORE)

    def ready(self, request: ApiRequest) -> ApiResponse:
        """Return whether requests can be served."""
        wrong, facts = self.readiness.check()
        if wrong:
            return _unavailable(request, " ".join(wrong), facts)
        return ApiResponse(body=ReadinessBody(status="ready", **facts), headers=NO_STORE)

    def metrics(self, request: ApiRequest) -> ApiResponse:
        """Return counts in the Prometheus text format, to who may read them."""
        self._check_reader(request)
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
            )
        )  # fmt: skip
        return ApiResponse(body=text, media_type=CONTENT_TYPE, headers=NO_STORE)

    def _check_reader(self, request: ApiRequest) -> None:
        """Let in who has the token of the settings, and superusers."""
        if self.metrics_token is not None and hmac.compare_digest(
            request.token.encode(), self.metrics_token.encode()
        ):
            return
        reader = self.signing_in.authenticate(request.token, request.origin)
        check(reader, Action.READ_METRICS, "Metrics are for superusers, and with METRICS_TOKEN.")


def _unavailable(request: ApiRequest, detail: str, more: Mapping[str, Any]) -> ApiResponse:
    refused = error_response(Unavailable(detail), 503, request.origin.request_id)
    body = {**refused.members, **more}
    headers = {**refused.headers, **NO_STORE}
    return ApiResponse(status=503, body=body, headers=headers, media_type=PROBLEM)


def _job_metrics(stats: JobStats) -> Sequence[Metric]:
    """Return counts of rows; only the API exposes them, as each process would read the same."""
    return (
        labelled_gauge(
            "workbell_jobs", "Jobs by status.", ["status"],
            [([name], count) for name, count in sorted(stats.by_status.items())],
        ),
        gauge(
            "workbell_jobs_finished_last_hour", "Jobs that ended within the last hour.",
            stats.finished_last_hour,
        ),
        gauge(
            "workbell_jobs_failed_last_hour", "Jobs that failed within the last hour.",
            stats.failed_last_hour,
        ),
        gauge("workbell_schedules_active", "Active schedules.", stats.schedules_active),
        gauge(
            "workbell_schedules_overdue", "Schedules that should have succeeded by now.",
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
            "workbell_queue_oldest_wait_seconds", "Seconds that the oldest ready job has waited.",
            ["queue"],
            [
                ([queue.name], max(0.0, (now - (queue.oldest_ready_at or now)).total_seconds()))
                for queue in queues
            ],
        ),
    )  # fmt: skip


def _live_workers(workers: Sequence[WorkerInfo], since: datetime) -> Metric:
    live = sum(worker.seen_at >= since for worker in workers)
    return gauge("workbell_workers_live", "Worker processes whose leases have not run out.", live)


def operations(service: HealthRoutes) -> Sequence[AnyOperation]:
    """Return the operations that anyone may call on the service itself."""
    free: dict[str, Any] = {"access": Access.ANYONE, "tag": "operations"}
    return (
        Operation(
            method="GET", path="/api/health", name="get_health",
            summary="Show whether database and cache answer.", handler=service.health,
            responses={200: HealthBody, 503: HealthProblem}, **free,
        ),
        Operation(
            method="GET", path="/livez", name="get_liveness", summary="Answer, if alive.",
            handler=service.live, responses={200: LivenessBody}, **free,
        ),
        Operation(
            method="GET", path="/readyz", name="get_readiness",
            summary="Show whether requests can be served.", handler=service.ready,
            responses={200: ReadinessBody, 503: ReadinessProblem}, **free,
        ),
        Operation(
            method="GET", path="/metrics", name="get_metrics",
            summary="Show counts in the Prometheus text format.", handler=service.metrics,
            media_types=("text/plain",), errors=(401, 403), **free,
        ),
    )  # fmt: skip
