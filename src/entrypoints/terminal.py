"""Output of commands: tables or JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

MAX_CELL_WIDTH = 48

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show(
    rows: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    empty: str = "No rows.",
    max_width: int = MAX_CELL_WIDTH,
) -> None:
    """Print rows as JSON or as a table; `max_width` truncates cells."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    if not rows:
        click.echo(empty)
        return
    heads = list(rows[0])
    cells = [[format_cell(row[head], max_width) for head in heads] for row in rows]
    widths = [max(len(head), *(len(line[n]) for line in cells)) for n, head in enumerate(heads)]
    click.secho(
        "  ".join(h.upper().ljust(w) for h, w in zip(heads, widths, strict=True)), bold=True
    )
    for line in cells:
        click.echo("  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip())


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one row as a JSON object, or with a line per field."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(row), indent=2).decode())
        return
    width = max(map(len, row))
    for name, value in row.items():
        click.echo(f"{name.ljust(width)}  {format_cell(value, max_width=10_000)}")


def format_cell(value: Any, max_width: int = MAX_CELL_WIDTH) -> str:
    """Return a value as the text of a cell, on one line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
    flat = " ".join(text.split())
    return flat if len(flat) <= max_width else flat[: max_width - 1] + "…"
