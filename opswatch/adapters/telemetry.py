"""OpenTelemetry's API behind the port; the Functions worker configures what collects it.

It sets up the providers before it loads the app. Import this module only if the package is
installed.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from opswatch.core.metrics import METRICS, Kind, Metric

_SCOPE = "opswatch"
_HEADER = "traceparent"
_API = ("opentelemetry.trace", "opentelemetry.metrics")
_contexts = TraceContextTextMapPropagator()
_Take = Callable[[float, dict[str, str]], None]


def is_collected() -> bool:
    """Return whether the process has a provider; those of the API itself collect nothing.

    Their spans and metrics would still take 5 % of the CPU of a poll.
    """
    providers = (trace.get_tracer_provider(), metrics.get_meter_provider())
    return not all(type(provider).__module__.startswith(_API) for provider in providers)


class OpenTelemetry:
    """Metrics and spans through OpenTelemetry."""

    def __init__(
        self,
        meters: metrics.MeterProvider | None = None,
        tracers: trace.TracerProvider | None = None,
    ) -> None:
        """Use the providers given, otherwise those of the process."""
        meter = metrics.get_meter(_SCOPE, meter_provider=meters)
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracers)
        self._takes = {metric: _instrument(meter, metric) for metric in METRICS}

    def is_sampled(self) -> bool:
        """Return whether the current span is kept; True outside of any."""
        context = trace.get_current_span().get_span_context()
        return not context.is_valid or context.trace_flags.sampled

    def measure(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        """Add a measurement to `metric`."""
        self._takes[metric](value, dimensions)

    @contextmanager
    def span(self, name: str, link: str | None = None, **attributes: str | int) -> Iterator[None]:
        """Run the block in a new span, linked to the span of the trace context `link`."""
        links = _links(link)
        with self._tracer.start_as_current_span(name, links=links, attributes=attributes):
            yield

    def note(self, **attributes: str | int) -> None:
        """Add attributes to the current span."""
        trace.get_current_span().set_attributes(attributes)

    def traceparent(self) -> str | None:
        """Return the W3C trace context of the current span; None outside of any."""
        carrier: dict[str, str] = {}
        _contexts.inject(carrier)
        return carrier.get(_HEADER)


def _links(traceparent: str | None) -> list[Link]:
    """Return the link to a trace context; the SDK leaves out an invalid one."""
    if traceparent is None:
        return []
    linked = trace.get_current_span(_contexts.extract({_HEADER: traceparent}))
    return [Link(linked.get_span_context())]


def _instrument(meter: Meter, metric: Metric) -> _Take:
    """Create the instrument of `metric`; return the function that records a measurement."""
    match metric.kind:
        case Kind.COUNTER:
            return meter.create_counter(metric.name, metric.unit).add
        case Kind.HISTOGRAM:
            return meter.create_histogram(metric.name, metric.unit).record
        case Kind.GAUGE:
            gauge = _Gauge()
            meter.create_observable_gauge(metric.name, [gauge.observe], metric.unit)
            return gauge.set


class _Gauge:
    """The latest values, each of which is exported once.

    The SDK's own gauge exports its last value again and again. The timer runs in one instance at a
    time: when it moves to another, the old instance would export its last value until it stops.
    """

    def __init__(self) -> None:
        self._values: dict[frozenset[tuple[str, str]], float] = {}

    def set(self, value: float, dimensions: dict[str, str]) -> None:
        self._values[frozenset(dimensions.items())] = value

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        """Yield each value; runs in the exporter's thread."""
        while self._values:
            dimensions, value = self._values.popitem()
            yield Observation(value, dict(dimensions))
