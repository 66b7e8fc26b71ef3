"""Events that accounts receive, their types and their identity."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Final, NewType

from attrs import field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.delivery.account import AccountId
from workbell.domain.errors import Conflict, Invalid
from workbell.domain.identity.user import SYSTEM_ID, UserId

EventRowId = NewType("EventRowId", int)

MAX_DATA_BYTES: Final = 256 * 1024
MAX_BATCH: Final = 100
INCOMING_DATA: Final = "incoming_data"
"""The type of events that are posted without one (DataManager)."""
OPERATIONAL_PREFIX: Final = "workbell."
"""Types of events about the deliveries themselves."""

_KEY: Final = Constraints(
    pattern=r"[A-Za-z0-9_:-]{1,128}",
    hint="must be 1 to 128 letters, digits, underscores, colons or hyphens",
    example="evt_2f1d",
)
_TYPE: Final = Constraints(
    pattern=r"(?!workbell\.)[a-z0-9_.-]{1,128}",
    hint=(
        "must be 1 to 128 lower-case letters, digits, dots, underscores or hyphens, "
        "and must not begin with workbell."
    ),
    example="order.paid",
)
EventKey = Annotated[str, _KEY]
EventType = Annotated[str, _TYPE]
_TOO_LARGE: Final = f"must have at most {MAX_DATA_BYTES:,} bytes"
_PATTERN: Final = re.compile(r"\*|[a-z0-9_.-]{1,128}|[a-z0-9_.-]{1,126}\.\*")


@frozen(kw_only=True)
class Event:
    """
    Data that an account received, stored as the exact bytes.

    `key` identifies the event within its account, and is the `webhook-id` that
    destinations get. `fingerprint` hashes the type and the JSON value. The data
    is None once it has been purged.
    """

    id: EventRowId = EventRowId(0)
    account_id: AccountId
    key: str
    type: str
    data: bytes | None = field(repr=False)
    fingerprint: str
    created_by: UserId = SYSTEM_ID
    created_at: datetime

    def check_same(self, fingerprint: str) -> None:
        """
        Check that a repeated event has the same type and data.

        Raises:
            Conflict: It is another event with the same id.
        """
        if fingerprint != self.fingerprint:
            raise Conflict(f"The event {self.key!r} exists with another type or data.")


def make_fingerprint(event_type: str, value: Any) -> str:
    """Return the hash of an event's type and JSON value; 1 and 1.0 are equal."""
    canonical = json.dumps(
        [event_type, _normalise(value)], sort_keys=True, ensure_ascii=True, separators=(",", ":")
    )
    return sha256(canonical.encode()).hexdigest()


def _normalise(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _normalise(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_normalise(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def event_problems(key: str | None, event_type: str, data: bytes) -> dict[str, list[str]]:
    """Return what is wrong with an event before it is stored, by field."""
    problems = {
        "event_id": [] if key is None else list(_KEY.problems(key)),
        "event_type": list(_TYPE.problems(event_type)),
        "data": [_TOO_LARGE] if len(data) > MAX_DATA_BYTES else [],
    }
    return {name: found for name, found in problems.items() if found}


def check_data_size(data: bytes, path: str = "data") -> None:
    """Raise Invalid if the data of an event is too large."""
    if len(data) > MAX_DATA_BYTES:
        raise Invalid.field(path, _TOO_LARGE)


def check_type_patterns(patterns: Sequence[str]) -> None:
    """
    Check the event types that a destination asks for.

    Raises:
        Invalid: A pattern is neither a type, nor a prefix such as `order.*`, nor `*`.
    """
    for n, pattern in enumerate(patterns):
        if not _PATTERN.fullmatch(pattern):
            message = "must be an event type, a prefix such as order.*, or *"
            raise Invalid.field(f"event_types.{n}", message)


def matches_type(patterns: Sequence[str], event_type: str) -> bool:
    """
    Whether a destination with these patterns gets events of a type.

    No patterns at all mean every type but operational ones, as `*` does.
    """
    is_operational = event_type.startswith(OPERATIONAL_PREFIX)
    return any(
        (not is_operational if pattern == "*" else _matches(pattern, event_type))
        for pattern in patterns or ("*",)
    )


def _matches(pattern: str, event_type: str) -> bool:
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return event_type == pattern
