"""Data sets: CSV and JSON Lines files, or made-up rows, in batches."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, Protocol, TextIO

from attrs import define, field, frozen

from workbell.adapters.builtin_tasks.column_statistics import label
from workbell.domain.errors import Invalid, NotFound

ROWS = 2_000
MAX_LINE = 1_000_000
MAX_COLUMNS = 64

Row = Sequence[object]


@frozen
class Batch:
    """Some rows, as columns in the order of the names, and the work done so far."""

    names: Sequence[str]
    columns: Sequence[Sequence[object]]
    rows: int
    done: int
    total: int


class DataSet(Protocol):
    """Rows in batches, and how many of them had to be mended."""

    irregular: int

    def batches(self) -> Iterator[Batch]:
        """
        Yield the rows in batches.

        Raises:
            Invalid: The data cannot be read; the message says where.
        """
        ...


MASK = 2**64 - 1
CATEGORIES = ("north", "east", "south", "west", "centre")


@define
class SyntheticDataSet:
    """
    Made-up rows that are the same for the same size.

    `value` lies around 50 like a bell, `amount` between 0 and 1,000 with a
    long tail, `category` is one of five. The numbers come from Knuth's linear
    congruential generator (MMIX).
    """

    size: int
    irregular: int = field(default=0, init=False)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in batches."""
        state = self.size
        for start in range(0, self.size, ROWS):
            rows = min(ROWS, self.size - start)
            values, amounts, categories = [], [], []
            for _ in range(rows):
                state = (state * 6364136223846793005 + 1442695040888963407) & MASK
                one, two, three = state >> 48, state >> 32 & 0xFFFF, state >> 16 & 0xFFFF
                values.append(round((one + two + three) / 0x30000 * 100, 3))
                amounts.append(round(1000 * (one / 0x10000) ** 3, 2))
                categories.append(CATEGORIES[two % 5])
            yield Batch(
                ("value", "amount", "category"),
                (values, amounts, categories),
                rows,
                start + rows,
                self.size,
            )


@define
class CsvFile:
    """
    A CSV (or tab-separated) file with a header, in UTF-8.

    Rows with too few or too many cells are mended and counted.
    """

    path: Path
    delimiter: str = ","
    irregular: int = field(default=0, init=False)

    def batches(self) -> Iterator[Batch]:
        """
        Yield the rows in batches.

        Raises:
            Invalid: The file is empty, not UTF-8 or not CSV.
            NotFound: There is no such file.
        """
        with _opened(self.path) as lines:
            reader = csv.reader(lines, delimiter=self.delimiter)
            try:
                header = next(reader, None)
                if not header:
                    _refuse("it is empty")
                names = _distinct(header[:MAX_COLUMNS])
                rows = (self._regular(row, len(header)) for row in reader if row)
                while part := list(islice(rows, ROWS)):
                    columns = list(zip(*part, strict=True))[:MAX_COLUMNS]
                    yield Batch(names, columns, len(part), lines.done, lines.total)
            except csv.Error as error:
                _refuse(f"line {lines.number} is not CSV ({error})")

    def _regular(self, row: list[str], width: int) -> Row:
        if len(row) == width:
            return row
        self.irregular += 1
        return [*row[:width], *[""] * (width - len(row))]


@define
class JsonLinesFile:
    """
    A file with one JSON object in every line, in UTF-8.

    The names are those of the first batch; later ones are counted as
    irregular and left out.
    """

    path: Path
    irregular: int = field(default=0, init=False)

    def batches(self) -> Iterator[Batch]:
        """
        Yield the rows in batches.

        Raises:
            Invalid: The file is empty, not UTF-8, or a line is no object.
            NotFound: There is no such file.
        """
        names: dict[str, None] = {}
        with _opened(self.path) as lines:
            rows = (_object(line, lines.number) for line in lines if line.strip())
            while part := list(islice(rows, ROWS)):
                if not names:
                    found = dict.fromkeys(name for row in part for name in row)
                    names = dict.fromkeys(islice(found, MAX_COLUMNS))
                self.irregular += sum(not row.keys() <= names.keys() for row in part)
                columns = [[_cell(row.get(name)) for row in part] for name in names]
                shown = _distinct(list(names))
                yield Batch(shown, columns, len(part), lines.done, lines.total)
        if not names:
            _refuse("it is empty")


KINDS: dict[str, Callable[[Path], DataSet]] = {
    ".csv": CsvFile,
    ".tsv": lambda path: CsvFile(path, "\t"),
    ".jsonl": JsonLinesFile,
    ".ndjson": JsonLinesFile,
}


def file_kind(path: Path) -> Callable[[Path], DataSet]:
    """
    Return what reads a file, by the ending of its name.

    Raises:
        Invalid: No reader knows the ending.
    """
    if (found := KINDS.get(path.suffix.lower())) is None:
        raise Invalid.field("source", f"source must end in one of: {', '.join(KINDS)}.")
    return found


@define
class _Lines:
    """A file's lines, bounded in length; counts lines and bytes."""

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
def _opened(path: Path) -> Iterator[_Lines]:
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("There is no such source file.") from error
    except OSError as error:
        raise Invalid.field("source", f"The source cannot be read ({error.strerror}).") from error
    with file:
        yield _Lines(file, path.stat().st_size)


def _refuse(reason: str) -> NoReturn:
    raise Invalid.field("source", f"The source cannot be processed: {reason}.")


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _refuse(f"line {number} is not JSON")
    if not isinstance(found, dict):
        _refuse(f"line {number} is no object")
    return found


def _cell(value: Any) -> object:
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    return value


def _distinct(names: Iterable[str]) -> list[str]:
    """Return the names, shortened, with a number after those that come again."""
    found: dict[str, None] = {}
    for place, name in enumerate(names, 1):
        plain = label(name.strip()) or f"column_{place}"
        while plain in found:
            plain = f"{plain}_{place}"
        found[plain] = None
    return list(found)
