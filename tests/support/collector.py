"""A collector of telemetry: OpenTelemetry's SDK, exporting to memory, and our log."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from opswatch.adapters.telemetry import OpenTelemetry

Point = NumberDataPoint | HistogramDataPoint
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message"}


@dataclass(frozen=True, slots=True)
class Event:
    """A log line: its stable name and its fields."""

    name: str
    fields: dict[str, Any]
    text: str


class _Handler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        self.events.append(Event(fields.pop("event", ""), fields, record.getMessage()))


@dataclass(slots=True)
class Collector:
    """The telemetry so far; of the metrics, what was measured since they were last read."""

    telemetry: OpenTelemetry
    _reader: InMemoryMetricReader
    _exporter: InMemorySpanExporter
    _handler: _Handler

    @property
    def events(self) -> list[Event]:
        return self._handler.events

    def event(self, name: str) -> dict[str, Any]:
        """Return the fields of the latest event of a name."""
        return [event.fields for event in self.events if event.name == f"opswatch.{name}"][-1]

    def spans(self, name: str | None = None) -> tuple[ReadableSpan, ...]:
        """Return the spans that have ended, in that order."""
        spans = self._exporter.get_finished_spans()
        return tuple(span for span in spans if name is None or span.name == f"opswatch.{name}")

    def metrics(self) -> list[Metric]:
        data = self._reader.get_metrics_data()
        resources = data.resource_metrics if data else ()
        return [
            metric
            for resource in resources
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def points(self) -> dict[str, list[tuple[float, dict[str, Any]]]]:
        """Return the values (a histogram's sums) and dimensions of each metric."""
        return {
            metric.name.removeprefix("opswatch."): [value_of(point) for point in points_of(metric)]
            for metric in self.metrics()
        }


def points_of(metric: Metric) -> list[Point]:
    return [
        point
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint | HistogramDataPoint)
    ]


def value_of(point: Point) -> tuple[float, dict[str, Any]]:
    value = point.value if isinstance(point, NumberDataPoint) else point.sum
    attributes: Mapping[str, Any] = point.attributes or {}
    return value, dict(attributes)


@contextmanager
def collecting(sampler: Sampler = ALWAYS_ON) -> Iterator[Collector]:
    """Collect metrics and spans from providers used only here, and every line of our log."""
    reader, exporter, handler = InMemoryMetricReader(), InMemorySpanExporter(), _Handler()
    meters = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    tracers = TracerProvider(sampler, shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    logger = logging.getLogger("opswatch")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield Collector(OpenTelemetry(meters, tracers), reader, exporter, handler)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        meters.shutdown()
        tracers.shutdown()
