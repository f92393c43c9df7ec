"""The read side: one operation in every phase, and lists with filters and continuations."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from opswatch.adapters.account import Account
from opswatch.adapters.gathered_table import GatheredTable
from opswatch.adapters.gatherer import InFlight
from opswatch.adapters.storage import AzureTable, create_missing
from opswatch.config import Storage
from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse
from opswatch.core.keys import Key
from opswatch.core.timeline import unsuccessful_entry
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Result, TimelineEntry, Watch
from opswatch.local.azurite import Azurite
from opswatch.ports import Page, Query, Row, Store
from opswatch.queries import (
    REGISTERED,
    ListedOperation,
    OperationFilter,
    OperationView,
    get_deliveries,
    get_operation,
    list_operations,
)
from opswatch.rows import tables
from opswatch.steps.finish import finish
from opswatch.steps.poll import poll
from opswatch.steps.register import register
from opswatch.testing import MemoryStore
from tests.support.builders import NOW, end, operation, watch
from tests.support.control import redeliver
from tests.support.harness import HOOK, KEY, OTHER, STORED, Harness, InterruptedStepError, ended

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def view_of(harness: Harness) -> OperationView:
    view = await get_operation(harness.store, KEY)
    assert view is not None
    return view


# --- one operation


async def test_unknown_operation_is_none(harness: Harness) -> None:
    await harness.watched(HOOK)
    assert await get_operation(harness.store, replace(KEY, row=f"{KEY.row}x")) is None
    assert await get_operation(harness.store, replace(KEY, partition="other")) is None


async def test_registered_operation_is_its_watch(harness: Harness) -> None:
    await register(harness.services, harness.registration(HOOK), harness.now)
    view = await view_of(harness)
    assert (view.live, view.status, view.deliveries) == (harness.watch, REGISTERED, ())


async def test_running_operation_has_arms_status(harness: Harness) -> None:
    await harness.watched(HOOK)
    view = await view_of(harness)
    assert (view.live, view.status, view.deliveries) == (harness.watch, "InProgress", ())
    assert view.facts == harness.watch.facts


@pytest.mark.parametrize("cut_after", [2, 3, 6])  # the end is kept; the result; the first delivery
async def test_ending_operation_shows_what_is_written(harness: Harness, cut_after: int) -> None:
    await harness.watched(HOOK)
    harness.status = ended("Failed")
    harness.effects.names.clear()
    harness.effects.cut_after = cut_after
    with pytest.raises(InterruptedStepError):
        await poll(harness.services, WakeUp(key=KEY, seq=2))
    view = await view_of(harness)
    assert isinstance(view.live, Watch if cut_after == 2 else Result)
    assert view.status == "Failed"
    assert view.deliveries == tuple(harness.store.outbox.values())
    assert len(view.deliveries) == (cut_after == 6)
    assert harness.watch.end is not None  # the watch exists in each case


async def test_ended_operation_is_its_result(harness: Harness) -> None:
    await harness.ended(HOOK, OTHER, status="Canceled")
    view = await view_of(harness)
    assert (view.live, view.status) == (harness.result, "Canceled")
    assert view.facts == harness.result.facts
    assert view.deliveries == tuple(harness.store.deliveries.values())
    assert {delivery.callback_url for delivery in view.deliveries} == {HOOK, OTHER}


async def test_result_wins_over_late_watch(harness: Harness) -> None:
    await harness.ended(HOOK)
    await harness.store.watches.put(watch(operation=harness.result.facts.operation))
    assert (await view_of(harness)).live == harness.result


async def test_end_between_two_reads_is_found(harness: Harness) -> None:
    await harness.watched(HOOK)
    inner = harness.store.watches.get

    async def get_after_the_end(key: Key) -> Row[Watch] | None:
        row = await inner(key)
        assert row is not None
        await finish(harness.services, replace(row, value=replace(row.value, end=end())))
        return await inner(key)

    harness.store.watches.get = get_after_the_end  # type: ignore[method-assign]
    assert (await view_of(harness)).live == harness.result


async def test_pending_delivery_replaces_its_record(harness: Harness) -> None:
    harness.callbacks.answer = lambda _: HttpResponse(410, {})
    await harness.ended(HOOK, OTHER)
    assert await redeliver(harness.services, KEY) == 2
    (first, second) = harness.store.outbox.values()
    await harness.store.outbox.delete(second.key)
    deliveries = await get_deliveries(harness.store, KEY)
    assert [delivery.key for delivery in deliveries] == [first.key, second.key]
    assert [delivery.state for delivery in deliveries] == [
        DeliveryState.PENDING,
        DeliveryState.ABANDONED,
    ]


async def test_longer_keys_belong_to_other_operations(harness: Harness) -> None:
    await harness.ended(HOOK)
    longer = replace(KEY, row=f"{KEY.row}~deadbeef")
    key = replace(longer, row=f"{longer.row}~00000000")
    await harness.store.deliveries.put(replace(harness.settled, key=key, operation=longer))
    assert [delivery.operation for delivery in await get_deliveries(harness.store, KEY)] == [KEY]
    assert [delivery.key for delivery in await get_deliveries(harness.store, longer)] == [key]


# --- lists


def entry(number: int, registered_at: datetime, **known: Any) -> TimelineEntry:
    operation = Key("subscription", f"operation-{number:03}")
    return TimelineEntry(operation=operation, registered_at=registered_at, **known)


def numbers(found: Iterable[ListedOperation | TimelineEntry]) -> list[int]:
    entries = [each.entry if isinstance(each, ListedOperation) else each for each in found]
    return [int(entry.operation.row[-3:]) for entry in entries]


async def put(store: Store, listed: TimelineEntry) -> None:
    """Write an entry, and that of the index by status."""
    await store.timeline.put(listed)
    unsuccessful = unsuccessful_entry(listed)
    if unsuccessful is not None:
        await store.unsuccessful.put(unsuccessful)


async def listed(store: Store, **conditions: Any) -> list[int]:
    wanted = OperationFilter(**({"since": NOW - 4 * DAY} | conditions))
    return numbers((await list_operations(store, wanted, NOW)).values)


@pytest.fixture
async def five() -> Store:
    """Two operations that are watched and three that have ended, newest first."""
    store = MemoryStore()
    for number, age, status in (
        (0, 0 * HOUR, "InProgress"),
        (1, 1 * HOUR, None),
        (2, 2 * HOUR, "Succeeded"),
        (3, 3 * HOUR, "Failed"),
        (4, 3 * DAY, "Succeeded"),
    ):
        is_watched = number < 2
        known = {} if is_watched else {"status": status, "finished_at": NOW}
        row = entry(number, NOW - age, **known)
        await put(store, row)
        if is_watched:
            named = replace(operation(), key=row.operation)
            await store.watches.put(watch(operation=named, status=status))
    return store


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"since": NOW - 2 * HOUR}, [0, 1, 2]),  # inclusive
        ({"since": NOW - 2 * HOUR + timedelta(microseconds=1)}, [0, 1]),
        ({"since": NOW + HOUR}, []),
        ({"until": NOW}, [1, 2, 3, 4]),  # exclusive
        ({"until": NOW - 3 * HOUR}, [4]),
        ({"until": NOW + 9 * DAY}, [0, 1, 2, 3, 4]),
        ({"since": NOW - 3 * HOUR, "until": NOW - HOUR}, [2, 3]),
        ({"statuses": ("succeeded",)}, [2, 4]),
        ({"statuses": ("SUCCEEDED",), "since": NOW - DAY}, [2]),
        ({"statuses": ("inprogress",)}, [0]),  # the watch's: the timeline has none
        ({"statuses": (REGISTERED,)}, [1]),
        ({"statuses": ("unheard of",)}, []),
        ({"statuses": ("failed", "succeeded")}, [2, 3, 4]),  # one of them has no index
        ({"statuses": ("failed", "inprogress")}, [0, 3]),
        ({"is_watching": True, "subscriptions": ("SUBSCRIPTION",)}, [0, 1]),
        ({"is_watching": True}, [0, 1]),
        ({"is_watching": False}, [2, 3, 4]),
        ({"is_watching": False, "statuses": ("inprogress",)}, []),
    ],
)
async def test_list_fulfils_every_condition(
    five: Store, conditions: dict[str, Any], expected: list[int]
) -> None:
    assert await listed(five, **conditions) == expected


async def test_filtered_pages_of_running_ones_are_no_longer_than_asked() -> None:
    store = MemoryStore()
    for number in range(7):
        named = replace(operation(), key=Key("s", f"operation-{number:03}"))
        await store.watches.put(watch(operation=named, kind="odd" if number % 3 else None))
    pages = await pages_of(store, 3, is_watching=True, kinds=("odd",))
    assert [number for page in pages for number in page] == [1, 2, 4, 5]
    assert all(len(page) <= 3 for page in pages)


async def test_listed_status_is_the_current_one(five: Store) -> None:
    page = await list_operations(five, OperationFilter(since=NOW - DAY), NOW)
    assert [entry.status for entry in page.values] == [
        "InProgress",
        REGISTERED,
        "Succeeded",
        "Failed",
    ]
    assert page.continuation is None


async def test_entry_of_removed_watch_counts_as_registered(five: Store) -> None:
    """The watch has just been removed, and the entry was read before its end was written."""
    await five.watches.delete(Key("subscription", "operation-000"))
    assert await listed(five, statuses=(REGISTERED, "Succeeded")) == [0, 1, 2, 4]


# How many operations were registered on each day, the newest day first.
PER_DAY = (3, 0, 5, 1, 0, 0, 4)


@pytest.fixture(params=["in memory", "Azurite"])
async def busy_week(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store whose timeline has entries of several days, every third of them failed."""
    async with AsyncExitStack() as stack:
        store: Store = MemoryStore()
        if request.param == "Azurite":
            azurite: Azurite = request.getfixturevalue("azurite")
            account = Account(Storage(connection_string=azurite.connection_string))
            stack.push_async_callback(account.close)
            names = [f"t{uuid4().hex}" for _ in range(2)]
            await create_missing(account, [], names)
            real: dict[str, Any] = {
                "timeline": AzureTable(account, tables.TIMELINE, names[0]),
                "unsuccessful": AzureTable(account, tables.UNSUCCESSFUL, names[0]),
                "watches": GatheredTable(
                    AzureTable(account, tables.WATCHES, names[1]), tables.WATCHES, InFlight()
                ),
            }
            store = Store(**{name: getattr(store, name) for name in STORED} | real)
        number = 0
        for day, count in enumerate(PER_DAY):
            for minute in range(count):
                at = NOW - day * DAY - minute * timedelta(minutes=1)
                status = "Succeeded" if number % 3 else "Failed"
                await put(store, entry(number, at, status=status, finished_at=NOW))
                number += 1
        yield store


