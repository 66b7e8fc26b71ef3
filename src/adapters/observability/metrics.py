"""The registry of a process's Prometheus metrics."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from attrs import define, field, frozen
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
OTHER: Final = "other"
"""The label value of everything beyond a limit."""


@frozen
class MetricsRegistry:
    """
    The metrics of one process, separate from the library's global registry.

    Create metrics with `registry=self.collectors`. With `shared_folder` the
    processes that serve one port write their values to files in that folder,
    and each exposes the merged values; see `entrypoints/bootstrap/metrics.py`.
    """

    shared_folder: Path | None = None
    collectors: CollectorRegistry = field(factory=CollectorRegistry, init=False)

    def exposition(self, additional: Iterable[Metric] = ()) -> bytes:
        """Return all metrics in Prometheus' text format, additional ones first."""
        return generate_latest(_Snapshot((*additional, *self._collect())))

    def _collect(self) -> Iterator[Metric]:
        if self.shared_folder is None:
            yield from self.collectors.collect()
        else:
            yield from MultiProcessCollector(None, str(self.shared_folder)).collect()  # type: ignore[no-untyped-call]


@frozen
class _Snapshot:
    """Metrics without `_created` series, unused by the text format."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterator[Metric]:
        for metric in self.metrics:
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


@define(eq=False)
class LabelLimit:
    """Bounds the number of values of a label, and so the number of series."""

    limit: int
    _values: set[str] = field(factory=set[str])

    def bound(self, value: str) -> str:
        """Return a value, or `other` if there are `limit` values already."""
        if value not in self._values:
            if len(self._values) >= self.limit:
                return OTHER
            self._values.add(value)
        return value


def gauge(name: str, help: str, value: float) -> Metric:
    """Return a gauge with a value and no labels."""
    return GaugeMetricFamily(name, help, value=value)


def labelled_gauge(
    name: str, help: str, labels: Iterable[str], values: Iterable[tuple[Iterable[str], float]]
) -> Metric:
    """Return a gauge with a value for each set of label values."""
    metric = GaugeMetricFamily(name, help, labels=[*labels])
    for label_values, value in values:
        metric.add_metric([*label_values], value)
    return metric
