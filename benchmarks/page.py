"""How soon the page shows its first row with 100,000 results, and what its lists read.

    python -m benchmarks.page [--results 100000] [--runs 9]

The app is `opswatch dev`, the browser Chromium, and the storage a stand-in in this process, filled
in its memory with the results of 30 days: their rows, timeline, indexes by status, deliveries and
counts. A second app has an empty storage. Both pages are opened in turn, each time without a cache;
the time is from the navigation to the first row, or to the note that there is none. Timers are
switched off, so that every request that the stand-in counts belongs to a list. The last line is
JSON; the exit code is 1 if a figure is beyond its bound.
"""

import argparse
import asyncio
import json
import math
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import aiohttp
from playwright.async_api import Browser, async_playwright

from opswatch.adapters.entities import encode_entity
from opswatch.core.deliveries import Delivery, DeliveryState, new_delivery
from opswatch.core.policy import Policy
from opswatch.core.schedule import ExpectedEnd
from opswatch.core.summary import HourCounts, Summary, counted_as, last_hours, one_more
from opswatch.core.timeline import settled_entry, unsuccessful_entry
from opswatch.core.watches import FinalStatus, Result, Watch, timeline_entry
from opswatch.local.demo.app import running_app
from opswatch.local.simulator import Simulator
from opswatch.rows import tables as rows
from opswatch.rows.codec import Codec
from tests.support import builders
from tests.support.clock import utc_now
from tests.support.harness import SECRET
from tests.support.storage import connection_string
from tests.support.storage.entities import Properties, accept
from tests.support.storage.http import Request, Response, serving
from tests.support.storage.queue_service import QueueService
from tests.support.storage.table_service import TableService
from tests.support.storage.tables import EntityTable

