"""What the model found, as the tables of docs/scaling.md and infra/README.md."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.scaling import rules
from benchmarks.scaling.model import EMPTY, Usage, operations_a_day, waiting
from benchmarks.scaling.prices import (
    ALERTS,
    EXECUTIONS,
    GB_SECONDS,
    PRICES,
    PRICES_FROM,
    PRICES_OF,
    QUEUES,
    STORED,
    TABLES,
)
from tests.support.trigger import ROOT

SCALING, INFRA = ROOT / "docs" / "scaling.md", ROOT / "infra" / "README.md"
COMMAND = "python -m benchmarks.scale --write"
WATCHES, GAPS = (100, 1_000, 10_000, 100_000), (10, 60, 300)
_MANY = 10_000  # watches, beyond which the model runs for less time
_QUICK = 30.0  # seconds, for the table that a test computes


def compute(watches: int, gap: int) -> Usage:
    """Return a cell of the table of docs/scaling.md."""
    if watches > _MANY:
        return waiting(watches, gap, seconds=60, warm_up=40)
    return waiting(watches, gap)


def price_table() -> str:
    """Return the prices, their date and their source."""
    rows = [
        [price.name, price.text, f"{price.per:,.0f} {price.unit}", f"{price.free:,.0f}"]
        for price in PRICES
    ]
    header = ["", "price", "for", "free each month"]
    return f"Prices of {PRICES_OF}: {PRICES_FROM}.\n\n{_table(header, rows)}"


def waiting_table(cells: Mapping[tuple[int, int], Usage]) -> str:
    """Return what so many waiting watches take, at each gap."""
    header = (
        "watches, polled every",
        "polls/s",
        "instances",
        "messages",
        "p99 late",
        "executions",
        "queue operations",
        "table operations",
        "requests a poll",
        "functions and storage",
        "logs",
    )
    rows = [["none", "0", "0", "0", "", *_month_cells(EMPTY)]]
    for (watches, gap), usage in cells.items():
        rows.append(
            [
                f"{watches:,}, {gap} s",
                f"{usage.polls:,.0f}" if usage.polls >= 1 else f"{usage.polls:.1f}",
                f"{usage.instances}",
                f"{usage.messages:,}",
                f"{usage.late_p99:.1f} s",
                *_month_cells(usage),
            ]
        )
    return _table(header, rows)


def _month_cells(usage: Usage) -> list[str]:
    month = usage.month
    a_poll = f"{sum(usage.requests.values()) / usage.polls:.2f}" if usage.polls else ""
    return [
        _millions(month.executions),
        _millions(month.queue_requests),
        _millions(month.table_requests),
        a_poll,
        f"**{_dollars(month.running)}**",
        _dollars(month.telemetry),
    ]


def wall_table(cells: Mapping[int, Usage]) -> str:
    """Return at how many watches each limit is reached, by the gap; the first are marked."""
    loads = {gap: limits(usage, gap) for gap, usage in cells.items()}
    header = ["limit", *(f"at {gap} s" for gap in loads), "what to do"]
    rows = []
    for number, (name, remedy) in enumerate(_LIMITS):
        found = [walls[number] for walls in loads.values()]
        cells_of = ["none" if wall is None else f"{_rounded(wall):,}" for wall in found]
        rows.append([name, *cells_of, remedy])
    return _table(header, rows)


_LIMITS = (
    (
        "one subscription: ARM's 25 reads a second",
        "polls are postponed, and gaps grow; each identity has its own limit",
    ),
    (
        "one subscription: 2,000 rows a second of a partition",
        "an index by due minute, so that a look reads what is due and not what waits",
    ),
    (
        "one instance: its CPU",
        "the scaler adds instances, one for 256 messages; more memory brings more CPU",
    ),
    ("one look: 5 s to read all rows", "an index by due minute"),
    (
        "one account: 20,000 requests a second",
        "an index by due minute; then several apps with an account each, by a hash of the key",
    ),
    ("one queue: 2,000 messages a second", "several apps, by a hash of the key"),
)


def limits(usage: Usage, gap: int) -> list[float | None]:
    """Return how many watches reach each of the limits, if a load grows as their number."""
    queued = sum(usage.requests.get(kind, 0.0) for kind in ("send", "receive", "delete message"))
    scans = usage.scanned / usage.watches  # rows a second, for each row
    return [
        rules.ARM_READS * gap,
        rules.PARTITION_ROWS / (1 / gap + scans),
        rules.CORES / (usage.cpu / usage.watches),
        rules.TODAY.period / rules.PAGE_LATENCY * rules.PAGE if scans else None,
        rules.ACCOUNT_REQUESTS / (sum(usage.requests.values()) / usage.watches + scans),
        rules.QUEUE_MESSAGES / (queued / usage.watches),
    ]


def cost_table() -> str:
    """Return the table of costs of infra/README.md; takes some seconds."""
    columns = {
        "empty": EMPTY,
        "1,000 wait": waiting(1_000, 60),
        "10,000 wait": waiting(10_000, 60, seconds=_QUICK, warm_up=20),
        "1,000 a day": operations_a_day(1_000),
        "100,000 a day": operations_a_day(100_000, seconds=300),
    }
    months = [usage.month for usage in columns.values()]
    totals = [month.running + month.telemetry + ALERTS for month in months]
    rows = [
        ["polls a second", *(f"{usage.polls:.1f}" for usage in columns.values())],
        ["instances at most", *(str(usage.instances) for usage in columns.values())],
        ["executions", *(_paid(m.executions, EXECUTIONS.of(m.executions)) for m in months)],
        ["GB-seconds", *(_paid(m.gb_seconds, GB_SECONDS.of(m.gb_seconds)) for m in months)],
        [
            "queue operations",
            *(_paid(m.queue_requests, QUEUES.of(m.queue_requests)) for m in months),
        ],
        [
            "table operations",
            *(_paid(m.table_requests, TABLES.of(m.table_requests)) for m in months),
        ],
        [
            "rows kept 30 days",
            *(f"{m.stored:.1f} GB: {_dollars(STORED.of(m.stored))}" for m in months),
        ],
        ["functions and storage", *(f"**{_dollars(m.running)}**" for m in months)],
        [
            "logs and traces",
            *(f"{m.logged:.1f} GB: {_dollars(m.telemetry)}" for m in months),
        ],
        ["alerts", *(_dollars(ALERTS) for _ in months)],
        ["together", *(f"**about ${total:,.0f}**" for total in totals)],
    ]
    return _table(["", *columns], rows)


def write(path: Path, name: str, text: str) -> None:
    """Replace the part of a page that is generated."""
    page = path.read_text("utf-8")
    before, _, after = _part(page, name)
    path.write_text(f"{before}\n{text}\n{after}", "utf-8")


def written(path: Path, name: str) -> str:
    """Return the part of a page that is generated."""
    return _part(path.read_text("utf-8"), name)[1].strip("\n")


def _part(page: str, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: {COMMAND} -->\n", f"\n<!-- end of {name} -->"
    match = re.fullmatch(f"(.*{re.escape(begin)})(.*)({re.escape(end)}.*)", page, re.DOTALL)
    if match is None:
        raise ValueError(f"no part {name!r} in the page")
    return match[1], match[2], match[3]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _paid(amount: float, dollars: float) -> str:
    return f"{_millions(amount)}: {_dollars(dollars)}"


def _millions(amount: float) -> str:
    return f"{amount / 1e6:,.2f} M" if amount < 1e7 else f"{amount / 1e6:,.0f} M"  # noqa: PLR2004


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount < 100 else f"${amount:,.0f}"  # noqa: PLR2004 - cents matter


def _rounded(amount: float) -> int:
    """Return a number with two digits that say anything."""
    return int(float(f"{amount:.2g}"))
