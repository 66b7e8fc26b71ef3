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
    Answer,
    AnyOperation,
    Call,
    Handler,
    Many,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, whole
from workbell.domain.jobs.task import TaskId
from workbell.services.jobs.commands import JobCommands
from workbell.services.jobs.task_definitions import Definitions

TASKS = "/api/v1/task-definitions"
QUEUE = "/api/v1/queues/{name}"
STATES = {"pause": "paused", "resume": "running", "drain": "draining"}


@frozen(kw_only=True)
class SwitchBody:
    """Whether a task may be run; waiting jobs of an inactive one are held."""

    is_active: bool


@frozen(kw_only=True)
class Work:
    """Task definitions, queues, workers and counts."""

    jobs: JobCommands
    definitions: Definitions

    def list_definitions(self, call: Call[object, PageQuery]) -> Answer:
        """Return a page of the tasks that can be scheduled."""
        found = [definition_body(one) for one in self.definitions.all()]
        return whole(call, found, call.query.page, call.query.page_size)

    def definition(self, call: Call) -> Answer:
        """Return one task that can be scheduled."""
        return Answer(body=definition_body(self.definitions.get(_task(call))))

    def exists(self, call: Call) -> object:
        """Look for the task, before anything that was sent is judged."""
        return self.definitions.get(_task(call))

    def switch(self, call: Call[SwitchBody]) -> Answer:
        """Switch a task on or off."""
        asked = call.body
        changed = self.definitions.set_active(call.actor, _task(call), active=asked.is_active)
        return Answer(body=definition_body(changed))

    def list_queues(self, call: Call[object, PageQuery]) -> Answer:
        """Return a page of the queues."""
        found = [queue_body(queue) for queue in self.jobs.queues()]
        return whole(call, found, call.query.page, call.query.page_size)

    def switch_queue(self, state: str) -> Handler:
        """Return the handler that sets a queue's switch."""
        return lambda call: Answer(
            body=queue_body(self.jobs.switch_queue(call.actor, call.names["name"], state))
        )

    def list_workers(self, call: Call[object, PageQuery]) -> Answer:
        """Return a page of the processes that run jobs."""
        found = [worker_body(worker) for worker in self.jobs.workers(call.actor)]
        return whole(call, found, call.query.page, call.query.page_size)

    def stats(self, call: Call) -> Answer:
        """Return counts of the caller's jobs."""
        return Answer(body=stats_body(self.jobs.stats(call.actor)))


def _task(call: Call) -> TaskId:
    return TaskId(call.ids["task_definition_id"])


def operations(work: Work) -> Sequence[AnyOperation]:
    """Return the canonical operations on what work runs on."""
    return (*_of_definitions(work), *_of_queues(work))


def _of_definitions(work: Work) -> Sequence[AnyOperation]:
    one = TASKS + "/{task_definition_id}"
    return (
        Operation(
            method="GET", path=TASKS, name="list_task_definitions",
            summary="List the tasks that can be scheduled.", handler=work.list_definitions,
            query=PageQuery, answers={200: Many(DefinitionBody)}, errors=(404,), tag="tasks",
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


def _of_queues(work: Work) -> Sequence[AnyOperation]:
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
            handler=work.list_queues, query=PageQuery, answers={200: Many(QueueBody)},
            errors=(404,), tag="queues",
        ),
        *switches,
        Operation(
            method="GET", path="/api/v1/workers", name="list_workers",
            summary="List the processes that run jobs.", handler=work.list_workers,
            query=PageQuery, answers={200: Many(WorkerBody)}, errors=(404,),
            who=Access.SUPERUSER, tag="queues",
        ),
        Operation(
            method="GET", path="/api/v1/stats/jobs", name="get_job_stats",
            summary="Count the caller's jobs by status.", handler=work.stats,
            answers={200: StatsBody}, tag="jobs",
        ),
    )  # fmt: skip
