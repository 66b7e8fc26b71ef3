"""Measures: what a process counts, in the text format of Prometheus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Final

from attrs import define, field, frozen

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@frozen
class Measure:
    """One measure: its name, what it says, its kind, and a value for each set of labels."""

    name: str
    help: str
    kind: str
    samples: Sequence[tuple[Labels, float]]


def gauge(name: str, help: str, value: float | Sequence[tuple[Labels, float]]) -> Measure:
    """Return something that rises and falls."""
    return Measure(name, help, "gauge", value if isinstance(value, Sequence) else [({}, value)])


def exposition(measures: Iterable[Measure]) -> bytes:
    """Return measures as Prometheus reads them."""
    return "".join(f"{line}\n" for each in measures for line in _lines(each)).encode()


def _lines(measure: Measure) -> Iterator[str]:
    yield f"# HELP {measure.name} {measure.help}"
    yield f"# TYPE {measure.name} {measure.kind}"
    for labels, value in measure.samples:
        said = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield f"{measure.name}{{{said}}} {value:.15g}" if said else f"{measure.name} {value:.15g}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@define(eq=False)
class Counter:
    """Something that only rises, apart for each value of one label."""

    name: str
    help: str
    label: str = ""
    _values: dict[str, float] = field(factory=dict[str, float])
    _lock: Lock = field(factory=Lock)

    def add(self, amount: float = 1, of: str = "") -> None:
        """Raise it, for a value of its label."""
        with self._lock:
            self._values[of] = self._values.get(of, 0) + amount

    def value(self, of: str = "") -> float:
        """Return how far it has risen, for a value of its label."""
        return self._values.get(of, 0)

    def measure(self) -> Measure:
        """Return it as it stands; without a label it is there from the beginning."""
        with self._lock:
            values = dict(self._values) if self.label else {"": self.value()}
        samples = [({self.label: of} if self.label else {}, v) for of, v in sorted(values.items())]
        return Measure(self.name, self.help, "counter", samples)
