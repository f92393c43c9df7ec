"""The rules and the figures that the model works by: opswatch's, the host's, and assumptions."""

from dataclasses import dataclass
from typing import Final

from opswatch.adapters.gatherer import DELAY
from opswatch.adapters.transactions import MOST_CHANGES
from opswatch.core import lookahead
from opswatch.local.host.settings import HostSettings
from opswatch.rows.messages import MOST_WAKE_UPS
from tests.support.trigger import ROOT

_QUEUES = HostSettings.load(ROOT, {}).queues
RECEIVED: Final = _QUEUES.batch_size
IN_FLIGHT: Final = _QUEUES.new_batch_threshold  # up to which the host receives again
PER_INSTANCE: Final = RECEIVED + IN_FLIGHT
LONGEST_PAUSE: Final = _QUEUES.max_polling_interval

# Functions, Flex Consumption.
MEMORY: Final = 0.5  # GB of an instance
CORES: Final = 0.25  # of an instance of 512 MB
LEAST_BILLED: Final = 1.0  # seconds of an execution
SCALED_EACH: Final = 10.0  # seconds
COLD_START: Final = 3.0  # seconds
IDLE: Final = 30.0  # seconds, after which an instance without work goes
MOST_INSTANCES: Final = 40
EMPTY_LOOKS: Final = lookahead.ENDS_AFTER  # in a row; the next one is the last

# What may be done in a second.
# https://learn.microsoft.com/azure/storage/tables/scalability-targets
# https://learn.microsoft.com/azure/storage/queues/scalability-targets
# https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
ACCOUNT_REQUESTS: Final = 20_000.0  # a scanned row is taken for one: more than may be true
PARTITION_ROWS: Final = 2_000.0
QUEUE_MESSAGES: Final = 2_000.0
ARM_READS: Final = 25.0  # of a subscription

# Seconds.
STORAGE_LATENCY: Final = 0.01
PAGE_LATENCY: Final = 0.05  # of a query's page
PAGE: Final = 1000  # rows that a query reads in a request

# CPU seconds, as `benchmarks.polls` measures them.
CPU_POLL: Final = 0.0004
CPU_MESSAGE: Final = 0.0001

# KB of telemetry: of a log line, of the trace of a poll, and of a run of the timer.
LOG_LINE, LOG_TRACE, LOG_TIMER = 1.0, 3.0, 10.0
# A poll that shows no change has a line only if its trace is kept. Each instance keeps so many
# traces a second (OPSWATCH_TRACES_PER_SECOND), and the sampler of azure-monitor-opentelemetry lets
# through up to 2.4 times as many if polls come in batches.
TRACES_PER_SECOND: Final = 0.2
TRACES_OF_BATCHES: Final = 2.5
LINES: Final = 6  # of an operation: registered, first and last poll, finished, attempt, settled
ROW: Final = 4.0  # KB of all rows of an ended operation


@dataclass(frozen=True, slots=True)
class Rules:
    """How waits become messages and writes; seconds."""

    near: float = lookahead.NEAR.total_seconds()  # the longest wait that is a message
    period: float = lookahead.PERIOD.total_seconds()  # between two looks
    reach: float = lookahead.REACH.total_seconds()  # of a look
    gather: float = DELAY
    wake_ups: int = MOST_WAKE_UPS  # in a message
    changes: int = MOST_CHANGES  # in a transaction
    reads: bool = False  # each poll reads its row
    arm_latency: tuple[float, float] = (0.05, 0.3)


TODAY: Final = Rules()
# Each wait is a message of its own, and each poll reads and writes its row alone.
MESSAGE_PER_WATCH: Final = Rules(near=float("inf"), wake_ups=1, changes=1, reads=True)
