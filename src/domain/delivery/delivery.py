"""Deliveries of an event to one destination, and their attempts."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, NewType, Self

from attrs import Factory, evolve, field, frozen

from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.event import Event, EventRowId
from workbell.domain.delivery.retry_policy import retry_delay
from workbell.domain.errors import Conflict
from workbell.domain.jobs.job import Job, JobOrigin

DeliveryId = NewType("DeliveryId", int)

SEND_TASK: Final = "delivery.send"
QUEUE: Final = "deliveries"
LOST_ATTEMPTS: Final = 100
"""How often the engine restarts a delivery whose worker died."""
SNIPPET_BYTES: Final = 4_096
GRACE_SECONDS: Final = 30
"""How long a job of a delivery may take beyond the timeout of its request."""
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Replace NUL and lone surrogates, which databases refuse, by U+FFFD."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _clean_values(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {clean_text(name): clean_text(value) for name, value in headers.items()}


class DeliveryState(IntEnum):
    """
    The state of a delivery; the numbers are stored.

    PENDING has not been attempted, RETRYING waits for the next attempt, PARKED
    waits until its destination is enabled or recovers. SENDING is never stored:
    it is a PENDING or RETRYING delivery whose job is running.
    """

    PENDING = 0
    SENDING = 1
    RETRYING = 2
    PARKED = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6

    @property
    def label(self) -> str:
        """The name in the API."""
        return self.name.lower()

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens unless a member retries the delivery."""
        return self >= DeliveryState.SUCCEEDED


UNFINISHED = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.PARKED)


@frozen(kw_only=True)
class SendResult:
    """
    The result of one HTTP request to a destination.

    `status_code` is None without a complete response head within the deadline.
    `error` is the class of a failure, such as `timeout` or `refused_address`, and
    `detail` its message. `address` is the IP address that was connected to.
    `timings` are milliseconds by phase: dns, connect, tls, first_byte, total.
    Texts of the response are cleaned by `clean_text`; its headers are by lower-case
    name.
    """

    status_code: int | None = None
    error: str | None = None
    detail: str = field(default="", converter=clean_text)
    address: str = ""
    response_headers: Mapping[str, str] = field(factory=dict[str, str], converter=_clean_values)
    snippet: str = field(default="", converter=clean_text)
    timings: Mapping[str, float] = Factory(dict[str, float])

    @property
    def is_success(self) -> bool:
        """Whether the destination has accepted the delivery."""
        return self.error is None and self.status_code is not None and self.status_code // 100 == 2

    @property
    def is_gone(self) -> bool:
        """Whether the destination wants no more deliveries (410)."""
        return self.error is None and self.status_code == 410

    @property
    def summary(self) -> str | None:
        """The failure in one line; None for a success."""
        if self.is_success:
            return None
        if self.error is None:
            return f"status {self.status_code}"
        return f"{self.error}: {self.detail}" if self.detail else self.error


@frozen(kw_only=True)
class DeliveryAttempt:
    """
    One attempt of a delivery, numbered from 1; unique per delivery and number.

    `request_headers` have their secret values masked.
    """

    delivery_id: DeliveryId
    destination_id: DestinationId
    number: int
    started_at: datetime
    duration_ms: int
    result: SendResult
    request_headers: Mapping[str, str] = Factory(dict[str, str])


