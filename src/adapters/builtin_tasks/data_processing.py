"""Data Processing: statistics of a file's columns, or of synthetic rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from attrs import define, field, frozen

from workbell.adapters.builtin_tasks.allowed_folders import Folders
from workbell.adapters.builtin_tasks.column_statistics import (
    ColumnGroups,
    NumericColumn,
    TextColumn,
    parse_number,
)
from workbell.adapters.builtin_tasks.datasets import (
    MAX_COLUMNS,
    Batch,
    DataSet,
    SyntheticDataSet,
    open_file,
)
from workbell.adapters.serialization.csv_text import to_csv
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.task import Isolation, Task, TaskContext

Operation = Literal["describe", "count", "sum", "min", "max", "mean"]

MAX_SIZE = 10_000_000
MAX_RESULT = 60_000
MAX_GROUPED = 3
GROUPS_SHOWN = 10


@frozen(kw_only=True)
class DataProcessing:
    """Parameters of Data Processing."""

    dataset_size: Annotated[
        int,
        Constraints(
            ge=1,
            le=MAX_SIZE,
            description="Number of synthetic rows if there is no source.",
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
    operation: Annotated[Operation, Constraints(description="One statistic, or all of them.")] = (
        "describe"
    )


@define
class Summary:
    """Streaming statistics of all columns of a data set."""

    complex: bool
    chosen: Sequence[str] | None = None
    columns: dict[str, NumericColumn | TextColumn] = field(
        factory=dict[str, "NumericColumn | TextColumn"]
    )
    groups: list[ColumnGroups] = field(factory=list[ColumnGroups])
    rows: int = 0

    def add(self, batch: Batch) -> None:
        """
        Add a batch; the first one determines which columns are numeric.

        Raises:
            Invalid: A chosen column does not exist.
        """
        cells = dict(zip(batch.names, batch.columns, strict=True))
        if not self.columns:
            self._create_columns(cells)
        for name, column in self.columns.items():
            column.add(cells[name])
        for group in self.groups:
            group.add(cells[group.by], cells[group.of])
        self.rows += batch.rows

    def _create_columns(self, cells: Mapping[str, Sequence[object]]) -> None:
        names = list(cells) if self.chosen is None else list(dict.fromkeys(self.chosen))
        if unknown := [name for name in names if name not in cells]:
            raise Invalid.field("columns", f"The source has no column {unknown[0]!r}.")
        for name in names:
            self.columns[name] = NumericColumn() if _is_numeric(cells[name]) else TextColumn()
        if self.complex and (first := self.first_numeric()) is not None:
            texts = [
                name for name, column in self.columns.items() if isinstance(column, TextColumn)
            ]
            self.groups = [ColumnGroups(name, first) for name in texts[:MAX_GROUPED]]

    def first_numeric(self) -> str | None:
        """Return the name of the first numeric column, or None."""
        numeric = (
            name for name, column in self.columns.items() if isinstance(column, NumericColumn)
        )
        return next(numeric, None)

    def statistics(self, operation: Operation, groups_shown: int) -> dict[str, Any]:
        """Return the statistics, those of the first numeric column on top."""
        others = {name: self._select(column, operation) for name, column in self.columns.items()}
        first = self.first_numeric()
        top = {"column": first, **others.pop(first)} if first is not None else {"count": self.rows}
        grouped = [group.largest(groups_shown) for group in self.groups]
        return {
            **top,
            **({"columns": others} if others else {}),
            **({"group_by": grouped} if grouped and operation == "describe" else {}),
        }

    def _select(self, column: NumericColumn | TextColumn, operation: Operation) -> dict[str, Any]:
        values = column.complex() if self.complex else column.simple()
        if operation == "describe":
            return values
        if operation == "mean" and isinstance(column, NumericColumn) and column.count:
            values["mean"] = column.mean
        return {name: values[name] for name in ("count", operation) if name in values}


def _is_numeric(cells: Sequence[object]) -> bool:
    cells = [cell for cell in cells if cell is not None and cell != ""]
    return bool(cells) and all(parse_number(cell) is not None for cell in cells)


@frozen
class DataProcessor:
    """Processes files in the input folders."""

    sources: Folders

    def check(self, _: Actor, parameters: DataProcessing) -> None:
        """Raise Invalid for a source outside the folders or of unknown type."""
        self._open(parameters)

    def run(self, context: TaskContext, parameters: DataProcessing) -> dict[str, Any]:
        """
        Process all rows, and store the complete result as two artifacts.

        Raises:
            Invalid: The source cannot be read, or a column does not exist.
            NotFound: The source does not exist.
        """
        data = self._open(parameters)
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
        complete = json.dumps(result, indent=2, ensure_ascii=False).encode()
        context.artifact("statistics.json", complete, "application/json")
        context.artifact("statistics.csv", _table(statistics), "text/csv")
        context.log.info("data_processed", records=summary.rows, columns=len(summary.columns))
        return _shorten(result, summary, parameters.operation)

    def task(self) -> Task:
        """Return the task."""
        return Task(
            key="data.process",
            name="Data Processing",
            description="Computes statistics of a CSV or JSON Lines file, or of synthetic rows.",
            parameters=DataProcessing,
            body=self.run,
            check=self.check,
            timeout_seconds=3600,
            isolation=Isolation.PROCESS,
        )

    def _open(self, parameters: DataProcessing) -> DataSet:
        if parameters.source is None:
            return SyntheticDataSet(parameters.dataset_size)
        path = self.sources.inside(parameters.source, "source")
        return open_file(path)


def _shorten(result: dict[str, Any], summary: Summary, operation: Operation) -> dict[str, Any]:
    """Return the result with the details that fit into a job's row."""
    for groups_shown in (GROUPS_SHOWN, 0):
        statistics = summary.statistics(operation, groups_shown)
        if len(json.dumps(statistics)) <= MAX_RESULT:
            return result | {"statistics": statistics}
    top = summary.statistics(operation, 0)
    short = {name: value for name, value in top.items() if name not in {"columns", "group_by"}}
    return result | {"statistics": short | {"columns_in": "statistics.json"}}


def _table(statistics: Mapping[str, Any]) -> bytes:
    """Return the numbers as CSV, one row per column of the data."""
    top = {name: value for name, value in statistics.items() if name != "columns"}
    rows = {str(statistics.get("column") or "rows"): top, **statistics.get("columns", {})}
    numbers = {
        name: {key: value for key, value in row.items() if isinstance(value, int | float)}
        for name, row in rows.items()
    }
    keys = list(dict.fromkeys(key for row in numbers.values() for key in row))
    table = ([name, *(row.get(key, "") for key in keys)] for name, row in numbers.items())
    return to_csv(["column", *keys], table)
