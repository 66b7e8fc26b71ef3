"""The service about itself, over HTTP: health, readiness, metrics, schema."""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from ...domain.errors import NotAllowed, Unavailable
from ...domain.identity import SYSTEM
from ...ports.operations import JobStats, QueueStats
from ...ports.store import Health
from ...services.jobs import JobCommands
from ...services.signing_in import SigningIn
from .operations import Access, Answer, Call, Operation
from .problems import refusal

TEXT = "text/plain; version=0.0.4; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}


@frozen(kw_only=True, slots=False)
class HealthBody:
    """Whether the parts that are needed answer."""

    status: str
    database: str
    cache: str


@frozen(kw_only=True, slots=False)
class ReadyBody:
    """Whether requests can be served, and the revision of the store's tables."""

    status: str
    schema_version: str


@frozen(kw_only=True, slots=False)
class LiveBody:
    """That the process answers."""

    status: str


@frozen(kw_only=True)
class Service:
    """What the service says of itself; `expected` is the revision that this code needs."""

    database: Health
    cache: Callable[[], None]
    jobs: JobCommands
    signing_in: SigningIn
    expected: str | None
    metrics_token: str | None = field(repr=False)
    version: str

    def health(self, call: Call) -> Answer:
        """Return whether database and cache answer."""
        parts = {"database": _state(self.database.ping), "cache": _state(self.cache)}
        away = [name for name, state in parts.items() if state != "connected"]
        if not away:
            return Answer(body=HealthBody(status="healthy", **parts), headers=NO_STORE)
        return _unavailable(call, f"Not connected: {', '.join(away)}.", parts)

    def live(self, _: Call) -> Answer:
        """Return that the process answers."""
        return Answer(body=LiveBody(status="alive"), headers=NO_STORE)

    def ready(self, call: Call) -> Answer:
        """Return whether requests can be served."""
        try:
            found = self.database.schema_version()
        except Unavailable as error:
            return _unavailable(call, error.detail, {})
        if self.expected is not None and found != self.expected:
            detail = f"The tables have the revision {found}; {self.expected} is needed."
            return _unavailable(call, detail, {"schema_version": found})
        return Answer(body=ReadyBody(status="ready", schema_version=found), headers=NO_STORE)

    def metrics(self, call: Call) -> Answer:
        """Return counts in the Prometheus text format, to who may read them."""
        self._check_reader(call)
        lines = _metrics(self.jobs.stats(SYSTEM), self.jobs.queues(), self.version)
        text = "".join(f"{line}\n" for line in lines)
        return Answer(body=text.encode(), media_type=TEXT, headers=NO_STORE)

    def _check_reader(self, call: Call) -> None:
        """Let in who has the token of the settings, and superusers."""
        if self.metrics_token is not None and hmac.compare_digest(
            call.token.encode(), self.metrics_token.encode()
        ):
            return
        if not self.signing_in.authenticate(call.token, call.origin).is_super_user:
            raise NotAllowed("Metrics are for superusers, and for who has METRICS_TOKEN.")


def _state(ask: Callable[[], None]) -> str:
    try:
        ask()
    except Unavailable:
        return "disconnected"
    return "connected"


def _unavailable(call: Call, detail: str, more: Mapping[str, Any]) -> Answer:
    refused = refusal(Unavailable(detail), 503, call.origin.request_id)
    body = {**refused.members, **more}
    return Answer(status=503, body=body, headers={**refused.headers, **NO_STORE})


def _metrics(stats: JobStats, queues: Sequence[QueueStats], version: str) -> Iterator[str]:
    yield from _gauge("workbell_info", "The running version.", [(f'version="{version}"', 1)])
    yield from _gauge(
        "workbell_jobs",
        "Jobs by status.",
        [(f'status="{name}"', count) for name, count in sorted(stats.by_status.items())],
    )
    yield from _gauge(
        "workbell_jobs_finished_last_hour",
        "Jobs that ended within the last hour.",
        [("", stats.finished_last_hour)],
    )
    yield from _gauge(
        "workbell_jobs_failed_last_hour",
        "Jobs that failed within the last hour.",
        [("", stats.failed_last_hour)],
    )
    yield from _gauge(
        "workbell_schedules_active", "Active schedules.", [("", stats.schedules_active)]
    )
    yield from _gauge(
        "workbell_queue_jobs",
        "Unfinished jobs of a queue, by state.",
        [
            (f'queue="{_escaped(queue.name)}",state="{state}"', getattr(queue, state))
            for queue in queues
            for state in ("scheduled", "held", "ready", "running")
        ],
    )


def _gauge(name: str, help_: str, samples: Sequence[tuple[str, int]]) -> Iterator[str]:
    yield f"# HELP {name} {help_}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def operations(service: Service) -> Sequence[Operation]:
    """Return the operations that anyone may call on the service itself."""
    free: dict[str, Any] = {"who": Access.ANYONE, "tag": "operations"}
    return (
        Operation(
            method="GET", path="/api/health", name="get_health",
            summary="Show whether database and cache answer.", handler=service.health,
            answers={200: HealthBody}, errors=(503,), **free,
        ),
        Operation(
            method="GET", path="/livez", name="get_liveness", summary="Answer, if alive.",
            handler=service.live, answers={200: LiveBody}, **free,
        ),
        Operation(
            method="GET", path="/readyz", name="get_readiness",
            summary="Show whether requests can be served.", handler=service.ready,
            answers={200: ReadyBody}, errors=(503,), **free,
        ),
        Operation(
            method="GET", path="/metrics", name="get_metrics",
            summary="Show counts in the Prometheus text format.", handler=service.metrics,
            media=("text/plain",), errors=(401, 403), **free,
        ),
    )  # fmt: skip
