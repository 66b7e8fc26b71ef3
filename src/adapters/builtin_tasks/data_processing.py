"""Data Processing: figures of a file's columns, or of made-up rows."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from attrs import define, field, frozen

from workbell.adapters.builtin_tasks.allowed_folders import Folders
from workbell.adapters.builtin_tasks.column_statistics import Groups, Numbers, Texts, number_of
from workbell.adapters.builtin_tasks.datasets import (
    MAX_COLUMNS,
    Batch,
    DataSet,
    SyntheticDataSet,
    file_kind,
)
from workbell.adapters.serialization.csv_text import escape_formula
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.task import Task, TaskContext

Operation = Literal["describe", "count", "sum", "min", "max", "mean"]

MAX_SIZE = 10_000_000
MAX_RESULT = 60_000
MAX_GROUPED = 3
GROUPS_SHOWN = 10


@frozen(kw_only=True)
class DataProcessing:
    """What to process, and how far."""

    dataset_size: Annotated[
        int,
        Constraints(
            ge=1,
            le=MAX_SIZE,
            description="How many rows to make up where there is no source.",
            example=1000,
        ),
    ] = 1000
    processing_type: Annotated[
        Literal["simple", "complex"],
        Constraints(
            description="simple: counts and sums; complex: also the distribution and groups."
        ),
    ] = "simple"
    source: Annotated[
        str | None,
        Constraints(
            max_length=1000,
            description="A CSV or JSON Lines file in an input folder.",
            example="sales.csv",
        ),
    ] = None
    columns: Annotated[
        Sequence[Annotated[str, Constraints(max_length=100)]] | None,
        Constraints(min_length=1, max_length=MAX_COLUMNS, description="Only these columns."),
    ] = None
    operation: Annotated[
        Operation, Constraints(description="Only this figure, or all of them.")
    ] = "describe"


@define
class Summary:
    """The figures of every column of a data set, as its batches come by."""

    complex: bool
    chosen: Sequence[str] | None = None
    columns: dict[str, Numbers | Texts] = field(factory=dict[str, "Numbers | Texts"])
    groups: list[Groups] = field(factory=list[Groups])
    rows: int = 0

    def add(self, batch: Batch) -> None:
        """
        Take one more batch; the first decides which columns are numeric.

        Raises:
            Invalid: A chosen column is not there.
        """
        cells = dict(zip(batch.names, batch.columns, strict=True))
        if not self.columns:
            self._begin(cells)
        for name, column in self.columns.items():
            column.add(cells[name])
        for group in self.groups:
            group.add(cells[group.by], cells[group.of])
        self.rows += batch.rows

    def _begin(self, cells: Mapping[str, Sequence[object]]) -> None:
        names = list(cells) if self.chosen is None else list(dict.fromkeys(self.chosen))
        if unknown := [name for name in names if name not in cells]:
            raise Invalid.field("columns", f"The source has no column {unknown[0]!r}.")
        for name in names:
            self.columns[name] = Numbers() if _is_numeric(cells[name]) else Texts()
        if self.complex and (first := self.first_numeric()) is not None:
            texts = [name for name, column in self.columns.items() if isinstance(column, Texts)]
            self.groups = [Groups(name, first) for name in texts[:MAX_GROUPED]]

    def first_numeric(self) -> str | None:
        """Return the name of the first numeric column, if there is one."""
        numeric = (name for name, column in self.columns.items() if isinstance(column, Numbers))
        return next(numeric, None)

    def statistics(self, operation: Operation, groups_shown: int) -> dict[str, Any]:
        """Return the figures: the first numeric column's at the top, the others below."""
        found = {name: self._figures(column, operation) for name, column in self.columns.items()}
        first = self.first_numeric()
        top = {"column": first, **found.pop(first)} if first is not None else {"count": self.rows}
        grouped = [group.figures(groups_shown) for group in self.groups]
        return {
            **top,
            **({"columns": found} if found else {}),
            **({"group_by": grouped} if grouped and operation == "describe" else {}),
        }

    def _figures(self, column: Numbers | Texts, operation: Operation) -> dict[str, Any]:
        figures = column.complex() if self.complex else column.simple()
        if operation == "describe":
            return figures
        if operation == "mean" and isinstance(column, Numbers) and column.count:
            figures["mean"] = column.mean
        return {name: figures[name] for name in ("count", operation) if name in figures}