DAYS = 30
RUNNING = 100  # watches
MOST_SECONDS, MOST_TIMES = 1.0, 3.0  # to the first row; of them, as often as with an empty storage
_ROWS = 1000  # in a page of the storage
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_KINDS = ("redisEnterprise/create", "redisEnterprise/delete", "databases/flush", None)
# Ten of a hundred operations do not succeed, and two of a hundred callbacks are given up.
_UNSUCCESSFUL = dict(
    enumerate(
        6 * [FinalStatus.FAILED]
        + 2 * [FinalStatus.TIMED_OUT]
        + [FinalStatus.LOST, FinalStatus.CANCELED]
    )
)
_FIRST_ROW = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("main tbody tr, main .note")) return;
  observer.disconnect();
  requestAnimationFrame(() => { window.shownAt = performance.now(); });
}).observe(document, {childList: true, subtree: true});
"""
_SHOWN_AT = """new Promise(done => {
  const look = () => window.shownAt ? done(window.shownAt) : requestAnimationFrame(look);
  look();
})"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What lists returned, and how many requests to the storage they took."""

    failed: int  # operations in all pages of `status=Failed`
    failed_reads: int
    first_failed: int  # operations in the first page, as the page asks for it
    first_failed_reads: int
    summary: list[str]  # the requests of the strip

    def problems(self) -> list[str]:
        """Return what is beyond its bound."""
        found = []
        for name, returned, reads in (
            ("all pages", self.failed, self.failed_reads),
            ("the first page", self.first_failed, self.first_failed_reads),
        ):
            if reads > (most := math.ceil(returned / _ROWS) + DAYS):
                found.append(f"status=Failed, {name}: {reads} reads, at most {most}")
        if self.summary != ["GET timeline(PartitionKey='summary',RowKey='now')"]:
            found.append(f"the strip is not one point read: {self.summary}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds from the navigation to the first row, or to the note that there is none."""

    filled: list[float]
    empty: list[float]

    def problems(self) -> list[str]:
        """Return what is beyond its bound."""
        filled, empty = median(self.filled), median(self.empty)
        is_slow = filled > min(MOST_SECONDS, MOST_TIMES * empty)
        return [f"first row after {filled:.3f} s, empty {empty:.3f} s"] if is_slow else []


class RecordedTables(TableService):
    """The table service, and what it has been asked."""

    def __init__(self) -> None:
        super().__init__(utc_now)
        self.asked: list[str] = []

    def answer(self, request: Request) -> Response:
        """Record a request, and answer it."""
        self.asked.append(f"{request.method} {request.path}")
        return super().answer(request)

    def take(self) -> list[str]:
        """Return what has been asked since the last call."""
        asked, self.asked = self.asked, []
        return asked


def operations(count: int, now: datetime) -> Iterator[tuple[Result, Delivery]]:
    """Yield the results of the last 30 days, the newest first, each with its settled delivery."""
    for number in range(count):
        registered_at = now - timedelta(days=DAYS) * (number + 0.5) / count
        took = timedelta(seconds=30 + number * 37 % 400)
        finished_at = min(registered_at + took, now)
        status = _UNSUCCESSFUL.get(number % 100, FinalStatus.SUCCEEDED)
        error = builders.arm_error("SkuNotAvailable", "The requested size cannot be created.")
        result = builders.result(
            operation=_operation(number),
            registered_at=registered_at,
            deadline_at=registered_at + timedelta(days=1),
            kind=_KINDS[number % len(_KINDS)],
            resource_id=_resource(number),
            start_time=registered_at,
            polls=5 + number % 11,
            callbacks=(builders.HOOK,),
            end=builders.end(
                status,
                finished_at=finished_at,
                end_time=finished_at,
                error=error if status is FinalStatus.FAILED else None,
            ),
        )
        state = DeliveryState.ABANDONED if number % 50 == 1 else DeliveryState.DELIVERED
        delivery = new_delivery(result.key, builders.HOOK, finished_at, Policy())
        yield (
            result,
            replace(
                delivery, state=state, attempts=1, next_attempt_at=None, settled_at=finished_at
            ),
        )


def watches(now: datetime) -> Iterator[Watch]:
    """Yield operations that run."""
    for number in range(RUNNING):
        registered_at, in_an_hour = now - timedelta(seconds=number), now + timedelta(hours=1)
        yield builders.watch(
            operation=_operation(10_000_000 + number),
            registered_at=registered_at,
            deadline_at=now + timedelta(days=1),
            kind=_KINDS[number % len(_KINDS)],
            resource_id=_resource(number),
            status="InProgress",
            start_time=registered_at,
            polls=3,
            due_at=in_an_hour,
            expected=ExpectedEnd(at=in_an_hour, earliest_at=now, latest_at=in_an_hour),
        )


def fill(service: TableService, count: int, now: datetime) -> None:
    """Put the rows of `count` results and of what runs, as the app would have written them."""
    hours: dict[str, HourCounts] = {}

    def count_one(outcome: FinalStatus | DeliveryState, at: datetime) -> None:
        one = one_more(counted_as(outcome), at)
        hours[one.hour] = hours[one.hour].plus(one) if one.hour in hours else one

    def written() -> Iterator[tuple[Codec[Any], Any]]:
        for result, delivery in operations(count, now):
            entry = timeline_entry(result.facts, result.end)
            yield rows.RESULTS, result
            yield rows.TIMELINE, entry
            if index := unsuccessful_entry(entry):
                yield rows.UNSUCCESSFUL, index
            yield rows.DELIVERIES, delivery
            yield rows.SETTLED, settled_entry(delivery)
            count_one(result.end.status, result.end.finished_at)
            count_one(delivery.state, result.end.finished_at)
        for watch in watches(now):
            yield rows.WATCHES, watch
            yield rows.TIMELINE, timeline_entry(watch.facts, None)
        for hour in hours.values():
            yield rows.HOURS, hour
        known = last_hours(hours.values(), now)
        yield rows.SUMMARY, Summary(counted_at=now, watching=RUNNING, hours=known)

    found: dict[str, list[Properties]] = {codec.table: [] for codec in (rows.WATCHES, rows.RESULTS)}
    for codec, noun in written():
        properties = accept(json.loads(encode_entity(codec.encode(noun))))
        found.setdefault(codec.table, []).append(properties)
    for name, entities in found.items():
        service.tables[name] = EntityTable(utc_now)
        service.tables[name].load(entities)


@asynccontextmanager
async def app_over(tables: TableService) -> AsyncIterator[str]:
    """Yield the URL of `opswatch dev` over these tables, without its timers."""
    queues = QueueService(utc_now)
    async with (
        serving(queues.answer) as queue_port,
        serving(tables.answer) as table_port,
        Simulator(seed=7) as arm,
    ):
        env = {
            **arm.environment,
            "AzureWebJobsStorage": connection_string(queue_port, table_port),
            "OPSWATCH_CALLBACK_SECRETS": SECRET.text,
            "OPSWATCH_RETENTION": f"P{DAYS + 1}D",
            "AzureWebJobs.repair.Disabled": "true",
            "AzureWebJobs.purge.Disabled": "true",
        }
        async with running_app(env) as url:
            yield url


async def measure_reads(url: str, tables: RecordedTables) -> Reads:
    """Read the lists over HTTP, and count what the storage is asked."""
    async with aiohttp.ClientSession() as http:

        async def get(link: str) -> Any:
            async with http.get(link, raise_for_status=True) as answer:
                return await answer.json()

        await get(f"{url}/api/summary")  # the first request opens the storage
        tables.take()
        await get(f"{url}/api/summary")
        strip = tables.take()
        failed = f"{url}/api/operations?status=Failed&since=P{DAYS}D&maxpagesize="
        first = await get(f"{failed}100")
        first_reads = len(tables.take())
        link, returned = f"{failed}{_ROWS}", 0
        while link:
            page = await get(link)
            returned, link = returned + len(page["value"]), page.get("nextLink")
        return Reads(
            failed=returned,
            failed_reads=len(tables.take()),
            first_failed=len(first["value"]),
            first_failed_reads=first_reads,
            summary=strip,
        )


async def measure_times(filled: str, empty: str, runs: int) -> Times:
    """Open both pages in turn, once unmeasured."""
    browser_path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser_path is None:
        sys.exit(f"no Chromium here ({', '.join(_BROWSERS)})")
    found: dict[str, list[float]] = {filled: [], empty: []}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path)
        for _ in range(runs + 1):
            for url, times in found.items():
                times.append(await _first_row(browser, url))
        await browser.close()
    return Times(filled=found[filled][1:], empty=found[empty][1:])


