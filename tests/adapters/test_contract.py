"""One contract for the fakes, the storage emulator, and the stand-in that benchmarks use."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from opswatch.adapters.account import Account
from opswatch.adapters.gathered_table import GatheredTable
from opswatch.adapters.gatherer import InFlight
from opswatch.adapters.storage import AzurePoisonQueue, AzureQueue, AzureTable
from opswatch.config import Storage
from opswatch.core.arm_errors import ArmError
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.errors import Reason
from opswatch.core.hosts import HostCircuit
from opswatch.core.intake import Rejection
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import End, FinalStatus, TimelineEntry, Watch
from opswatch.core.webhook import Attempt
from opswatch.local.azurite import Azurite
from opswatch.ports import LiveTable, Page, PoisonQueue, Query, Queue, Row, Table
from opswatch.rows.codec import Codec, UnreadableRowError
from opswatch.rows.messages import decode_message
from opswatch.rows.tables import DELIVERIES, HOSTS, OUTBOX, REJECTIONS, RESULTS, TIMELINE, WATCHES
from opswatch.testing import MemoryPoisonQueue, MemoryQueue, MemoryTable
from tests.support import builders
from tests.support.builders import KEY, result
from tests.support.harness import wake_up_message
from tests.support.storage import running_stand_in

T = TypeVar("T")
MakeTable = Callable[[Codec[Any]], Awaitable[Table[Any]]]
NOW = datetime(2026, 11, 23, 3, 0, 0, 123456, UTC)
MICROSECOND = timedelta(microseconds=1)
LONG = "é" * 32 * 1024  # the longest that a property holds
EMOJI = "\U0001f469\u200d\U0001f680" * 6_500
ODD = 'it\'s "ünï" 50% + <&> = \t\r\n \U0001f600'


@pytest.fixture(params=["in memory", "Azurite", "stand-in"])
async def account(request: pytest.FixtureRequest) -> AsyncIterator[Account | None]:
    """The account that the tables and queues are in; None if they are fakes."""
    if request.param == "in memory":
        yield None
        return
    async with AsyncExitStack() as stack:
        if request.param == "Azurite":
            azurite: Azurite = request.getfixturevalue("azurite")
            connection = azurite.connection_string
        else:
            connection = (await stack.enter_async_context(running_stand_in())).connection_string
        account = Account(Storage(connection_string=connection))
        stack.push_async_callback(account.close)
        yield account


@pytest.fixture
def make_table(account: Account | None) -> MakeTable:
    async def make(codec: Codec[Any]) -> Table[Any]:
        if account is None:
            return MemoryTable(codec)
        client = account.table(f"t{uuid4().hex}")
        await client.create_table()
        return AzureTable(account, codec, client.table_name)

    return make


def watch(row: str = "row", partition: str = "subscription", **known: Any) -> Watch:
    operation = replace(builders.operation(), key=Key(partition, row))
    return builders.watch(**({"operation": operation} | known))


def delivery(**known: Any) -> Delivery:
    return replace(builders.delivery(), **({"started_at": NOW, "next_attempt_at": NOW} | known))


def existing(row: Row[T] | None) -> Row[T]:
    assert row is not None
    return row


# --- rows


@pytest.fixture
async def table(make_table: MakeTable) -> Table[Watch]:
    return await make_table(WATCHES)


@pytest.fixture
async def first(table: Table[Watch]) -> Row[Watch]:
    """The row of `watch()`, just inserted."""
    return existing(await table.insert(watch()))


async def found(table: Table[T], query: Query) -> list[T]:
    return [row.value async for row in table.find(query)]


async def test_row_is_read_as_it_was_written(table: Table[Watch], first: Row[Watch]) -> None:
    assert await table.get(watch().key) == first
    assert first.value == watch()


async def test_missing_row_is_none(table: Table[Watch]) -> None:
    await table.insert(watch())
    assert await table.get(Key("subscription", "other")) is None
    assert await table.get(Key("other", "row")) is None


async def test_insert_of_a_taken_key_changes_nothing(
    table: Table[Watch], first: Row[Watch]
) -> None:
    assert await table.insert(watch(seq=2)) is None
    assert await table.get(watch().key) == first


async def test_same_row_is_inserted_once(table: Table[Watch], first: Row[Watch]) -> None:
    assert await table.insert(watch()) is None
    assert await table.get(watch().key) == first


async def test_replacement_changes_the_etag(table: Table[Watch], first: Row[Watch]) -> None:
    second = existing(await table.replace(watch(seq=2), first.etag))
    assert second.etag != first.etag
    assert await table.get(watch().key) == second
    assert second.value == watch(seq=2)


async def test_replacement_leaves_no_old_column(table: Table[Watch]) -> None:
    first = existing(
        await table.insert(watch(kind="create", unreadable_since=NOW, last_miss="404"))
    )
    existing(await table.replace(watch(), first.etag))
    await table.put(watch())
    read = existing(await table.get(watch().key))
    assert read.value == watch()


async def test_replacement_of_changed_row_is_refused(
    table: Table[Watch], first: Row[Watch]
) -> None:
    second = await table.replace(watch(seq=2), first.etag)
    assert await table.replace(watch(seq=3), first.etag) is None
    assert await table.get(watch().key) == second


async def test_repeated_replacement_succeeds(table: Table[Watch], first: Row[Watch]) -> None:
    second = await table.replace(watch(seq=2), first.etag)
    assert await table.replace(watch(seq=2), first.etag) == second


async def test_replacement_of_removed_row_is_refused(
    table: Table[Watch], first: Row[Watch]
) -> None:
    await table.delete(watch().key)
    assert await table.replace(watch(seq=2), first.etag) is None
    assert await table.get(watch().key) is None


async def test_reinserted_row_has_another_etag(table: Table[Watch], first: Row[Watch]) -> None:
    await table.delete(watch().key)
    await table.insert(watch(seq=7))
    assert await table.replace(watch(seq=2), first.etag) is None
    assert not await table.delete(watch().key, first.etag)


async def test_put_overwrites_any_row(table: Table[Watch]) -> None:
    await table.put(watch())
    first = existing(await table.get(watch().key))
    await table.put(watch(seq=9))
    second = existing(await table.get(watch().key))
    assert (first.value.seq, second.value.seq) == (1, 9)
    assert first.etag != second.etag


async def test_delete_compares_only_a_given_etag(table: Table[Watch], first: Row[Watch]) -> None:
    second = existing(await table.replace(watch(seq=2), first.etag))
    assert not await table.delete(watch().key, first.etag)
    assert await table.get(watch().key) == second
    assert await table.delete(watch().key, second.etag)
    assert await table.get(watch().key) is None
    await table.insert(watch())
    assert await table.delete(watch().key)
    assert await table.get(watch().key) is None


async def test_delete_of_missing_row_succeeds(table: Table[Watch], first: Row[Watch]) -> None:
    await table.delete(watch().key)
    assert await table.delete(watch().key)
    assert await table.delete(watch().key, first.etag)


async def test_rows_are_removed_together(table: Table[Watch]) -> None:
    names = [f"{number:03}" for number in range(130)]
    keys = [("a", name) for name in names] + [("b", "1"), ("it's", "%27")]
    rows = [existing(await table.insert(watch(row, partition))) for partition, row in keys]
    assert await table.delete_all(rows[1:]) == set()
    assert await found(table, Query()) == [rows[0].value]
    assert await table.delete_all([]) == set()


async def test_changed_rows_are_not_removed(table: Table[Watch]) -> None:
    rows = [existing(await table.insert(watch(name, "a"))) for name in "12345"]
    alone = existing(await table.insert(watch("1", "b")))
    for row in (rows[1], rows[3], alone):
        await table.put(replace(row.value, seq=2))
    await table.delete(rows[4].value.key)  # what is gone need not be removed
    kept = {rows[1].value.key, rows[3].value.key, alone.value.key}
    assert await table.delete_all([*rows, alone]) == kept
    assert {value.key for value in await found(table, Query())} == kept


async def test_attempt_log_does_not_conflict_with_itself(make_table: MakeTable) -> None:
    table = await make_table(OUTBOX)
    first = existing(await table.insert(delivery()))
    tried = delivery(attempts=1, attempt_log=(Attempt(at=NOW, duration=0.123456789),))
    assert await table.replace(tried, first.etag) is not None
    assert await table.replace(tried, first.etag) is not None


# --- finding


async def test_rows_are_found_in_order_of_keys(table: Table[Watch]) -> None:
    for partition, row in (("b", "1"), ("a", "2"), ("a", "1"), ("B", "3")):
        await table.insert(watch(row, partition))
    keys = [value.key for value in await found(table, Query())]
    assert keys == [Key("B", "3"), Key("a", "1"), Key("a", "2"), Key("b", "1")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(partition="b"), ["b/x", "b/xy", "b/xy~1"]),
        (Query(partition="it's"), ["it's/x"]),
        (Query(partition="none"), []),
        (Query(partition_before="b"), ["a/x"]),
        (Query(partition_before="b0"), ["a/x", "b/x", "b/xy", "b/xy~1"]),
        (Query(row_prefix="xy"), ["b/xy", "b/xy~1"]),
        (Query(row_prefix="xy~"), ["b/xy~1"]),
        (Query(row_after="x"), ["b/xy", "b/xy~1"]),
        (Query(partition="b", row_after="xy"), ["b/xy~1"]),
        (Query(partition="b", row_prefix="x"), ["b/x", "b/xy", "b/xy~1"]),
        (Query(partition="b", row_prefix="xy~", partition_before="b"), []),
    ],
)
async def test_rows_are_found_by_keys(
    table: Table[Watch], query: Query, expected: list[str]
) -> None:
    for partition, row in (("a", "x"), ("b", "x"), ("b", "xy"), ("b", "xy~1"), ("it's", "x")):
        await table.insert(watch(row, partition))
    assert [f"{n.key.partition}/{n.key.row}" for n in await found(table, query)] == expected


async def test_due_rows_are_found_to_the_millisecond(table: Table[Watch]) -> None:
    """The emulator compares no smaller units."""
    step = timedelta(milliseconds=1)
    for row, due_at in (("1", NOW - step), ("2", NOW), ("3", NOW + step)):
        await table.insert(watch(row, due_at=due_at))
    for before, expected in (
        (NOW - step, []),
        (NOW, ["1"]),
        (NOW + step, ["1", "2"]),
        (NOW + timedelta(days=1), ["1", "2", "3"]),
    ):
        assert [n.key.row for n in await found(table, Query(due_before=before))] == expected


async def test_settled_delivery_is_never_due(make_table: MakeTable) -> None:
    table = await make_table(OUTBOX)
    await table.insert(delivery(next_attempt_at=None))
    assert await found(table, Query(due_before=NOW + timedelta(days=9))) == []
    assert await found(table, Query(partition=KEY.partition, row_prefix=f"{KEY.row}~")) != []


async def test_unreadable_row_is_reported_and_passed_over(
    account: Account | None, make_table: MakeTable
) -> None:
    if account is None:
        table = MemoryTable(WATCHES)
        await table.insert(watch("1"))
        table.rows[Key("subscription", "2")] = ({"dueAt": NOW, "seq": "x"}, "1")
        await table.insert(watch("3"))
        reported = table.unreadable
        rows: Table[Watch] = table
    else:
        made = await make_table(WATCHES)
        assert isinstance(made, AzureTable)
        reported = []
        rows = AzureTable(
            account, WATCHES, made.name, lambda _table, key, _error: reported.append(key)
        )
        await rows.insert(watch("1"))
        await account.table(made.name).create_entity(
            {"PartitionKey": "subscription", "RowKey": "2", "dueAt": NOW, "seq": "x"}
        )
        await rows.insert(watch("3"))
    assert [value.key.row for value in await found(rows, Query())] == ["1", "3"]
    page = await rows.find_page(Query(), 9)
    assert [row.value.key.row for row in page.values] == ["1", "3"]
    with pytest.raises(UnreadableRowError):
        await rows.get(Key("subscription", "2"))
    assert reported == [Key("subscription", "2")] * 3


# --- live tables


@pytest.fixture
async def live(make_table: MakeTable) -> LiveTable[Watch]:
    made = await make_table(WATCHES)
    if isinstance(made, MemoryTable):
        return made
    assert isinstance(made, AzureTable)
    return GatheredTable(made, WATCHES, InFlight())


FULL_WATCH = watch(callbacks=("https://hooks.example.com",), client_state="1", last_miss="500")


async def test_merge_changes_what_has_changed(live: LiveTable[Watch]) -> None:
    row = existing(await live.insert(FULL_WATCH))
    after = replace(FULL_WATCH, seq=2, far=True)
    merged = existing(await live.merge(row, after))
    assert merged.value == after
    assert await live.get(after.key) == merged
    assert merged.etag != row.etag


async def test_merge_from_a_copy_keeps_what_it_leaves_out(live: LiveTable[Watch]) -> None:
    row = existing(await live.insert(FULL_WATCH))
    bare = builders.change(FULL_WATCH, callbacks=(), client_state=None, last_miss=None)
    copy = Row(bare, row.etag, is_copy=True)
    merged = existing(await live.merge(copy, replace(bare, seq=2)))
    assert (merged.value, merged.is_copy) == (replace(bare, seq=2), True)
    assert await live.get(FULL_WATCH.key) == Row(replace(FULL_WATCH, seq=2), merged.etag)


async def test_merge_removes_a_value_of_a_whole_row_only(live: LiveTable[Watch]) -> None:
    row = existing(await live.insert(FULL_WATCH))
    without = builders.change(FULL_WATCH, last_miss=None, seq=2)
    assert await live.merge(replace(row, is_copy=True), without) is None
    assert await live.get(FULL_WATCH.key) == row
    merged = existing(await live.merge(row, without))
    assert await live.get(FULL_WATCH.key) == merged
    assert merged.value == without


async def test_merge_of_a_changed_or_removed_row_is_none(live: LiveTable[Watch]) -> None:
    row = existing(await live.insert(FULL_WATCH))
    existing(await live.merge(row, replace(FULL_WATCH, seq=2)))
    assert await live.merge(row, replace(FULL_WATCH, seq=3)) is None
    await live.delete(FULL_WATCH.key)
    assert await live.merge(row, replace(FULL_WATCH, seq=3)) is None
    assert await live.get(FULL_WATCH.key) is None


async def test_repeated_merge_is_written(live: LiveTable[Watch]) -> None:
    """Its answer was lost, so it conflicts with itself; a receiver may have joined since."""
    row = existing(await live.insert(FULL_WATCH))
    after = replace(FULL_WATCH, seq=2, due_at=NOW + timedelta(minutes=1))
    first = existing(await live.merge(row, after))
    joined = builders.change(after, callbacks=("https://hooks.example.com", "https://b.example"))
    existing(await live.replace(joined, first.etag))
    assert existing(await live.merge(row, after)).value == joined


async def test_query_from_a_due_time_includes_it(table: Table[Watch]) -> None:
    step = timedelta(milliseconds=1)
    for row, due_at in (("1", NOW - step), ("2", NOW), ("3", NOW + step)):
        await table.insert(watch(row, due_at=due_at))
    for since, before, expected in (
        (NOW, None, ["2", "3"]),
        (NOW + step, None, ["3"]),
        (NOW, NOW + step, ["2"]),
        (NOW, NOW, []),
    ):
        query = Query(due_from=since, due_before=before)
        assert [n.key.row for n in await found(table, query)] == expected


async def test_far_rows_are_found_apart(table: Table[Watch]) -> None:
    await table.insert(watch("near"))
    await table.insert(watch("far", far=True))
    for far, expected in ((True, ["far"]), (False, ["near"]), (None, ["far", "near"])):
        assert [n.key.row for n in await found(table, Query(far=far))] == expected
        page = await table.find_page(Query(far=far, due_from=NOW), 9)
        assert [row.value.key.row for row in page.values] == expected


async def test_rows_may_be_removed_during_a_query(table: Table[Watch]) -> None:
    for number in "123":
        await table.insert(watch(number))
    async for row in table.find(Query()):
        assert await table.delete(row.value.key, row.etag)
    assert await found(table, Query()) == []


# --- every noun, at its extremes

ERROR = ArmError(code=ODD, message=LONG, json='{"code":"\\u0000"}')
FIRST, LAST = datetime(1601, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
FULL: dict[str, Any] = {
    "registered_at": FIRST,
    "deadline_at": LAST,
    "kind": ODD,
    "status": "InProgress",
    "start_time": NOW + MICROSECOND,
    "last_polled_at": NOW,
    "percent_complete": 1 / 3,
    "polls": 2**31 - 1,
    "misses": 0,
    "last_miss": ODD,
    "callbacks": (f"https://hooks.example.com/{ODD}", "x" * 2048),
    "client_state": '{"ticket":42}',
}
END = End(
    status=FinalStatus.FAILED,
    finished_at=NOW,
    end_time=NOW - MICROSECOND,
    error=ERROR,
    result=LONG,
    lost_reason=ODD,
    truncated=True,
)
SETTLED = delivery(
    state=DeliveryState.ABANDONED,
    reason=ODD,
    next_attempt_at=None,
    attempts=2**31 - 1,
    round_attempts=3,
    seq=12,
    last_status_code=503,
    last_error=EMOJI,
    last_attempt_at=FIRST,
    delivered_at=LAST,
    attempt_log=tuple(
        Attempt(at=NOW, duration=0.001, status_code=500, layer="http", error=ODD) for _ in range(20)
    ),
)
OPERATION = watch(row=f"p~l~o~{ODD[:9]}").facts.operation
NOUNS: dict[str, tuple[Codec[Any], Any]] = {
    "a bare watch": (WATCHES, watch()),
    "a full watch": (
        WATCHES,
        watch(**FULL, seq=2**31 - 1, unreadable_since=NOW, far=True, end=END),
    ),
    "a watch of tiny progress": (WATCHES, watch(percent_complete=5e-324)),
    "a watch of whole progress": (WATCHES, watch(percent_complete=100.0)),
    "a watch of huge progress": (WATCHES, watch(percent_complete=1.7976931348623157e308)),
    "a full result": (
        RESULTS,
        result(operation=OPERATION, **(FULL | {"status": "Failed"}), end=END),
    ),
    "a bare delivery": (OUTBOX, delivery()),
    "a settled delivery": (DELIVERIES, SETTLED),
    "a timeline entry": (
        TIMELINE,
        TimelineEntry(
            operation=OPERATION.key,
            registered_at=NOW,
            status=ODD,
            kind=EMOJI,
            location="westus",
            start_time=FIRST,
            end_time=LAST,
            finished_at=NOW,
            error_code=ODD,
        ),
    ),
    "a rejection": (
        REJECTIONS,
        Rejection(
            reason=Reason.NOT_UTF8,
            detail=ODD,
            body=EMOJI,
            body_sha256="0" * 64,
            received_at=NOW,
            count=2**31 - 1,
        ),
    ),
    "a circuit": (HOSTS, HostCircuit(name="hooks.example.com:8443", failures=7, open_until=LAST)),
}


@pytest.mark.parametrize(("codec", "value"), NOUNS.values(), ids=NOUNS)
async def test_every_noun_is_read_as_written(
    make_table: MakeTable, codec: Codec[Any], value: Any
) -> None:
    table = await make_table(codec)
    existing(await table.insert(value))
    read = existing(await table.get(value.key))
    assert read.value == value
    assert await found(table, Query(partition=value.key.partition)) == [value]
    assert await table.replace(value, read.etag) is not None


# --- pages


async def read_pages(table: Table[Watch], query: Query, limit: int) -> list[list[str]]:
    """Return the row keys of each page, following continuations to the last page."""
    pages, continuation = [], None
    while True:
        page = await table.find_page(query, limit, continuation)
        pages.append([row.value.key.row for row in page.values])
        if page.continuation is None:
            return pages
        continuation = page.continuation


async def test_pages_hold_every_row_once_in_order(table: Table[Watch]) -> None:
    for partition in ("a", "b"):
        for number in (3, 1, 4, 0, 2):
            await table.insert(watch(f"{partition}{number}", partition))
    pages = await read_pages(table, Query(partition="a"), 2)
    assert [row for page in pages for row in page] == ["a0", "a1", "a2", "a3", "a4"]
    assert all(len(page) <= 2 for page in pages)
    assert len(pages) >= 3
    all_pages = await read_pages(table, Query(), 3)
    assert [row for page in all_pages for row in page] == [
        f"{p}{n}" for p in "ab" for n in range(5)
    ]


async def test_page_of_all_rows_is_the_last(table: Table[Watch]) -> None:
    assert await table.find_page(Query(partition="a"), 1000) == Page([])
    await table.insert(watch("a1", "a"))
    page = await table.find_page(Query(partition="a"), 1000)
    assert ([row.value for row in page.values], page.continuation) == ([watch("a1", "a")], None)


async def test_rows_removed_between_pages_are_skipped(table: Table[Watch]) -> None:
    for number in range(4):
        await table.insert(watch(f"r{number}", "a"))
    first = await table.find_page(Query(partition="a"), 2)
    await table.delete(Key("a", "r2"))
    second = await table.find_page(Query(partition="a"), 2, first.continuation)
    assert [row.value.key.row for row in second.values] == ["r3"]


@pytest.mark.parametrize("continuation", ["", "x", "e30", "e30=", "bm8=", "\n\n\n"])
async def test_foreign_continuation_is_a_value_error(
    table: Table[Watch], continuation: str
) -> None:
    with pytest.raises(ValueError, match="not a continuation"):
        await table.find_page(Query(), 1, continuation)


# --- queues

WAKE = WakeUp(key=Key("subscription", f"p~l~o~{ODD}"), seq=7, traceparent="00-trace-span-01")


@pytest.fixture
async def queues(account: Account | None) -> tuple[Queue, PoisonQueue]:
    """A queue, and the same one as its receiver."""
    if account is None:
        queue = MemoryQueue(lambda: NOW)
        return queue, MemoryPoisonQueue(queue)
    client = account.queue(f"q{uuid4().hex}")
    await client.create_queue()
    return AzureQueue(account, client.queue_name), AzurePoisonQueue(account, client.queue_name)


async def test_wake_up_is_received_as_sent(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, receiving = queues
    await queue.send(wake_up_message(WAKE))
    (arrived,) = await receiving.take()
    assert decode_message(arrived.body) == (WAKE,)


@pytest.mark.parametrize("delay", [timedelta(milliseconds=200), timedelta(days=7)])
async def test_delayed_message_is_hidden(
    queues: tuple[Queue, PoisonQueue], delay: timedelta
) -> None:
    queue, receiving = queues
    await queue.send(wake_up_message(WAKE), delay)
    assert await receiving.take() == []
    assert await queue.depth() == 1


async def test_negative_delay_is_none(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, receiving = queues
    await queue.send(wake_up_message(WAKE), timedelta(seconds=-5))
    assert len(await receiving.take()) == 1


async def test_delay_beyond_seven_days_is_refused(queues: tuple[Queue, PoisonQueue]) -> None:
    refusal = "a queue cannot wait for 7 days, 0:00:01|400 OutOfRangeQueryParameterValue"
    with pytest.raises(Exception, match=refusal):
        await queues[0].send(wake_up_message(WAKE), timedelta(days=7, seconds=1))


async def test_message_can_be_removed_twice(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, receiving = queues
    await queue.send(wake_up_message(WAKE))
    (held,) = await receiving.take()
    await receiving.remove(held)
    await receiving.remove(held)
    assert await queue.depth() == 0


async def test_peek_leaves_the_message(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, receiving = queues
    assert await queue.peek() is None
    await queue.send(wake_up_message(WAKE), timedelta(hours=1))
    assert await queue.peek() is None
    await queue.send(wake_up_message(WAKE))
    for _ in range(2):
        peeked = await queue.peek()
        assert peeked is not None
        assert peeked.body == wake_up_message(WAKE)
        assert peeked.sent_at.tzinfo is not None
    assert len(await receiving.take()) == 1
    assert await queue.peek() is None


async def test_wake_up_has_a_message_of_its_own(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, receiving = queues
    for seq in (1, 2):
        await queue.send_wake_up(replace(WAKE, seq=seq), timedelta(0))
    taken = [decode_message(message.body) for message in await receiving.take()]
    assert taken == [(replace(WAKE, seq=1),), (replace(WAKE, seq=2),)]


async def test_depth_counts_delayed_messages(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, _ = queues
    assert await queue.depth() == 0
    await queue.send(wake_up_message(WAKE))
    await queue.send(wake_up_message(WAKE), timedelta(hours=1))
    assert await queue.depth() == 2


async def test_taken_message_is_hidden(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, receiving = queues
    await queue.send(wake_up_message(WAKE))
    assert len(await receiving.take()) == 1
    assert await receiving.take() == []
    assert await receiving.depth() == 1


async def test_at_most_thirty_two_messages_are_taken(queues: tuple[Queue, PoisonQueue]) -> None:
    queue, receiving = queues
    for seq in range(40):
        await queue.send(wake_up_message(replace(WAKE, seq=seq)))
    assert len(await receiving.take()) == 32
    assert len(await receiving.take()) == 8
