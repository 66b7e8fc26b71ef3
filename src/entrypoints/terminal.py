"""Output of commands: a table for people, JSON for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

WIDEST = 48


def show(
    rows: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    empty: str = "There is nothing to show.",
    widest: int = WIDEST,
) -> None:
    """Print rows: as a JSON array, or as a table with a head and cells that are cut where too wide."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    if not rows:
        click.echo(empty)
        return
    heads = list(rows[0])
    cells = [[_text(row[head], widest) for head in heads] for row in rows]
    widths = [max(len(head), *(len(line[n]) for line in cells)) for n, head in enumerate(heads)]
    click.secho(
        "  ".join(h.upper().ljust(w) for h, w in zip(heads, widths, strict=True)), bold=True
    )
    for line in cells:
        click.echo("  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip())


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: as a JSON object, or a line for each of its fields."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(row), indent=2).decode())
        return
    width = max(map(len, row))
    for name, value in row.items():
        click.echo(f"{name.ljust(width)}  {_text(value, widest=10_000)}")


def _text(value: Any, widest: int = WIDEST) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
    flat = " ".join(text.split())
    return flat if len(flat) <= widest else flat[: widest - 1] + "…"
