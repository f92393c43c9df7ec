"""Lists over HTTP: filters, pages, and how many pages of the storage they cost."""

from datetime import timedelta
from typing import Any

import pytest

from opswatch.core.http import HttpResponse
from opswatch.core.wakeups import OVERDUE_GRACE
from opswatch.core.watches import FinalStatus, timeline_entry
from opswatch.dated import MOST_READS
from opswatch.ports import Query
from opswatch.steps.finish import _list_end
from opswatch.steps.purge import purge
from opswatch.steps.repair import repair
from opswatch.steps.summary import summarize
from tests.support import builders
from tests.support.harness import HOOK, OTHER, START, Harness, ended, running, status_path
from tests.web.client import BASE, Client

DAY = timedelta(days=1)
CACHE = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Cache/redisEnterprise/cache-us-7"


async def end_as(harness: Harness, status: FinalStatus, number: int, days: float) -> None:
    """List an operation that was registered days ago and has ended."""
    operation = builders.operation(
        f"https://management.azure.com{status_path(f'op-{number:04}')}?api-version=1"
    )
    result = builders.result(
        operation=operation,
        registered_at=START - days * DAY,
        kind="redis/create" if number % 2 else "redis/delete",
        resource_id=CACHE if number % 3 == 0 else None,
        end=builders.end(status, finished_at=START),
    )
    await harness.store.results.put(result)
    await _list_end(harness.services, result)


@pytest.fixture
async def month(harness: Harness) -> Harness:
    """Thirty days of forty operations a day, of which one in ten did not succeed."""
    statuses = (FinalStatus.FAILED, FinalStatus.TIMED_OUT)
    for number in range(1200):
        status = FinalStatus.SUCCEEDED if number % 10 else statuses[number // 10 % 2]
        await end_as(harness, status, number, days=number / 40)
    return harness


def count_reads(harness: Harness) -> list[str]:
    """Record each page that is read of the storage, by the table's name."""
    reads: list[str] = []
    for name in ("watches", "timeline", "unsuccessful", "settled", "outbox", "results"):
        table: Any = getattr(harness.store, name)

        def counting(name: str, inner: Any) -> Any:
            async def find_page(*arguments: Any) -> Any:
                reads.append(name)
                return await inner(*arguments)

            return find_page

        table.find_page = counting(name, table.find_page)
    return reads


# --- operations


async def test_failures_cost_what_they_return(month: Harness, client: Client) -> None:
    reads = count_reads(month)
    values = await client.all_pages("operations?status=failed&maxpagesize=1000")
    assert len(values) == 60
    assert all(row["status"] == "Failed" and row["state"] == "finished" for row in values)
    assert len(reads) <= 31 + 1
    assert set(reads) == {"unsuccessful"}


@pytest.mark.usefixtures("month")
async def test_statuses_are_merged_newest_first(client: Client) -> None:
    for size in (7, 1000):
        path = f"operations?status=Failed,TimedOut&since=10d&maxpagesize={size}"
        values = await client.all_pages(path)
        registered = [row["registeredAt"] for row in values]
        assert len(values) == len({row["key"] for row in values}) == 41
        assert registered == sorted(registered, reverse=True)


@pytest.mark.parametrize("query", ["", "status=Succeeded&", "kind=redis/create&", "operation=x&"])
async def test_page_costs_few_pages_of_the_storage(
    month: Harness, client: Client, query: str
) -> None:
    reads = count_reads(month)
    link = f"{BASE}/operations?{query}maxpagesize=1000"
    while link:
        reads.clear()
        answer = (await client.get(link)).json
        assert reads.count("timeline") <= MOST_READS
        assert reads.count("watches") <= MOST_READS
        assert "results" not in reads
        link = answer.get("nextLink", "")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=REDIS/Create", 100),
        ("kind=redis/create,redis/delete", 200),
        ("kind=other", 0),
        ("resource=cache-US-7", 67),
        ("resource=RESOURCEGROUPS/RG/", 67),
        ("operation=OP-000", 10),
        ("operation=op-0007", 1),
        ("provider=Microsoft.Cache&location=West%20US", 200),
        ("location=eastus", 0),
        ("subscription=other", 0),
        ("status=Succeeded", 180),
        ("status=InProgress", 0),
        ("state=finished", 200),
        ("state=watching", 0),
        ("state=finished&status=InProgress", 0),
        ("since=2026-11-22T03:00:00Z", 41),
        ("since=P1D", 41),
        ("since=2026-11-21T03:00:00%2B00:00&until=1d", 40),
        ("until=2026-11-18T04:00:00Z", 1),
    ],
)
async def test_every_condition_holds(
    harness: Harness, client: Client, query: str, expected: int
) -> None:
    for number in range(200):
        status = FinalStatus.SUCCEEDED if number % 10 else FinalStatus.FAILED
        await end_as(harness, status, number, days=number / 40)
    values = await client.all_pages(f"operations?{query}")
    assert len(values) == expected


