"""The figures of a run, their medians over rounds, and how they are printed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec

_STORAGE = ("opswatch", "sdk_loop")  # the pollers that use a storage


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one poller did in one round, after the warm-up."""

    operations: int
    seconds: float
    polls: int  # that ARM saw
    cpu: float  # seconds, user and system, of the process
    grown: float  # MB of resident memory since before the first operation
    late: dict[str, float]  # seconds: earliest, late_p50, late_p99, latest
    requests: dict[str, int]  # to the storage, by kind; the host's are among them
    messages_median: float  # in the queues, hidden ones included
    messages_most: float

    @property
    def cpu_per_poll(self) -> float:
        """Microseconds."""
        return self.cpu / self.polls * 1e6

    @property
    def requests_per_poll(self) -> float:
        """Requests to the storage."""
        return sum(self.requests.values()) / self.polls


def median_of(rounds: Iterable[Figures], name: str) -> float:
    """Return the median of an attribute over rounds."""
    return float(median(getattr(figures, name) for figures in rounds))


def table(measured: Mapping[str, Sequence[Figures]], ours: str) -> str:
    """Return the medians of each poller as lines of text, with ratios to our CPU a poll."""
    head = (
        f"{'poller':16} {'operations':>10} {'polls/s':>8} {'CPU us a poll':>14} {'ours is':>8} "
        f"{'late p50':>9} {'p99, s':>7} {'memory MB':>10} {'requests a poll':>16} {'messages':>12}"
    )
    cost = median_of(measured[ours], "cpu_per_poll")
    lines = [head]
    for name, rounds in measured.items():
        rate = median(figures.polls / figures.seconds for figures in rounds)
        p50, p99 = (median(figures.late[key] for figures in rounds) for key in _LATE)
        line = (
            f"{name:16} {rounds[0].operations:10} {rate:8.0f} "
            f"{median_of(rounds, 'cpu_per_poll'):14.0f} "
            f"{cost / median_of(rounds, 'cpu_per_poll'):7.2f}x {p50:9.2f} {p99:7.2f} "
            f"{median_of(rounds, 'grown'):10.1f}"
        )
        if name in _STORAGE:
            messages = (
                f"{median_of(rounds, 'messages_median'):.0f}, "
                f"most {median_of(rounds, 'messages_most'):.0f}"
            )
            line += f" {median_of(rounds, 'requests_per_poll'):16.2f} {messages:>12}"
        lines.append(line)
    return "\n".join(lines)


_LATE = ("late_p50", "late_p99")


def requests_by_kind(rounds: Sequence[Figures]) -> str:
    """Return how many requests of each kind the storage gets for a poll."""
    kinds = {kind for figures in rounds for kind in figures.requests}
    shares = {
        kind: median(figures.requests.get(kind, 0) / figures.polls for figures in rounds)
        for kind in kinds
    }
    return ", ".join(
        f"{kind} {share:.3f}" for kind, share in sorted(shares.items(), key=lambda item: -item[1])
    )


def summary(measured: Mapping[str, Sequence[Figures]], ours: str) -> str:
    """Return the last line: JSON, in microseconds, requests, messages (the most) and seconds."""
    own = measured[ours]
    figures: dict[str, Any] = {
        "cpu_per_poll": {
            name: round(median_of(rounds, "cpu_per_poll"), 1) for name, rounds in measured.items()
        },
        "storage_requests_per_poll": round(median_of(own, "requests_per_poll"), 3),
        "messages": median_of(own, "messages_most"),
        "late_p99": round(median(figures.late["late_p99"] for figures in own), 3),
    }
    return json.dumps(figures)
