"""The metrics: their names, kinds and units."""

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """How a metric's measurements are aggregated."""

    COUNTER = auto()  # summed
    HISTOGRAM = auto()  # distributed over buckets
    GAUGE = auto()  # the latest counts


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; its unit is a UCUM code, with the thing counted in braces."""

    name: str
    kind: Kind
    unit: str


POLLS = Metric("opswatch.polls", Kind.COUNTER, "{poll}")
MISSES = Metric("opswatch.misses", Kind.COUNTER, "{poll}")
LAG = Metric("opswatch.lag", Kind.HISTOGRAM, "s")
ACTIVE_WATCHES = Metric("opswatch.watches.active", Kind.GAUGE, "{watch}")
OLDEST_OVERDUE = Metric("opswatch.watches.oldest_overdue", Kind.GAUGE, "s")
ATTEMPTS = Metric("opswatch.deliveries.attempts", Kind.COUNTER, "{attempt}")
SETTLED = Metric("opswatch.deliveries.settled", Kind.COUNTER, "{delivery}")
QUEUE_DEPTH = Metric("opswatch.queue.depth", Kind.GAUGE, "{message}")
POISON_DEPTH = Metric("opswatch.poison.depth", Kind.GAUGE, "{message}")
HEARTBEAT = Metric("opswatch.heartbeat", Kind.COUNTER, "{run}")
REJECTIONS = Metric("opswatch.rejections", Kind.COUNTER, "{message}")
DROPPED_WAKE_UPS = Metric("opswatch.wake_ups.dropped", Kind.COUNTER, "{wake-up}")
UNREADABLE_ROWS = Metric("opswatch.rows.unreadable", Kind.COUNTER, "{row}")

METRICS = (
    POLLS,
    MISSES,
    LAG,
    ACTIVE_WATCHES,
    OLDEST_OVERDUE,
    ATTEMPTS,
    SETTLED,
    QUEUE_DEPTH,
    POISON_DEPTH,
    HEARTBEAT,
    REJECTIONS,
    DROPPED_WAKE_UPS,
    UNREADABLE_ROWS,
)
