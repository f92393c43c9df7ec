"""The tables, and the columns that are not named after their fields."""

from opswatch.core.arm_errors import ArmError
from opswatch.core.deliveries import Delivery
from opswatch.core.hosts import HostCircuit
from opswatch.core.intake import Rejection
from opswatch.core.keys import Operation
from opswatch.core.kinds import KindDurations
from opswatch.core.lookahead import LookAhead
from opswatch.core.schedule import ExpectedEnd
from opswatch.core.summary import (
    PARTITION,
    HourCounts,
    PendingDelivery,
    RunningWatch,
    Summary,
)
from opswatch.core.timeline import SettledEntry, UnsuccessfulEntry
from opswatch.core.watches import End, Result, TimelineEntry, Watch
from opswatch.rows.codec import Codec, Names

_NAMES: Names = {
    (Operation, "key"): ("PartitionKey", "RowKey"),
    (Delivery, "key"): ("PartitionKey", "RowKey"),
    (Delivery, "operation"): ("PartitionKey", "operationKey"),
    (TimelineEntry, "operation"): ("subscriptionId", "operationKey"),
    (SettledEntry, "operation"): ("subscriptionId", "operationKey"),
    (HourCounts, "hour"): "RowKey",
    (RunningWatch, "key"): ("PartitionKey", "RowKey"),
    (PendingDelivery, "key"): ("PartitionKey", "RowKey"),
    (Rejection, "body_sha256"): "RowKey",
    (HostCircuit, "name"): "RowKey",
    (LookAhead, "table"): "RowKey",
    (KindDurations, "provider"): "PartitionKey",
    (KindDurations, "kind"): "RowKey",
    (ExpectedEnd, "at"): "expectedEndAt",
    (ExpectedEnd, "earliest_at"): "expectedEndEarliestAt",
    (ExpectedEnd, "latest_at"): "expectedEndLatestAt",
    (ArmError, "code"): "errorCode",
    (ArmError, "message"): "errorMessage",
    (ArmError, "code_inner"): "errorCodeInner",
    (ArmError, "message_inner"): "errorMessageInner",
    (ArmError, "json"): "errorJson",
    (End, "result"): "resultJson",
    # While a watch lasts, its columns `status` and `endTime` are ARM's as last seen.
    (Watch, "end"): "end",
}

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"

WATCHES = Codec("watches", Watch, _NAMES, due="dueAt")
RESULTS = Codec("results", Result, _NAMES, durationSeconds="duration_seconds")
OUTBOX = Codec("outbox", Delivery, _NAMES, due="nextAttemptAt")
DELIVERIES = Codec("deliveries", Delivery, _NAMES)
TIMELINE = Codec("timeline", TimelineEntry, _NAMES, partitions=_DATE)
UNSUCCESSFUL = Codec("timeline", UnsuccessfulEntry, _NAMES, partitions=f"{_DATE}~[A-Z].*")
SETTLED = Codec("timeline", SettledEntry, _NAMES, partitions=f"{_DATE}~[a-z].*")
SUMMARY = Codec("timeline", Summary, _NAMES, partitions=PARTITION)
HOURS = Codec("timeline", HourCounts, _NAMES, partitions=PARTITION)
# As much of the live tables as is counted each minute.
RUNNING = Codec("watches", RunningWatch, _NAMES, is_part=True)
PENDING = Codec("outbox", PendingDelivery, _NAMES, is_part=True)
REJECTIONS = Codec("rejections", Rejection, _NAMES)
HOSTS = Codec("hosts", HostCircuit, _NAMES, due="openUntil")
DURATIONS = Codec("durations", KindDurations, _NAMES)
LOOKAHEAD = Codec("lookahead", LookAhead, _NAMES, due="dueAt")

TABLES = tuple(
    codec.table
    for codec in (
        WATCHES,
        RESULTS,
        OUTBOX,
        DELIVERIES,
        TIMELINE,
        REJECTIONS,
        HOSTS,
        DURATIONS,
        LOOKAHEAD,
    )
)