async def _first_row(browser: Browser, url: str) -> float:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await page.add_init_script(_FIRST_ROW)
    await page.goto(f"{url}/api/dashboard")
    milliseconds: float = await page.evaluate(_SHOWN_AT)
    await context.close()
    return milliseconds / 1000


async def main(results: int, runs: int) -> int:
    """Measure, and print the figures; return 1 if one is beyond its bound."""
    tables = RecordedTables()
    fill(tables, results, utc_now())
    async with AsyncExitStack() as stack:
        filled = await stack.enter_async_context(app_over(tables))
        reads = await measure_reads(filled, tables)
        empty = await stack.enter_async_context(app_over(TableService(utc_now)))
        times = await measure_times(filled, empty, runs)
    middle, of_empty = median(times.filled), median(times.empty)
    print(f"first row: median {middle:.3f} s, {middle / of_empty:.2f} of an empty page's time")
    print(f"status=Failed: {reads.failed} operations in {reads.failed_reads} reads", end="; ")
    print(f"the first {reads.first_failed} in {reads.first_failed_reads}")
    problems = reads.problems() + times.problems()
    print("\n".join(problems or ["every figure is within its bound"]))
    print(json.dumps(asdict(reads) | asdict(times)))
    return 1 if problems else 0


def _operation(number: int) -> Any:
    path = f"{builders.LOCATION}/operationsStatus/{number:08x}-0fe6-4339-9303-772c92f35d02"
    return builders.operation(f"{builders.ENDPOINT}{path}?{builders.API_VERSION}")


def _resource(number: int) -> str:
    group = f"/subscriptions/{builders.SUBSCRIPTION}/resourceGroups/rg-{number % 40}"
    return f"{group}/providers/Microsoft.Cache/redisEnterprise/cache-{number}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=9)
    asked = parser.parse_args()
    sys.exit(asyncio.run(main(asked.results, asked.runs)))
