"""Metrics as Prometheus reads them: made of what the served program says of itself, at the moment of the scrape.

Nothing is counted for them elsewhere. prometheus_client is imported with this module, at the start, though it takes 20 ms: at the
first scrape, the process may be another user, for whom the interpreter's own files are unreadable.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sf_bsread_writer import __version__

TEXT_FORMAT = "text/plain; version=0.0.4"
"""Litestar appends the charset."""


def exposition(families: Iterable[Metric]) -> str:
    """These, and what the system says of this process, in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families))
    ProcessCollector(registry=registry)
    return generate_latest(registry).decode()


def gauge(name: str, text: str, value: float | None) -> Metric:
    """What goes up and down; without a sample where there is no value."""
    return GaugeMetricFamily(name, text, value=value)


def gauge_by(label: str, name: str, text: str, values: Mapping[str, float]) -> Metric:
    """One for each value of a label."""
    return _with_samples(GaugeMetricFamily(name, text, labels=[label]), values)


def counter(name: str, text: str, value: float) -> Metric:
    """What only goes up, as long as the process lives; ``name`` is without the ``_total`` that it gets."""
    return CounterMetricFamily(name, text, value=value)


def counter_by(label: str, name: str, text: str, values: Mapping[str, float]) -> Metric:
    """One for each value of a label."""
    return _with_samples(CounterMetricFamily(name, text, labels=[label]), values)


def info(name: str, text: str, **labels: str) -> Metric:
    """Always 1, with what does not change as labels, the version among them."""
    family = GaugeMetricFamily(name, text, labels=["version", *labels])
    family.add_metric([__version__, *labels.values()], 1)
    return family


def _with_samples(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for key, value in values.items():
        family.add_metric([key], value)
    return family


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
