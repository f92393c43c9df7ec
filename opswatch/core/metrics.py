"""The metrics: what each is called, what kind it is of, and what it counts or measures."""

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What becomes of a metric's measurements."""

    COUNTER = auto()  # they are added up
    HISTOGRAM = auto()  # they are spread over their range
    GAUGE = auto()  # the latest one stands


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, and its unit in the spelling of UCUM; `{…}` is what is counted."""

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
HEARTBEAT = Metric("opswatch.heartbeat", Kind.COUNTER, "{beat}")
REJECTIONS = Metric("opswatch.rejections", Kind.COUNTER, "{message}")

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
)
