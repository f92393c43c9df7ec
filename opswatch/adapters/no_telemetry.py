"""Telemetry for processes in which OpenTelemetry collects nothing, or is not installed."""

from contextlib import AbstractContextManager, nullcontext

from opswatch.core.metrics import Metric


class NoTelemetry:
    """No-op telemetry."""

    _span = nullcontext()

    def is_sampled(self) -> bool:
        """Return True: no span is left out."""
        return True

    def measure(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        """Do nothing."""

    def span(
        self,
        name: str,  # noqa: ARG002 - the port's
        link: str | None = None,  # noqa: ARG002
        **attributes: str | int,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Run the block."""
        return self._span

    def note(self, **attributes: str | int) -> None:
        """Do nothing."""

    def traceparent(self) -> str | None:
        """Return None: there is no span."""
        return None