WEEK = list(range(sum(PER_DAY)))


async def pages_of(store: Store, limit: int, **conditions: Any) -> list[list[int]]:
    wanted = OperationFilter(since=NOW - 9 * DAY, **conditions)
    pages: list[list[int]] = []
    continuation = None
    while True:
        page = await list_operations(store, wanted, NOW, limit=limit, continuation=continuation)
        pages.append(numbers(page.values))
        assert len(pages) <= len(WEEK) + 1, "the list does not end"
        if page.continuation is None:
            return pages
        continuation = page.continuation


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 12, 13, 14, 1000])
async def test_pages_continue_over_days(busy_week: Store, limit: int) -> None:
    pages = await pages_of(busy_week, limit)
    assert [number for page in pages for number in page] == WEEK
    assert all(len(page) <= limit for page in pages)


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_filtered_pages_have_every_match(busy_week: Store, limit: int) -> None:
    pages = await pages_of(busy_week, limit, statuses=("failed",))
    assert [number for page in pages for number in page] == WEEK[::3]
    assert all(len(page) <= limit for page in pages)


async def test_operations_registered_since_do_not_shift_pages(busy_week: Store) -> None:
    wanted = OperationFilter(since=NOW - 9 * DAY)
    first = await list_operations(busy_week, wanted, NOW, limit=2)
    await busy_week.timeline.put(entry(99, NOW + timedelta(seconds=1)))
    second = await list_operations(busy_week, wanted, NOW, limit=2, continuation=first.continuation)
    assert numbers(first.values) + numbers(second.values) == [0, 1, 2, 3]


