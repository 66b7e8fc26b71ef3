"""A task context that records its calls."""

from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from attrs import Factory, frozen

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.task import Cancelled

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@frozen
class RecordedLog:
    lines: list[tuple[str, str, dict[str, object]]] = Factory(list)

    def debug(self, event: str, **values: object) -> None:
        self.lines.append(("debug", event, values))

    def info(self, event: str, **values: object) -> None:
        self.lines.append(("info", event, values))

    def warning(self, event: str, **values: object) -> None:
        self.lines.append(("warning", event, values))

    def error(self, event: str, **values: object) -> None:
        self.lines.append(("error", event, values))


@frozen(kw_only=True)
class RecordedContext:
    """A fake context; it is cancelled after `checks_left` checks."""

    job_id: int = 7
    attempt: int = 1
    owner: UserId = SYSTEM_ID
    schedule_id: int | None = None
    tick: datetime | None = None
    idempotency_key: str = "job-7"
    time: datetime = NOON
    log: RecordedLog = Factory(RecordedLog)
    notes: list[tuple[float, float | None, str]] = Factory(list)
    files: dict[str, bytes] = Factory(dict)
    checks_left: list[int] = Factory(lambda: [1_000_000])

    def now(self) -> datetime:
        return self.time

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        self.notes.append((done, total, note))

    def check(self) -> None:
        self.checks_left[0] -= 1
        if self.checks_left[0] < 0:
            raise Cancelled

    def artifact(
        self,
        name: str,
        source: BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
    ) -> None:
        assert isinstance(source, bytes)
        assert media_type
        self.files[name] = source
