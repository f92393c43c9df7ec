"""List prices, and what a month costs by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MONTH: Final = 30 * 24 * 3600.0  # seconds
PRICES_OF: Final = "November 2026"
PRICES_FROM: Final = (
    "list prices in US dollars for US East, pay as you go, locally redundant storage, as the "
    "author knew them; not compared with an invoice"
)


@dataclass(frozen=True, slots=True)
class Price:
    """A price for so many units, of which some are free each month."""

    name: str
    dollars: float
    per: float
    unit: str
    free: float = 0.0

    @property
    def text(self) -> str:
        """The price as it is printed."""
        whole, _, cents = f"{self.dollars:.6f}".rstrip("0").partition(".")
        return f"${whole}.{cents:0<2}"

    def of(self, amount: float) -> float:
        """Return what `amount` units cost in a month."""
        return max(amount - self.free, 0.0) / self.per * self.dollars


GB_SECONDS = Price("Flex Consumption, on demand", 0.000026, 1, "GB-s", 100_000)
EXECUTIONS = Price("Flex Consumption, executions", 0.40, 1e6, "executions", 250_000)
READY = Price("Flex Consumption, always ready", 0.000004, 1, "GB-s")
QUEUES = Price("queue operations", 0.004, 1e4, "operations")
TABLES = Price("table operations", 0.00036, 1e4, "operations")
STORED = Price("table storage", 0.045, 1, "GB")
LOGS = Price("logs and traces", 2.30, 1, "GB", 5)
ALERT_OFTEN = Price("log alert, every 5 minutes", 1.50, 1, "alerts")
ALERT_RARELY = Price("log alert, every 15 minutes", 0.50, 1, "alerts")
PRICES: Final = (
    GB_SECONDS,
    EXECUTIONS,
    READY,
    QUEUES,
    TABLES,
    STORED,
    LOGS,
    ALERT_OFTEN,
    ALERT_RARELY,
)

ALERTS: Final = ALERT_OFTEN.of(6) + ALERT_RARELY.of(4)  # what infra/modules/alerts.bicep makes
LOG_CAP: Final = 5.0 * 30  # GB a month: logDailyCapGb
_QUEUE_KINDS = frozenset({"send", "receive", "delete message", "update message", "peek", "queue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What is used in a month."""

    gb_seconds: float
    executions: float
    requests: Mapping[str, float]  # to the storage, by kind
    stored: float  # GB
    logged: float  # GB

    @property
    def queue_requests(self) -> float:
        """Requests to the queue service."""
        return sum(n for kind, n in self.requests.items() if kind in _QUEUE_KINDS)

    @property
    def table_requests(self) -> float:
        """Requests to the table service; a transaction of a hundred rows is one."""
        return sum(n for kind, n in self.requests.items() if kind not in _QUEUE_KINDS)

    @property
    def functions(self) -> float:
        """Dollars for the functions."""
        return GB_SECONDS.of(self.gb_seconds) + EXECUTIONS.of(self.executions)

    @property
    def storage(self) -> float:
        """Dollars for the storage account."""
        return (
            QUEUES.of(self.queue_requests) + TABLES.of(self.table_requests) + STORED.of(self.stored)
        )

    @property
    def telemetry(self) -> float:
        """Dollars for logs, up to the daily cap."""
        return LOGS.of(min(self.logged, LOG_CAP))

    @property
    def running(self) -> float:
        """Dollars for functions and storage."""
        return self.functions + self.storage
