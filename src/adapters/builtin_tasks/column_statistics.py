"""Statistics of columns that stream by, in bounded memory."""

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define

MAX_KEPT = 200_000
"""How many numbers of a column are kept for its quantiles; of more, an even sample is."""

MAX_DISTINCT = 10_000
MAX_NUMBER = 1e100
"""Larger numbers are no measurements, and their squares would overflow."""

MAX_LABEL = 100
PERCENTILES = (5, 25, 50, 75, 90, 95, 99)


def number_of(cell: object) -> float | None:
    """Return the finite number that a cell holds, or None."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str) and "_" in cell:  # Python's own spelling of numbers
        return None
    try:
        found = float(cell)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) <= MAX_NUMBER else None


def label(value: object) -> str:
    """Return a value as a short text that JSON and every store can hold."""
    text = str(value)[:MAX_LABEL]
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "")


@define
class Numbers:
    """
    Figures of a numeric column.

    Sum, mean and variance are merged batch by batch (Chan, Golub and LeVeque
    1979); quantiles are exact up to `MAX_KEPT` numbers, and those of every
    2nd, 4th, ... number beyond.
    """

    max_kept: int = MAX_KEPT
    count: int = 0
    missing: int = 0
    invalid: int = 0
    sum: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    min: float = math.inf
    max: float = -math.inf
    stride: int = 1
    kept: "array[float]" = Factory(lambda: array("d"))

    def add(self, cells: Sequence[object]) -> None:
        """Take one more batch of cells; empty ones are missing, other texts invalid."""
        values = []
        for cell in cells:
            if cell is None or cell == "":
                self.missing += 1
            elif (value := number_of(cell)) is None:
                self.invalid += 1
            else:
                values.append(value)
        if values:
            self._keep(values)
            self._merge(values)

    def _merge(self, values: Sequence[float]) -> None:
        added, total = len(values), math.fsum(values)
        mean = total / added
        squares = math.fsum((value - mean) ** 2 for value in values)
        count, apart = self.count + added, mean - self.mean
        self.squares += squares + apart * apart * self.count * added / count
        self.mean += apart * added / count
        self.count, self.sum = count, self.sum + total
        self.min, self.max = min(self.min, *values), max(self.max, *values)

    def _keep(self, values: Sequence[float]) -> None:
        self.kept.extend(values[-self.count % self.stride :: self.stride])
        while len(self.kept) > self.max_kept:
            del self.kept[1::2]
            self.stride *= 2

    @property
    def std_dev(self) -> float:
        """The sample's standard deviation (n - 1); 0 for a single number."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def simple(self) -> dict[str, Any]:
        """Return counts, sum and bounds."""
        found: dict[str, Any] = {"count": self.count, "missing": self.missing}
        if self.invalid:
            found["invalid"] = self.invalid
        if self.count:
            found |= {"sum": self.sum, "min": self.min, "max": self.max}
        return found

    def complex(self) -> dict[str, Any]:
        """Return also mean, median, standard deviation, quantiles and outliers."""
        if not self.count:
            return self.simple()
        ordered = sorted(self.kept)
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
        """Count what lies beyond Tukey's fences: 1.5 quartile distances outside."""
        reach = 1.5 * (high - low)
        below, above = low - reach, high + reach
        outside = sum(value < below or value > above for value in ordered)
        return {"count": outside * self.stride, "below": below, "above": above}


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted numbers, linear between neighbours (R's type 7)."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@define
class Texts:
    """Figures of a column of texts; values beyond `MAX_DISTINCT` are not told apart."""

    count: int = 0
    missing: int = 0
    capped: bool = False
    values: "Counter[str]" = Factory(lambda: Counter[str]())

    def add(self, cells: Sequence[object]) -> None:
        """Take one more batch of cells."""
        texts = [label(cell) for cell in cells if cell is not None and cell != ""]
        self.count += len(texts)
        self.missing += len(cells) - len(texts)
        if len(self.values) < MAX_DISTINCT:
            self.values.update(texts)
        else:
            self.capped = True
            self.values.update(text for text in texts if text in self.values)

    def simple(self) -> dict[str, Any]:
        """Return counts."""
        more = {"distinct_capped": True} if self.capped else {}
        return {
            "count": self.count,
            "missing": self.missing,
            "distinct": len(self.values),
            **more,
        }

    def complex(self) -> dict[str, Any]:
        """Return also the most frequent values."""
        top = [{"value": value, "count": count} for value, count in self.values.most_common(5)]
        return {**self.simple(), "top": top}


@define
class Groups:
    """A numeric column's count, sum and mean for each value of another column."""

    by: str
    of: str
    max_groups: int = 1000
    totals: dict[str, tuple[int, float]] = Factory(dict[str, "tuple[int, float]"])
    capped: bool = False

    def add(self, names: Sequence[object], cells: Sequence[object]) -> None:
        """Take one more batch of both columns."""
        for name, cell in zip(names, cells, strict=True):
            if (value := number_of(cell)) is None:
                continue
            key = "" if name is None else label(name)
            if key not in self.totals and len(self.totals) >= self.max_groups:
                self.capped = True
                continue
            count, total = self.totals.get(key, (0, 0.0))
            self.totals[key] = (count + 1, total + value)

    def figures(self, limit: int) -> Mapping[str, Any]:
        """Return the largest groups."""
        largest = sorted(self.totals.items(), key=lambda item: (-item[1][0], item[0]))[:limit]
        more = {"groups_capped": True} if self.capped else {}
        return {
            "by": self.by,
            "of": self.of,
            "groups": {
                name: {"count": count, "sum": total, "mean": total / count}
                for name, (count, total) in largest
            },
            **more,
        }
