"""Result rows, and progress reports on standard error."""

from typing import Any

import click
from attrs import Factory, frozen

Row = dict[str, Any]


def report(line: str) -> None:
    """Report progress."""
    click.echo(line, err=True)


@frozen
class FigureRows:
    """Rows with one figure each; reports have `digits` decimal places."""

    digits: int
    rows: list[Row] = Factory(list[Row])

    def add(self, what: str, figure: float, unit: str) -> None:
        """Report a figure and add its row."""
        report(f"{what}: {figure:,.{self.digits}f} {unit}")
        self.rows.append({"what": what, "figure": round(figure, 3), "unit": unit})

    def add_latency(self, what: str, p50: float, p99: float) -> None:
        """Add rows of two percentiles in ms."""
        self.add(f"{what}, p50", p50, "ms")
        self.add(f"{what}, p99", p99, "ms")
