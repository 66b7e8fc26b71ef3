"""Data sets in batches: CSV files, JSON Lines files, synthetic rows."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, Protocol, TextIO

from attrs import define, field, frozen

from workbell.adapters.builtin_tasks.column_statistics import to_label
from workbell.adapters.regular_files import open_regular_file
from workbell.domain.errors import Invalid, NotFound

BATCH_ROWS = 2_000
MAX_LINE = 1_000_000
MAX_COLUMNS = 64

Row = Sequence[object]


@frozen
class Batch:
    """Some rows as columns in the order of `names`, and the progress."""

    names: Sequence[str]
    columns: Sequence[Sequence[object]]
    rows: int
    done: int
    total: int


class DataSet(Protocol):
    """Rows in batches; `irregular` counts rows that did not fit."""

    irregular: int

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in batches; raise Invalid if they cannot be read."""
        ...


MASK = 2**64 - 1
CATEGORIES = ("north", "east", "south", "west", "centre")


@define
class SyntheticDataSet:
    """
    Synthetic rows, which are the same for the same size.

    `value` is roughly normal around 50, `amount` is between 0 and 1,000 with a
    long tail, `category` is one of five. The numbers come from Knuth's linear
    congruential generator (MMIX).
    """

    size: int
    irregular: int = field(default=0, init=False)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in batches."""
        state = self.size
        for start in range(0, self.size, BATCH_ROWS):
            rows = min(BATCH_ROWS, self.size - start)
            values, amounts, categories = [], [], []
            for _ in range(rows):
                state = (state * 6364136223846793005 + 1442695040888963407) & MASK
                one, two, three = state >> 48, state >> 32 & 0xFFFF, state >> 16 & 0xFFFF
                values.append(round((one + two + three) / 0x30000 * 100, 3))
                amounts.append(round(1000 * (one / 0x10000) ** 3, 2))
                categories.append(CATEGORIES[two % 5])
            names = ("value", "amount", "category")
            yield Batch(names, (values, amounts, categories), rows, start + rows, self.size)


@define
class CsvFile:
    """A CSV or TSV file; rows are padded or cut to the header's width."""

    path: Path
    delimiter: str = ","
    irregular: int = field(default=0, init=False)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in batches; raise Invalid or NotFound if that fails."""
        with _open_lines(self.path) as lines:
            reader = csv.reader(lines, delimiter=self.delimiter)
            try:
                header = next(reader, None)
                if not header:
                    _refuse("it is empty")
                names = _unique_names(header[:MAX_COLUMNS])
                rows = (self._fit(row, len(header)) for row in reader if row)
                while batch := list(islice(rows, BATCH_ROWS)):
                    columns = list(zip(*batch, strict=True))[:MAX_COLUMNS]
                    yield Batch(names, columns, len(batch), lines.done, lines.total)
            except csv.Error as error:
                _refuse(f"line {lines.number} is not CSV ({error})")

    def _fit(self, row: list[str], width: int) -> Row:
        if len(row) == width:
            return row
        self.irregular += 1
        return [*row[:width], *[""] * (width - len(row))]


@define
class JsonLinesFile:
    """A file with a JSON object per line; the first batch defines names."""

    path: Path
    irregular: int = field(default=0, init=False)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in batches; raise Invalid or NotFound if that fails."""
        names: dict[str, None] = {}
        with _open_lines(self.path) as lines:
            rows = (_parse_object(line, lines.number) for line in lines if line.strip())
            while batch := list(islice(rows, BATCH_ROWS)):
                if not names:
                    all_names = dict.fromkeys(name for row in batch for name in row)
                    names = dict.fromkeys(islice(all_names, MAX_COLUMNS))
                self.irregular += sum(not row.keys() <= names.keys() for row in batch)
                columns = [[_cell(row.get(name)) for row in batch] for name in names]
                yield Batch(
                    _unique_names(list(names)), columns, len(batch), lines.done, lines.total
                )
        if not names:
            _refuse("it is empty")


FILE_TYPES: dict[str, Callable[[Path], DataSet]] = {
    ".csv": CsvFile,
    ".tsv": lambda path: CsvFile(path, "\t"),
    ".jsonl": JsonLinesFile,
    ".ndjson": JsonLinesFile,
}


def open_file(path: Path) -> DataSet:
    """Return the data set of a file; raise Invalid for other extensions."""
    if (make := FILE_TYPES.get(path.suffix.lower())) is None:
        raise Invalid.field("source", f"source must end in one of: {', '.join(FILE_TYPES)}.")
    return make(path)


@define
class _Lines:
    """The lines of a file, limited in length; counts lines and bytes."""

    file: TextIO
    total: int
    number: int = 0

    @property
    def done(self) -> int:
        return min(self.file.buffer.tell(), self.total)

    def __iter__(self) -> Iterator[str]:
        try:
            while line := self.file.readline(MAX_LINE):
                self.number += 1
                if len(line) == MAX_LINE:
                    _refuse(f"line {self.number} is longer than {MAX_LINE:,} characters")
                yield line
        except UnicodeDecodeError:
            _refuse(f"it is not UTF-8 after line {self.number}")


@contextmanager
def _open_lines(path: Path) -> Iterator[_Lines]:
    try:
        file = TextIOWrapper(open_regular_file(path), encoding="utf-8-sig", newline="")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("The source file does not exist.") from error
    except OSError as error:
        raise Invalid.field("source", f"The source cannot be read ({error.strerror}).") from error
    with file:
        yield _Lines(file, path.stat().st_size)


def _refuse(reason: str) -> NoReturn:
    raise Invalid.field("source", f"The source cannot be processed: {reason}.")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _parse_object(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _refuse(f"line {number} is not JSON")
    if not isinstance(row, dict):
        _refuse(f"line {number} is not an object")
    return row


def _cell(value: Any) -> object:
    return json.dumps(value) if isinstance(value, dict | list | bool) else value


def _unique_names(names: Iterable[str]) -> list[str]:
    """Return short names, with a number appended to duplicates."""
    unique: dict[str, None] = {}
    for position, name in enumerate(names, 1):
        short = to_label(name.strip()) or f"column_{position}"
        while short in unique:
            short = f"{short}_{position}"
        unique[short] = None
    return list(unique)
