"""Messages and table rows: the only home of key strings and of the names of properties."""

from opswatch.core.wire.codec import Codec, Row
from opswatch.core.wire.deliveries import DELIVERIES, HOSTS, OUTBOX, host_key
from opswatch.core.wire.keys import (
    NOTHING,
    body_digest,
    date_partition,
    delivery_id,
    delivery_key,
    host_name,
    operation_at,
    timeline_key,
)
from opswatch.core.wire.messages import (
    DELIVERIES_QUEUE,
    MAX_DELAY,
    OPERATIONS_QUEUE,
    POISON_SUFFIX,
    QUEUES,
    wake_up_from,
    wake_up_text,
)
from opswatch.core.wire.operations import RESULTS, TIMELINE, WATCHES, duration
from opswatch.core.wire.rejections import REJECTIONS

TABLES = tuple(
    codec.table for codec in (WATCHES, RESULTS, OUTBOX, DELIVERIES, TIMELINE, REJECTIONS, HOSTS)
)

__all__ = [
    "DELIVERIES",
    "DELIVERIES_QUEUE",
    "HOSTS",
    "MAX_DELAY",
    "NOTHING",
    "OPERATIONS_QUEUE",
    "OUTBOX",
    "POISON_SUFFIX",
    "QUEUES",
    "REJECTIONS",
    "RESULTS",
    "TABLES",
    "TIMELINE",
    "WATCHES",
    "Codec",
    "Row",
    "body_digest",
    "date_partition",
    "delivery_id",
    "delivery_key",
    "duration",
    "host_key",
    "host_name",
    "operation_at",
    "timeline_key",
    "wake_up_from",
    "wake_up_text",
]