async def test_running_operations_are_read_of_the_watches(harness: Harness, client: Client) -> None:
    harness.status = running()
    for number in range(5):
        harness.post(operation=status_path(f"op{number}"), kind="k")
    await harness.pump()
    await harness.pump()
    reads = count_reads(harness)
    values: list[dict[str, Any]] = []
    for query in ("state=watching", "status=inprogress", "state=watching&kind=K"):
        reads.clear()
        values = await client.all_pages(f"operations?{query}&maxpagesize=2")
        assert [row["operationId"] for row in values] == [f"op{number}" for number in range(5)]
        assert set(reads) == {"watches"}
    assert values[0]["state"] == "watching"
    assert values[0]["dueAt"]
    listed = await client.all_pages("operations")
    assert {row["status"] for row in listed} == {"InProgress"}


async def test_entry_of_before_is_shown(harness: Harness, client: Client) -> None:
    """Rows that were written without the newer columns."""
    entry = timeline_entry(builders.watch().facts, builders.end(FinalStatus.FAILED))
    await harness.store.timeline.put(entry)
    (entity, etag) = harness.store.timeline.rows[entry.key]
    for name in ("operationId", "provider", "location", "polls", "misses"):
        del entity[name]
    harness.store.timeline.rows[entry.key] = (entity, etag)
    harness.now = builders.NOW
    (row,) = await client.all_pages("operations?provider=microsoft.cache&location=westus")
    assert row["operationId"] == builders.ID
    assert row["provider"] == "microsoft.cache"


@pytest.mark.parametrize(
    "query",
    [
        "maxpagesize=0", "maxpagesize=1001", "maxpagesize=x", "maxpagesize=", "state=running",
        "since=yesterday", "until=", "operation=a/b", "operation=", "status=,", "kind=%20",
        "state=watching&state=finished", "continuation=x", "continuation=9999-12-31.", "top=5",
        f"kind={'x' * 3000}", "since=2026-13-01T00:00:00Z",
    ],
)  # fmt: skip
async def test_unusable_query_is_refused(client: Client, query: str) -> None:
    answer = await client.get(f"operations?{query}")
    assert (answer.status, answer.code) in (
        (400, "InvalidParameter"),
        (400, "UnknownParameter"),
    )


async def test_far_instants_are_taken(client: Client) -> None:
    for instant in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "999999w"):
        assert (await client.get(f"operations?since={instant}&until={instant}")).status == 200


# --- deliveries


async def deliver(harness: Harness) -> None:
    """Settle three deliveries, one of them abandoned, and leave one pending."""
    harness.callbacks.answer = lambda request: HttpResponse(
        410 if request.url == OTHER else 204, {}
    )
    await harness.ended(HOOK, OTHER)
    harness.post("https://h.example.com:8443/x")
    await harness.settle()
    harness.callbacks.answer = lambda _: HttpResponse(500, {})
    harness.post("https://pending.example.com/x")
    await harness.pump()
    await harness.pump()


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ("", ["pending", "h", "hooks", "other"]),
        ("state=pending", ["pending"]),
        ("state=delivered,abandoned", ["h", "hooks", "other"]),
        ("state=ABANDONED", ["other"]),
        ("host=HOOKS.example.com", ["hooks"]),
        ("host=h.example.com", ["h"]),
        ("host=h.example.com:8443,other.example.com", ["h", "other"]),
        ("host=h.example.com:443", []),
        ("host=https%3A%2F%2FH.example.com:8443", ["h"]),
        ("host=https%3A%2F%2Fhooks.example.com%2Fa%3Fb", ["hooks"]),
        ("host=http%3A%2F%2Fhooks.example.com", []),
        ("until=1d", []),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
