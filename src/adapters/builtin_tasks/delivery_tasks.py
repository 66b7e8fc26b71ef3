"""Internal tasks of delivery; the service itself enqueues their jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from workbell.domain.delivery.delivery import LOST_ATTEMPTS, QUEUE, SEND_TASK, DeliveryId
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.jobs.task import Body, ResultForHook, Task, TaskContext
from workbell.services.delivery.cancellation import DeliveryCancellation
from workbell.services.delivery.jobs import (
    CANCEL_TASK,
    CLOSE_TASK,
    RELEASE_TASK,
    REPLAY_TASK,
    TIMEOUT_SECONDS,
)
from workbell.services.delivery.release import ParkedDeliveries
from workbell.services.delivery.replay import ReplayService
from workbell.services.delivery.send import SendService


@frozen(kw_only=True)
class SendParameters:
    """A delivery, and the turn of it that the job is for."""

    delivery: int
    turn: int


@frozen(kw_only=True)
class CloseParameters(SendParameters):
    """Also why it has failed; null if it is cancelled."""

    error: str | None


@frozen(kw_only=True)
class DestinationParameters:
    """A destination."""

    destination: int


@frozen(kw_only=True)
class ReplayParameters(DestinationParameters):
    """A destination and a period, its ends included."""

    since: datetime
    until: datetime


@frozen(kw_only=True)
class DeliveryTasks:
    """The tasks that send, release, replay and cancel deliveries."""

    sending: SendService
    parked: ParkedDeliveries
    replays: ReplayService
    cancellation: DeliveryCancellation

    def send(
        self, context: TaskContext, parameters: SendParameters
    ) -> dict[str, Any] | ResultForHook:
        """Make one attempt of a delivery; a hook records its result."""
        sent = self.sending.send(DeliveryId(parameters.delivery), parameters.turn, context)
        if sent is None:
            return {"sent": False}
        return ResultForHook({"sent": True, "error": sent.result.summary}, sent)

    def release(self, context: TaskContext, parameters: DestinationParameters) -> dict[str, Any]:
        """Release parked deliveries of a destination."""
        destination_id = DestinationId(parameters.destination)
        return {"released": self.parked.release(destination_id, context)}

    def cancel(self, context: TaskContext, parameters: DestinationParameters) -> dict[str, Any]:
        """Cancel the unfinished deliveries of a deleted destination."""
        destination_id = DestinationId(parameters.destination)
        return {"cancelled": self.cancellation.cancel_all(destination_id, context)}

    def replay(self, context: TaskContext, parameters: ReplayParameters) -> dict[str, Any]:
        """Replay the failed and parked deliveries of a period."""
        destination_id = DestinationId(parameters.destination)
        replayed = self.replays.run(destination_id, parameters.since, parameters.until, context)
        return {"replayed": replayed}

    def close(self, _: TaskContext, parameters: CloseParameters) -> dict[str, Any]:
        """Close a delivery whose job ended without a result."""
        delivery_id = DeliveryId(parameters.delivery)
        return {"closed": self.cancellation.close(delivery_id, parameters.turn, parameters.error)}

    def tasks(self) -> Sequence[Task]:
        """Return the tasks; deliveries depend on the jobs that cannot be cancelled."""
        fixed: dict[str, Any] = {"is_cancellable": False}
        of_destination = DestinationParameters
        return (
            _task(SEND_TASK, "Send Delivery", SendParameters, self.send),
            _task(RELEASE_TASK, "Release Deliveries", of_destination, self.release, **fixed),
            _task(CANCEL_TASK, "Cancel Deliveries", of_destination, self.cancel, **fixed),
            _task(REPLAY_TASK, "Replay Deliveries", ReplayParameters, self.replay),
            _task(CLOSE_TASK, "Close Delivery", CloseParameters, self.close, **fixed),
        )


def _task(key: str, name: str, parameters: type, body: Body, **fields: Any) -> Task:
    return Task(
        key=key,
        name=name,
        parameters=parameters,
        body=body,
        queue=QUEUE,
        max_attempts=LOST_ATTEMPTS,
        timeout_seconds=TIMEOUT_SECONDS,
        is_internal=True,
        **fields,
    )
