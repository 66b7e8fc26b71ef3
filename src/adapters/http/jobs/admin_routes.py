"""Task definitions, queues, workers and job statistics over HTTP."""

from collections.abc import Sequence

from attrs import frozen

from workbell.adapters.http.jobs.views import (
    DefinitionBody,
    QueueBody,
    StatsBody,
    WorkerBody,
    definition_body,
)
from workbell.adapters.http.web.mapping import copy_fields
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
from workbell.domain.jobs.task import TaskDefinition, TaskId
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.task_definitions import TaskDefinitionService

TASKS = "/api/v1/task-definitions"
QUEUE = "/api/v1/queues/{name}"
STATES = {"pause": "paused", "resume": "running", "drain": "draining"}
SWITCH_SUMMARIES = {
    "pause": "Pause a queue: workers start no more of its jobs.",
    "resume": "Resume a paused or draining queue.",
    "drain": "Drain a queue: running jobs finish, then the queue is paused.",
}


@frozen(kw_only=True)
class TaskSwitchBody:
    """Whether the task is active; waiting jobs of an inactive task are held."""

    is_active: bool


@frozen(kw_only=True)
class JobAdminRoutes:
    """Task definitions, queues, workers and job statistics."""

    jobs: JobService
    definitions: TaskDefinitionService

    def list_definitions(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the task definitions."""
        found = self.definitions.all()
        held = self.definitions.count_held([task.key for task in found])
        bodies = [definition_body(task, held[task.key]) for task in found]
        return single_page(request, bodies)

    def definition(self, request: ApiRequest) -> ApiResponse:
        """Return one task definition."""
        return self._respond(self.definitions.get(_task_id(request)))

    def switch(self, request: ApiRequest[TaskSwitchBody]) -> ApiResponse:
        """Activate or deactivate a task."""
        task_id, active = _task_id(request), request.body.is_active
        changed = self.definitions.set_active(request.actor, task_id, active=active)
        return self._respond(changed)

    def _respond(self, task: TaskDefinition) -> ApiResponse:
        held = self.definitions.count_held([task.key])
        return ApiResponse(body=definition_body(task, held[task.key]))

    def list_queues(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the queues."""
        bodies = [copy_fields(QueueBody, queue) for queue in self.jobs.queues()]
        return single_page(request, bodies)

    def make_queue_switch(self, state: str) -> Handler:
        """Return a handler that sets the state of a queue."""
        return lambda request: ApiResponse(
            body=copy_fields(
                QueueBody, self.jobs.switch_queue(request.actor, request.names["name"], state)
            )
        )

    def list_workers(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the worker processes."""
        bodies = [copy_fields(WorkerBody, worker) for worker in self.jobs.workers(request.actor)]
        return single_page(request, bodies)

    def stats(self, request: ApiRequest) -> ApiResponse:
        """Return statistics of the caller's jobs."""
        return ApiResponse(body=copy_fields(StatsBody, self.jobs.stats(request.actor)))


def _task_id(request: ApiRequest) -> TaskId:
    return TaskId(request.ids["task_definition_id"])


def operations(routes: JobAdminRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on tasks, queues and workers."""
    one = TASKS + "/{task_definition_id}"
    switches = [
        Operation(
            method="POST", path=f"{QUEUE}/{word}", name=f"{word}_queue",
            summary=SWITCH_SUMMARIES[word], handler=routes.make_queue_switch(state),
            responses={200: QueueBody}, access=Access.SUPERUSER, tag="queues",
        )
        for word, state in STATES.items()
    ]  # fmt: skip
    return (
        Operation(
            method="GET", path=TASKS, name="list_task_definitions",
            summary="List task definitions.", handler=routes.list_definitions,
            query=PageQuery, responses={200: ListOf(DefinitionBody)}, errors=(404,), tag="tasks",
        ),
        Operation(
            method="GET", path=one, name="get_task_definition", summary="Get a task definition.",
            handler=routes.definition, responses={200: DefinitionBody}, tag="tasks",
        ),
        Operation(
            method="PATCH", path=one, name="switch_task_definition",
            summary="Activate or deactivate a task; jobs of an inactive task are held.",
            handler=routes.switch, request=TaskSwitchBody, exists=routes.definition,
            responses={200: DefinitionBody}, access=Access.SUPERUSER, tag="tasks",
        ),
        Operation(
            method="GET", path="/api/v1/queues", name="list_queues", summary="List queues.",
            handler=routes.list_queues, query=PageQuery, responses={200: ListOf(QueueBody)},
            errors=(404,), tag="queues",
        ),
        *switches,
        Operation(
            method="GET", path="/api/v1/workers", name="list_workers",
            summary="List worker processes.", handler=routes.list_workers,
            query=PageQuery, responses={200: ListOf(WorkerBody)}, errors=(404,),
            access=Access.SUPERUSER, tag="queues",
        ),
        Operation(
            method="GET", path="/api/v1/stats/jobs", name="get_job_stats",
            summary="Get statistics of the current user's jobs and schedules.",
            handler=routes.stats, responses={200: StatsBody}, tag="jobs",
        ),
    )  # fmt: skip