async def test_deliveries_are_listed(
    harness: Harness, client: Client, query: str, hosts: list[str], size: int
) -> None:
    await deliver(harness)
    reads = count_reads(harness)
    values = await client.all_pages(f"deliveries?{query}&maxpagesize={size}")
    shown = [row["callbackUrl"].removeprefix("https://").partition(".")[0] for row in values]
    assert sorted(shown) == sorted(hosts)
    assert "pending" not in shown[1:]
    assert not {"timeline", "results"} & set(reads)
    assert (await client.get("deliveries?state=done")).status == 400


async def test_settled_deliveries_are_purged_with_their_index(harness: Harness) -> None:
    await deliver(harness)
    harness.callbacks.answer = lambda _: HttpResponse(204, {})
    await harness.settle()
    assert len(harness.store.settled.values()) == 4
    harness.advance(days=40)
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_unsuccessful_operations_are_purged_with_their_index(harness: Harness) -> None:
    await harness.ended(status="Failed")
    assert len(harness.store.unsuccessful.values()) == 1
    harness.advance(days=40)
    await purge(harness.services)
    assert not any(harness.rows().values())


# --- rejections, kinds, summary


async def test_rejections_show_no_callback_path(harness: Harness, client: Client) -> None:
    bodies = [b"{nonsense", b'{"operation": "/x", "callbackUrl": "https://h.example/T0?sig=1"}']
    for body in bodies:
        harness.operations.post(body)
    await harness.pump()
    values = await client.all_pages("rejections?maxpagesize=1")
    assert {row["reason"] for row in values} == {"NotJson", "InvalidOperation"}
    assert not any("T0" in row["body"] for row in values)
    (row,) = await client.all_pages("rejections?reason=notjson&since=1h")
    assert (row["body"], row["count"]) == ("{nonsense", 1)
    assert await client.all_pages("rejections?reason=Empty") == []


async def test_summary_has_zeros_before_the_first_count(client: Client) -> None:
    summary = (await client.get("summary")).json
    assert summary["countedAt"] is None
    assert summary["watching"] == summary["last24Hours"]["failed"] == 0
    assert len(summary["hours"]) == 24


async def test_summary_says_what_needs_attention(harness: Harness, client: Client) -> None:
    await harness.watched(HOOK)
    harness.callbacks.answer = lambda _: HttpResponse(500, {})
    harness.status = ended("Failed")
    harness.advance(hours=1)
    for _ in range(3):
        await harness.pump()
    harness.status = running()
    harness.post(operation=status_path("late"), kind="Redis/Create")
    await harness.pump()
    harness.operations.messages.clear()
    harness.advance(minutes=10)
    services = client.harness.services
    for hour, counts in services.counts.hours.items():  # type: ignore[attr-defined]
        assert hour == counts.hour
        await harness.store.hours.put(counts)
    await summarize(services, harness.now, late_before=harness.now - OVERDUE_GRACE)
    reads = count_reads(harness)
    summary = (await client.get("summary")).json
    assert not reads
    assert (summary["watching"], summary["overdue"]) == (1, 1)
    assert (summary["pending"], summary["failing"]) == (1, 1)
    assert summary["last24Hours"]["failed"] == 1
    assert [hour["failed"] for hour in summary["hours"]][-2:] == [0, 1]
    assert summary["hours"][-1]["hour"] == "2026-11-23T04"
    (kind,) = (await client.get("kinds")).json["value"][-1:]
    assert (kind["kind"], kind["running"], kind["slow"]) == ("redis/create", 1, 0)


async def test_each_minute_counts(harness: Harness) -> None:
    await harness.watched()
    await repair(harness.services)
    row = await harness.store.summary.get(
        (await summarize(harness.services, harness.now, late_before=harness.now)).key
    )
    assert row is not None
    assert (row.value.watching, row.value.counted_at) == (1, harness.now)
    assert [found async for found in harness.store.hours.find(Query(row_prefix="2"))] == []
