"""Output of the attempts of a job."""

from collections.abc import Mapping
from typing import Any

import click

from workbell.domain.jobs.attempt import Attempt, to_seconds
from workbell.entrypoints.terminal import format_cell
from workbell.ports.serialization import Serializer

_SHOWN_APART = ("job_id", "number", "outcome", "error", "traceback")


def attempt_row(attempt: Attempt, serializer: Serializer) -> dict[str, Any]:
    """Return the fields of an attempt as JSON values, with its times in seconds."""
    return {
        **serializer.unstructure(attempt),
        "queue_wait_seconds": to_seconds(attempt.queue_wait),
        "duration_seconds": to_seconds(attempt.duration),
    }


def show_attempt(row: Mapping[str, Any]) -> None:
    """Print an attempt: its outcome, a line per field, and where it failed."""
    click.secho(f"attempt {row['number']}: {row['outcome'] or 'running'}", bold=True)
    fields = {name: value for name, value in row.items() if name not in _SHOWN_APART}
    width = max(map(len, fields))
    for name, value in fields.items():
        click.echo(f"  {name.ljust(width)}  {format_cell(value)}")
    for line in _printable(row["traceback"] or row["error"] or "").splitlines():
        click.echo(f"  {line}")


def _printable(text: str) -> str:
    """Replace control characters, which a terminal would execute."""
    return "".join(each if each.isprintable() or each in "\n\t" else "?" for each in text)
