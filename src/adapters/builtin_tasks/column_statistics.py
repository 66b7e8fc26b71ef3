"""Streaming statistics of columns, in bounded memory."""

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define

MAX_SAMPLE = 200_000
"""Numbers of a column that are sampled for its quantiles."""

MAX_DISTINCT = 10_000
MAX_NUMBER = 1e100
"""Squares of much larger numbers would overflow."""

MAX_LABEL = 100
PERCENTILES = (5, 25, 50, 75, 90, 95, 99)


def parse_number(cell: object) -> float | None:
    """Return the finite number in a cell, or None."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str) and "_" in cell:  # valid only in Python source
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= MAX_NUMBER else None


def to_label(value: object) -> str:
    """Return a value as a short string that JSON and every store accept."""
    text = str(value)[:MAX_LABEL]
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "")


@define
class NumericColumn:
    """
    Statistics of a numeric column.

    Mean and variance are merged by batch (Chan, Golub and LeVeque 1979).
    Quantiles are exact up to `max_sample` numbers; beyond, they are those of
    every 2nd, 4th, ... number.
    """

    max_sample: int = MAX_SAMPLE
    count: int = 0
    missing: int = 0
    invalid: int = 0
    sum: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    min: float = math.inf
    max: float = -math.inf
    stride: int = 1
    sample: "array[float]" = Factory(lambda: array("d"))

    def add(self, cells: Sequence[object]) -> None:
        """Add a batch of cells; empty cells are missing, other text is invalid."""
        values = []
        for cell in cells:
            if cell is None or cell == "":
                self.missing += 1
            elif (value := parse_number(cell)) is None:
                self.invalid += 1
            else:
                values.append(value)
        if values:
            self._add_to_sample(values)
            self._merge(values)

    def _merge(self, values: Sequence[float]) -> None:
        added, total = len(values), math.fsum(values)
        mean = total / added
        squares = math.fsum((value - mean) ** 2 for value in values)
        count, delta = self.count + added, mean - self.mean
        self.squares += squares + delta * delta * self.count * added / count
        self.mean += delta * added / count
        self.count, self.sum = count, self.sum + total
        self.min, self.max = min(self.min, *values), max(self.max, *values)

    def _add_to_sample(self, values: Sequence[float]) -> None:
        self.sample.extend(values[-self.count % self.stride :: self.stride])
        while len(self.sample) > self.max_sample:
            del self.sample[1::2]
            self.stride *= 2

    @property
    def std_dev(self) -> float:
        """The sample's standard deviation (n - 1); 0 for a single number."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def simple(self) -> dict[str, Any]:
        """Return counts, sum, minimum and maximum."""
        statistics: dict[str, Any] = {"count": self.count, "missing": self.missing}
        if self.invalid:
            statistics["invalid"] = self.invalid
        if self.count:
            statistics |= {"sum": self.sum, "min": self.min, "max": self.max}
        return statistics

    def complex(self) -> dict[str, Any]:
        """Return all statistics, with quantiles and outliers."""
        if not self.count:
            return self.simple()
        ordered = sorted(self.sample)
        quantiles = {f"p{share}": quantile(ordered, share / 100) for share in PERCENTILES}
        exact = {} if self.stride == 1 else {"quantiles_from": len(ordered)}
        return {
            **self.simple(),
            "mean": self.mean,
            "median": quantiles["p50"],
            "std_dev": self.std_dev,
            "quantiles": quantiles,
            "outliers": self._outliers(ordered, quantiles["p25"], quantiles["p75"]),
            **exact,
        }

    def _outliers(self, ordered: Sequence[float], low: float, high: float) -> dict[str, Any]:
        """Count values more than 1.5 interquartile ranges outside (Tukey)."""
        margin = 1.5 * (high - low)
        below, above = low - margin, high + margin
        outside = sum(value < below or value > above for value in ordered)
        return {"count": outside * self.stride, "below": below, "above": above}


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted numbers, interpolated (R's type 7)."""
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


@define
class TextColumn:
    """Statistics of a text column; at most `MAX_DISTINCT` values are counted."""

    count: int = 0
    missing: int = 0
    capped: bool = False
    values: "Counter[str]" = Factory(lambda: Counter[str]())

    def add(self, cells: Sequence[object]) -> None:
        """Add a batch of cells."""
        texts = [to_label(cell) for cell in cells if cell is not None and cell != ""]
        self.count += len(texts)
        self.missing += len(cells) - len(texts)
        if len(self.values) < MAX_DISTINCT:
            self.values.update(texts)
        else:
            self.capped = True
            self.values.update(text for text in texts if text in self.values)

    def simple(self) -> dict[str, Any]:
        """Return the counts."""
        counts = {"count": self.count, "missing": self.missing, "distinct": len(self.values)}
        return {**counts, "distinct_capped": True} if self.capped else counts

    def complex(self) -> dict[str, Any]:
        """Return the counts and the most frequent values."""
        top = [{"value": value, "count": count} for value, count in self.values.most_common(5)]
        return {**self.simple(), "top": top}


@define
class ColumnGroups:
    """Count, sum and mean of a numeric column, grouped by another column."""

    by: str
    of: str
    max_groups: int = 1000
    totals: dict[str, tuple[int, float]] = Factory(dict[str, "tuple[int, float]"])
    capped: bool = False

    def add(self, names: Sequence[object], cells: Sequence[object]) -> None:
        """Add a batch of both columns."""
        for name, cell in zip(names, cells, strict=True):
            if (value := parse_number(cell)) is None:
                continue
            key = "" if name is None else to_label(name)
            if key not in self.totals and len(self.totals) >= self.max_groups:
                self.capped = True
                continue
            count, total = self.totals.get(key, (0, 0.0))
            self.totals[key] = (count + 1, total + value)

    def largest(self, limit: int) -> Mapping[str, Any]:
        """Return the `limit` largest groups."""
        largest = sorted(self.totals.items(), key=lambda item: (-item[1][0], item[0]))[:limit]
        groups = {
            name: {"count": count, "sum": total, "mean": total / count}
            for name, (count, total) in largest
        }
        statistics = {"by": self.by, "of": self.of, "groups": groups}
        return {**statistics, "groups_capped": True} if self.capped else statistics
