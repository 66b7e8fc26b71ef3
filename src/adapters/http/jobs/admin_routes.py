"""What work runs on, over HTTP: task definitions, queues, workers, counts."""

from collections.abc import Sequence

from attrs import frozen

from workbell.adapters.http.jobs.views import (
    DefinitionBody,
    QueueBody,
    StatsBody,
    WorkerBody,
    definition_body,
    queue_body,
    stats_body,
    worker_body,
)
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Handler,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, single_page
from workbell.domain.jobs.task import TaskId
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.task_definitions import TaskDefinitionService

TASKS = "/api/v1/task-definitions"
QUEUE = "/api/v1/queues/{name}"
STATES = {"pause": "paused", "resume": "running", "drain": "draining"}


@frozen(kw_only=True)
class SwitchBody:
    """Whether a task may be run; waiting jobs of an inactive one are held."""

    is_active: bool


@frozen(kw_only=True)
class JobAdminRoutes:
    """Task definitions, queues, workers and counts."""

    jobs: JobService
    definitions: TaskDefinitionService

    def list_definitions(self, call: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the tasks that can be scheduled."""
        found = [definition_body(one) for one in self.definitions.all()]
        return single_page(call, found, call.query.page, call.query.page_size)

    def definition(self, call: ApiRequest) -> ApiResponse:
        """Return one task that can be scheduled."""
        return ApiResponse(body=definition_body(self.definitions.get(_task(call))))

    def exists(self, call: ApiRequest) -> object:
        """Look for the task, before anything that was sent is judged."""
        return self.definitions.get(_task(call))

    def switch(self, call: ApiRequest[SwitchBody]) -> ApiResponse:
        """Switch a task on or off."""
        asked = call.body
        changed = self.definitions.set_active(call.actor, _task(call), active=asked.is_active)
        return ApiResponse(body=definition_body(changed))

    def list_queues(self, call: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the queues."""
        found = [queue_body(queue) for queue in self.jobs.queues()]
        return single_page(call, found, call.query.page, call.query.page_size)

    def switch_queue(self, state: str) -> Handler:
        """Return the handler that sets a queue's switch."""
        return lambda call: ApiResponse(
            body=queue_body(self.jobs.switch_queue(call.actor, call.names["name"], state))
        )

    def list_workers(self, call: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the processes that run jobs."""
        found = [worker_body(worker) for worker in self.jobs.workers(call.actor)]
        return single_page(call, found, call.query.page, call.query.page_size)

    def stats(self, call: ApiRequest) -> ApiResponse:
        """Return counts of the caller's jobs."""
        return ApiResponse(body=stats_body(self.jobs.stats(call.actor)))


def _task(call: ApiRequest) -> TaskId:
    return TaskId(call.ids["task_definition_id"])


def operations(work: JobAdminRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on what work runs on."""
    return (*_of_definitions(work), *_of_queues(work))


def _of_definitions(work: JobAdminRoutes) -> Sequence[AnyOperation]:
    one = TASKS + "/{task_definition_id}"
    return (
        Operation(
            method="GET", path=TASKS, name="list_task_definitions",
            summary="List the tasks that can be scheduled.", handler=work.list_definitions,
            query=PageQuery, answers={200: ListOf(DefinitionBody)}, errors=(404,), tag="tasks",
        ),
        Operation(
            method="GET", path=one, name="get_task_definition", summary="Show a task.",
            handler=work.definition, answers={200: DefinitionBody}, tag="tasks",
        ),
        Operation(
            method="PATCH", path=one, name="switch_task_definition",
            summary="Switch a task on or off.", handler=work.switch, request=SwitchBody,
            exists=work.exists, answers={200: DefinitionBody}, who=Access.SUPERUSER, tag="tasks",
        ),
    )  # fmt: skip


def _of_queues(work: JobAdminRoutes) -> Sequence[AnyOperation]:
    switches = [
        Operation(
            method="POST", path=f"{QUEUE}/{word}", name=f"{word}_queue",
            summary=f"{word.capitalize()} a queue.", handler=work.switch_queue(state),
            answers={200: QueueBody}, who=Access.SUPERUSER, tag="queues",
        )
        for word, state in STATES.items()
    ]  # fmt: skip
    return (
        Operation(
            method="GET", path="/api/v1/queues", name="list_queues", summary="List the queues.",
            handler=work.list_queues, query=PageQuery, answers={200: ListOf(QueueBody)},
            errors=(404,), tag="queues",
        ),
        *switches,
        Operation(
            method="GET", path="/api/v1/workers", name="list_workers",
            summary="List the processes that run jobs.", handler=work.list_workers,
            query=PageQuery, answers={200: ListOf(WorkerBody)}, errors=(404,),
            who=Access.SUPERUSER, tag="queues",
        ),
        Operation(
            method="GET", path="/api/v1/stats/jobs", name="get_job_stats",
            summary="Count the caller's jobs by status.", handler=work.stats,
            answers={200: StatsBody}, tag="jobs",
        ),
    )  # fmt: skip