async def test_last_full_page_has_no_continuation() -> None:
    """The oldest day of the list is read to its end."""
    store = MemoryStore()
    for number in range(4):
        await store.timeline.put(
            entry(number, NOW - number * timedelta(minutes=1), finished_at=NOW)
        )
    page = await list_operations(store, OperationFilter(since=NOW - HOUR), NOW, limit=4)
    assert (numbers(page.values), page.continuation) == ([0, 1, 2, 3], None)


async def test_list_reads_only_days_between_since_and_until() -> None:
    store = MemoryStore()
    inner, days = store.timeline.find_page, []

    async def find_page(
        query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[TimelineEntry]]:
        days.append(query.partition)
        return await inner(query, limit, continuation)

    store.timeline.find_page = find_page  # type: ignore[method-assign]
    await listed(store, since=NOW - 4 * DAY, until=NOW - 2 * DAY)
    assert days == ["2026-11-21", "2026-11-20", "2026-11-19"]


async def test_continuations_lead_through_all_pages() -> None:
    store = MemoryStore()
    for number in range(120):  # a page has 50
        at = NOW - number * HOUR
        await store.timeline.put(entry(number, at, finished_at=NOW))
    wanted = OperationFilter(since=NOW - 9 * DAY)
    found: list[TimelineEntry] = []
    continuation: str | None = None
    while not found or continuation is not None:
        page = await list_operations(store, wanted, NOW, continuation=continuation)
        found += [listed.entry for listed in page.values]
        continuation = page.continuation
    assert numbers(found) == list(range(120))
    assert all(newer.registered_at > older.registered_at for newer, older in pairwise(found))


@pytest.mark.parametrize(
    "continuation",
    [
        "", ".", "x", "2026-13-01.", "2026-11-23.x", "2026-11-23.e30=", "23/11/2026.",
        "9999-12-31.", "2026-11-24.",
    ],
)  # fmt: skip
async def test_foreign_continuation_is_a_value_error(busy_week: Store, continuation: str) -> None:
    wanted = OperationFilter(since=NOW - 9 * DAY)
    with pytest.raises(ValueError, match="not a continuation"):
        await list_operations(busy_week, wanted, NOW, continuation=continuation)
