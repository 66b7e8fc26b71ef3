"""CSV text (RFC 4180, UTF-8), escaped against formula injection."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def to_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return a table as CSV, with formulas escaped."""
    return b"".join(csv_lines(head, rows))


def csv_lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """
    Yield a table as CSV, line by line, with formulas escaped.

    The first row is read before the head is yielded, so its errors come first.
    """
    buffer = io.StringIO(newline="")
    write = csv.writer(buffer).writerow
    write(head)
    for row in rows:
        yield _drain(buffer)
        write([_escape_formula(cell) if isinstance(cell, str) else cell for cell in row])
    yield _drain(buffer)


def _escape_formula(text: str) -> str:
    """Prefix a formula with an apostrophe (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _drain(buffer: io.StringIO) -> bytes:
    """Return the content of the buffer and empty it."""
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