@frozen(kw_only=True)
class Delivery:
    """
    One event on its way to one destination.

    `turn` increases whenever a job is created for the delivery or none is wanted
    any more; a job with an older turn does nothing. `schedule_start` is the
    number of attempts before the current retry schedule began. `slot_at` is the
    sending time reserved under the destination's rate. Tests (`is_test`) have
    one attempt and do not affect the circuit breaker.
    """

    id: DeliveryId = DeliveryId(0)
    account_id: AccountId
    event_id: EventRowId
    event_key: str
    event_type: str
    destination_id: DestinationId
    state: DeliveryState = DeliveryState.PENDING
    is_test: bool = False
    attempts: int = 0
    schedule_start: int = 0
    turn: int = 1
    next_attempt_at: datetime | None = None
    slot_at: datetime | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None

    @classmethod
    def create(
        cls, event: Event, destination: Destination, now: datetime, *, is_test: bool = False
    ) -> Self:
        """Return the delivery of an event to a destination, due now."""
        return cls(
            account_id=event.account_id,
            event_id=event.id,
            event_key=event.key,
            event_type=event.type,
            destination_id=destination.id,
            is_test=is_test,
            next_attempt_at=now,
            created_at=now,
            updated_at=now,
        )

    @property
    def job_key(self) -> str:
        """The idempotency key of the job of the current turn."""
        return job_key(self.id, self.turn)

    def job(self, destination: Destination, now: datetime) -> Job:
        """Return the job of the current turn, due at `next_attempt_at`."""
        return Job(
            task=SEND_TASK,
            parameters={"delivery": self.id, "turn": self.turn},
            due_at=self.next_attempt_at or now,
            queue=QUEUE,
            fair_key=destination.concurrency_key,
            concurrency_key=destination.concurrency_key,
            concurrency_limit=destination.concurrency,
            max_attempts=LOST_ATTEMPTS,
            timeout_seconds=destination.timeout_seconds + GRACE_SECONDS,
            origin=JobOrigin.DELIVERY,
            idempotency_key=self.job_key,
            created_at=now,
        )

    def record(
        self,
        result: SendResult,
        destination: Destination,
        now: datetime,
        variation: float,
        retry_after: float | None = None,
    ) -> "Delivery":
        """
        Return the delivery after an attempt: succeeded, failed or retrying.

        `variation` is a random number from -1 to 1 for the jitter, `retry_after`
        the seconds that the destination asked for.
        """
        counted = evolve(
            self,
            attempts=self.attempts + 1,
            turn=self.turn + 1,
            slot_at=None,
            last_status_code=result.status_code,
            last_error=result.summary,
            updated_at=now,
        )
        if result.is_success:
            return _end(counted, DeliveryState.SUCCEEDED, now)
        delay = None
        if not (self.is_test or result.is_gone):
            failures = counted.attempts - self.schedule_start
            delay = retry_delay(failures, destination.retry_delays, variation, retry_after)
        if delay is None:
            return _end(counted, DeliveryState.FAILED, now)
        at = now + timedelta(seconds=delay)
        return evolve(counted, state=DeliveryState.RETRYING, next_attempt_at=at)

    def fail(self, error: str, now: datetime) -> "Delivery":
        """Return the delivery as failed for good, without an attempt."""
        failed = evolve(self, last_error=error, turn=self.turn + 1)
        return _end(failed, DeliveryState.FAILED, now)

    def postpone(self, slot: datetime, now: datetime) -> Self:
        """Return the delivery with a reserved sending time and a new turn."""
        return evolve(self, slot_at=slot, next_attempt_at=slot, turn=self.turn + 1, updated_at=now)

    def park(self, now: datetime) -> Self:
        """Return the delivery as parked, without a job."""
        return evolve(
            self,
            state=DeliveryState.PARKED,
            turn=self.turn + 1,
            next_attempt_at=None,
            slot_at=None,
            updated_at=now,
        )

    def release(self, now: datetime) -> Self:
        """Return a parked delivery with a new turn, due now."""
        state = DeliveryState.RETRYING if self.attempts else DeliveryState.PENDING
        return evolve(self, state=state, turn=self.turn + 1, next_attempt_at=now, updated_at=now)

    def retry(self, now: datetime) -> Self:
        """
        Return the delivery due now, with the whole retry schedule again.

        Raises:
            Conflict: It is about to be sent, or waits for its first attempt.
        """
        if self.state in {DeliveryState.PENDING, DeliveryState.SENDING}:
            raise Conflict(f"The delivery is {self.state.label}.")
        return evolve(
            self.release(now), schedule_start=self.attempts, completed_at=None, slot_at=None
        )

    def cancel(self, now: datetime) -> "Delivery":
        """Return the delivery as cancelled."""
        return _end(evolve(self, turn=self.turn + 1), DeliveryState.CANCELLED, now)


def job_key(delivery_id: int, turn: int) -> str:
    """Return the idempotency key of a delivery's job."""
    return f"delivery:{delivery_id}:{turn}"


def _end(delivery: Delivery, state: DeliveryState, now: datetime) -> Delivery:
    """End a delivery, not before it was created: another process's clock may be ahead of `now`."""
    at = max(now, delivery.created_at)
    return evolve(
        delivery, state=state, next_attempt_at=None, slot_at=None, completed_at=at, updated_at=at
    )