def _is_numeric(cells: Sequence[object]) -> bool:
    full = [cell for cell in cells if cell is not None and cell != ""]
    return bool(full) and all(number_of(cell) is not None for cell in full)


@frozen
class DataProcessor:
    """Processes files of the input folders."""

    sources: Folders

    def check(self, _: Actor, parameters: DataProcessing) -> None:
        """
        Refuse a source outside the input folders, or of an unknown kind.

        Raises:
            Invalid: It is one of these.
        """
        self._data(parameters)

    def run(self, context: TaskContext, parameters: DataProcessing) -> dict[str, Any]:
        """
        Process all rows, and keep the whole result as two artifacts.

        Raises:
            Invalid: The source cannot be read, or lacks a column.
            NotFound: There is no such source.
            Interrupted: The job was stopped between two batches.
        """
        data = self._data(parameters)
        summary = Summary(parameters.processing_type == "complex", parameters.columns)
        for batch in data.batches():
            summary.add(batch)
            context.progress(batch.done, batch.total, f"{summary.rows:,} rows")
            context.check()
        statistics = summary.statistics(parameters.operation, groups_shown=1000)
        result = {
            "processed_records": summary.rows,
            "processing_type": parameters.processing_type,
            "statistics": statistics,
            **({"irregular_records": data.irregular} if data.irregular else {}),
        }
        whole = json.dumps(result, indent=2, ensure_ascii=False).encode()
        context.artifact("statistics.json", whole, "application/json")
        context.artifact("statistics.csv", _table(statistics), "text/csv")
        context.log.info("processed", records=summary.rows, columns=len(summary.columns))
        return _shortened(result, summary, parameters.operation)

    def task(self) -> Task:
        """Return the task."""
        return Task(
            key="data.process",
            name="Data Processing",
            description="Computes figures of a CSV or JSON Lines file, or of made-up rows.",
            parameters=DataProcessing,
            body=self.run,
            check=self.check,
            timeout_seconds=3600,
        )

    def _data(self, parameters: DataProcessing) -> DataSet:
        if parameters.source is None:
            return SyntheticDataSet(parameters.dataset_size)
        path = self.sources.inside(parameters.source, "source")
        return file_kind(path)(path)


def _shortened(result: dict[str, Any], summary: Summary, operation: Operation) -> dict[str, Any]:
    """Return the result with as much detail as a job's row may hold."""
    for groups_shown in (GROUPS_SHOWN, 0):
        statistics = summary.statistics(operation, groups_shown)
        if len(json.dumps(statistics)) <= MAX_RESULT:
            return result | {"statistics": statistics}
    first = summary.statistics(operation, 0)
    kept = {name: value for name, value in first.items() if name not in {"columns", "group_by"}}
    return result | {"statistics": kept | {"columns_in": "statistics.json"}}


def _table(statistics: Mapping[str, Any]) -> bytes:
    """Return the figures as CSV, one row per column of the data."""
    others = {name: found for name, found in statistics.items() if name != "columns"}
    rows = {str(statistics.get("column") or "rows"): others, **statistics.get("columns", {})}
    plain = {
        name: {key: value for key, value in row.items() if isinstance(value, int | float)}
        for name, row in rows.items()
    }
    names = list(dict.fromkeys(key for row in plain.values() for key in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["column", *names])
    for name, row in plain.items():
        shown = escape_formula(name)
        writer.writerow([shown, *(row.get(key, "") for key in names)])
    return text.getvalue().encode()
