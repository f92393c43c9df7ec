"""Messages and table rows: the only home of key strings and of the names of properties."""

from opswatch.core.wire.keys import (
    NOTHING,
    body_digest,
    date_partition,
    delivery_id,
    delivery_key,
    operation_at,
    timeline_key,
)
from opswatch.core.wire.messages import (
    DELIVERIES_QUEUE,
    OPERATIONS_QUEUE,
    POISON_SUFFIX,
    QUEUES,
    wake_up_from,
    wake_up_text,
)
from opswatch.core.wire.rows import (
    DELIVERIES,
    OUTBOX,
    REJECTIONS,
    RESULTS,
    TABLES,
    TIMELINE,
    WATCHES,
    Codec,
    Row,
    duration,
)

__all__ = [
    "DELIVERIES",
    "DELIVERIES_QUEUE",
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
    "operation_at",
    "timeline_key",
    "wake_up_from",
    "wake_up_text",
]
