"""Messages between a worker and its child processes."""

from datetime import datetime
from typing import Any, Final

from msgspec import Struct

MAX_FRAME_BYTES: Final = 1024 * 1024


class JobFrame(Struct, tag="job"):
    """
    To the child: run a body.

    `code` is the pickled pair of body and parameter class. `now` is the time of the
    store at `monotonic`, which all processes of a machine share.
    """

    id: int
    attempt: int
    owner: int
    schedule_id: int | None
    tick: datetime | None
    now: datetime
    monotonic: float
    code: bytes
    parameters: bytes
    memory_mib: int
    cpu_seconds: int | None
    folder: str


class StopFrame(Struct, tag="stop"):
    """To the child, before SIGUSR1: the name of the exception to raise."""

    why: str


class FailureFrame(Struct, tag="failure"):
    """
    An error: of the body, or of storing an artifact.

    With `is_last` the child runs no further job.
    """

    kind: str
    text: str = ""
    name: str = ""
    seconds: float | None = None
    traceback: str = ""
    is_last: bool = False


class StoredFrame(Struct, tag="stored"):
    """To the child: an artifact was stored, or why not."""

    failure: FailureFrame | None = None


class ProgressFrame(Struct, tag="progress"):
    """To the worker: the progress of the body."""

    done: int | float
    total: int | float | None
    note: str


class LogFrame(Struct, tag="log"):
    """To the worker: a line of the attempt's log."""

    level: str
    event: str
    values: dict[str, Any]


class ArtifactFrame(Struct, tag="artifact"):
    """To the worker: store a file, and answer with `StoredFrame`."""

    name: str
    media_type: str
    path: str


class ResultFrame(Struct, tag="result"):
    """To the worker: the body has returned this JSON text."""

    value: bytes


FromWorker = JobFrame | StopFrame | StoredFrame
FromChild = ProgressFrame | LogFrame | ArtifactFrame | ResultFrame | FailureFrame
