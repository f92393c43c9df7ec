"""Live tables and queues whose writes go together, over the stand-in and over fakes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from azure.core.exceptions import HttpResponseError

from opswatch.adapters.account import Account
from opswatch.adapters.gathered_queue import GatheredQueue
from opswatch.adapters.gathered_table import GatheredTable
from opswatch.adapters.gatherer import InFlight
from opswatch.adapters.storage import AzureQueue, AzureTable
from opswatch.adapters.transactions import Change
from opswatch.bootstrap import remembers_watch
from opswatch.config import Storage
from opswatch.core.keys import Key
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Watch
from opswatch.ports import Row
from opswatch.rows.messages import decode_message
from opswatch.rows.tables import WATCHES
from opswatch.testing import MemoryQueue
from tests.support import builders
from tests.support.clock import SimulatedClock
from tests.support.storage import running_stand_in

T = TypeVar("T")
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def watch(number: int = 0, partition: str = "p", **known: Any) -> Watch:
    operation = replace(builders.operation(), key=Key(partition, f"{number:03}"))
    return builders.watch(operation=operation, **known)


class Recorded(AzureTable[Watch]):
    """A table that keeps the sizes of its transactions, and can fail or lose answers."""

    def __init__(self, account: Account, name: str) -> None:
        super().__init__(account, WATCHES, name)
        self.sizes: list[int] = []
        self.errors: list[Exception] = []  # of the next transactions
        self.refused: set[Key] = set()  # with `code`, alone or with others
        self.code = 400
        self.loses_answers = False

    async def transact(self, changes: Sequence[Change]) -> list[str | None]:
        self.sizes.append(len(changes))
        if self.errors:
            raise self.errors.pop()
        if self.refused & {change.key for change in changes}:
            error = HttpResponseError("no")
            error.status_code = self.code
            raise error
        etags = await super().transact(changes)
        if self.loses_answers:  # the client repeats the request
            return await super().transact(changes)
        return etags


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    async with running_stand_in() as storage:
        account = Account(Storage(connection_string=storage.connection_string))
        yield account
        await account.close()


@pytest.fixture
async def inner(account: Account) -> Recorded:
    await account.table("watches").create_table()
    return Recorded(account, "watches")


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight()


@pytest.fixture
def table(inner: Recorded, in_flight: InFlight) -> GatheredTable[Watch]:
    return GatheredTable(inner, WATCHES, in_flight, remembers_watch)


async def together(in_flight: InFlight, *works: Awaitable[T]) -> list[T]:
    """Run works that are all under way at the same time."""

    async def working(work: Awaitable[T]) -> T:
        with in_flight.enter():
            return await work

    return await asyncio.gather(*map(working, works))


async def inserted(table: GatheredTable[Watch], *watches: Watch) -> list[Row[Watch]]:
    rows = [await table.insert(value) for value in watches]
    return [row for row in rows if row is not None]


def later(row: Row[Watch], seq: int = 2) -> Watch:
    return replace(row.value, seq=seq, due_at=NOW)


# --- tables


async def test_writes_of_a_partition_are_one_transaction(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    rows = await inserted(table, *(watch(n) for n in range(10)))
    merged = await together(in_flight, *(table.merge(row, later(row)) for row in rows))
    assert inner.sizes == [10]
    for row in merged:
        assert row is not None
        assert await table.get(row.value.key) == row
        assert row.value.seq == 2


async def test_partitions_are_written_apart(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    rows = await inserted(table, *(watch(n, partition) for n in range(3) for partition in "ab"))
    await together(in_flight, *(table.merge(row, later(row)) for row in rows))
    assert inner.sizes == [3, 3]


async def test_more_than_a_hundred_are_several_transactions(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    rows = await inserted(table, *(watch(n) for n in range(120)))
    merged = await together(in_flight, *(table.merge(row, later(row)) for row in rows))
    assert sorted(inner.sizes) == [20, 100]
    assert None not in merged


async def test_large_rows_fit_their_transactions(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    """The service refuses more than 4 MiB."""
    known = [watch(n, client_state='"' + "\U0001f600" * 15_000 + '"') for n in range(30)]
    rows = await inserted(table, *known)
    replaced = await together(in_flight, *(table.replace(later(row), row.etag) for row in rows))
    assert None not in replaced
    assert len(inner.sizes) > 1


async def test_conflict_fails_no_other_write(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    rows = await inserted(table, *(watch(n) for n in range(6)))
    await inner.put(replace(rows[3].value, seq=9))
    await inner.delete(rows[4].value.key)
    merged = await together(in_flight, *(table.merge(row, later(row)) for row in rows))
    assert [row and row.value.seq for row in merged] == [2, 2, 2, None, None, 2]
    # Twice without the one that conflicts, then all that are left alone.
    assert inner.sizes == [6, 5, 1, 1, 1, 1]
    current = await table.get(rows[3].value.key)
    assert current is not None
    assert current.value.seq == 9


@pytest.mark.parametrize("code", [400, 413])
async def test_one_refused_write_fails_no_other(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight, code: int
) -> None:
    rows = await inserted(table, *(watch(n) for n in range(3)))
    inner.refused.add(rows[1].value.key)
    inner.code = code

    async def merge(row: Row[Watch]) -> object:
        try:
            return await table.merge(row, later(row))
        except HttpResponseError as error:
            return error.status_code

    first, second, third = await together(in_flight, *map(merge, rows))
    assert second == code
    assert inner.sizes == [3, 3, 1, 1, 1]
    for outcome in (first, third):
        assert isinstance(outcome, Row)
        assert outcome.value.seq == 2


async def test_outage_is_not_asked_for_each_write(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    rows = await inserted(table, *(watch(n) for n in range(3)))
    inner.refused.add(rows[1].value.key)
    inner.code = 500

    async def merge(row: Row[Watch]) -> object:
        try:
            return await table.merge(row, later(row))
        except HttpResponseError as error:
            return error.status_code

    assert await together(in_flight, *map(merge, rows)) == [500] * 3
    assert inner.sizes == [3]


async def test_error_of_the_whole_is_everyones(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    rows = await inserted(table, *(watch(n) for n in range(3)))
    inner.errors.append(ConnectionError())

    async def merge(row: Row[Watch]) -> type:
        try:
            return type(await table.merge(row, later(row)))
        except ConnectionError as error:
            return type(error)

    assert await together(in_flight, *map(merge, rows)) == [ConnectionError] * 3
    assert inner.sizes == [3]
    assert await together(in_flight, *map(merge, rows)) == [Row] * 3


async def test_same_row_twice_is_written_once(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    """A transaction may not name a row twice; the second write conflicts with the first."""
    (row,) = await inserted(table, watch())
    first, second = await together(
        in_flight, table.merge(row, later(row)), table.merge(row, later(row, seq=3))
    )
    assert inner.sizes == [1, 1]
    assert first is not None
    assert (first.value.seq, second) == (2, None)
    assert await table.get(row.value.key) == first


async def test_rows_that_come_twice_are_two_transactions(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight
) -> None:
    rows = await inserted(table, watch(0), watch(1))
    await together(
        in_flight,
        *(table.merge(row, later(row)) for row in rows),
        *(table.merge(row, later(row, seq=3)) for row in rows),
    )
    # The first two; the other two, which conflict: together, without the first, alone.
    assert inner.sizes == [2, 2, 1]


@pytest.mark.parametrize("count", [1, 3])
async def test_lost_answer_conflicts_with_itself(
    table: GatheredTable[Watch], inner: Recorded, in_flight: InFlight, count: int
) -> None:
    rows = await inserted(table, *(watch(n, callbacks=(builders.HOOK,)) for n in range(count)))
    inner.loses_answers = True
    merged = await together(in_flight, *(table.merge(row, later(row)) for row in rows))
    assert [row and row.value.seq for row in merged] == [2] * count
    replaced = await together(
        in_flight, *(table.replace(later(row, 3), row.etag) for row in merged if row)
    )
    assert [row and row.value.seq for row in replaced] == [3] * count


async def test_row_that_another_worker_has_written_is_not_ours(
    table: GatheredTable[Watch], in_flight: InFlight
) -> None:
    """It has all that was to be written, and a value more."""
    (row,) = await inserted(table, watch(kind="k"))
    await together(in_flight, table.replace(later(row), row.etag))
    without = builders.change(later(row), kind=None)
    assert await together(in_flight, table.replace(without, row.etag)) == [None]


# --- merges


async def test_merge_writes_what_has_changed(table: GatheredTable[Watch]) -> None:
    """Fields that a copy leaves out keep their values."""
    (row,) = await inserted(table, watch(callbacks=(builders.HOOK,), client_state='{"a":1}'))
    bare = builders.change(row.value, callbacks=(), client_state=None)
    copy = Row(bare, row.etag, is_copy=True)
    merged = await table.merge(copy, later(copy))
    assert merged is not None
    assert (merged.value, merged.is_copy) == (later(copy), True)
    whole = await table.get(row.value.key)
    assert whole is not None
    assert whole == Row(later(row), merged.etag)


async def test_field_that_loses_its_value_needs_the_whole_row(
    table: GatheredTable[Watch],
) -> None:
    (row,) = await inserted(table, watch(kind="k", postponed_since=NOW))
    without = replace(later(row), postponed_since=None)
    assert await table.merge(replace(row, is_copy=True), without) is None
    assert await table.get(row.value.key) == row
    merged = await table.merge(row, without)
    assert merged is not None
    assert await table.get(row.value.key) == merged
    assert merged.value == without


async def test_replacement_leaves_no_old_value(table: GatheredTable[Watch]) -> None:
    (row,) = await inserted(table, watch(kind="k"))
    replaced = await table.replace(builders.change(later(row), kind=None), row.etag)
    assert replaced is not None
    assert await table.get(row.value.key) == replaced


async def test_merge_of_a_removed_row_revives_nothing(table: GatheredTable[Watch]) -> None:
    (row,) = await inserted(table, watch())
    await table.delete(row.value.key)
    assert await table.merge(row, later(row)) is None
    assert await table.replace(later(row), row.etag) is None
    assert await table.get(row.value.key) is None


# --- what it remembers


async def test_near_row_is_recalled_as_written(table: GatheredTable[Watch]) -> None:
    (row,) = await inserted(table, watch())
    assert table.recall(row.value.key) is None
    merged = await table.merge(row, later(row))
    assert merged is not None
    assert table.recall(row.value.key) == merged


@pytest.mark.parametrize("known", [{"far": True}, {"end": builders.end()}])
async def test_far_and_ended_rows_are_not_remembered(
    table: GatheredTable[Watch], known: dict[str, Any]
) -> None:
    (row,) = await inserted(table, watch())
    await table.merge(row, replace(later(row), **known))
    assert table.recall(row.value.key) is None


async def test_conflict_and_removal_are_forgotten(table: GatheredTable[Watch]) -> None:
    (row,) = await inserted(table, watch())
    merged = await table.merge(row, later(row))
    assert merged is not None
    assert await table.merge(row, later(row, 9)) is None  # its ETag is old
    assert table.recall(row.value.key) is None
    again = await table.merge(merged, later(merged, 3))
    assert again is not None
    await table.delete(row.value.key)
    assert table.recall(row.value.key) is None


async def test_memory_is_bounded(
    table: GatheredTable[Watch], in_flight: InFlight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opswatch.adapters.gathered_table._MOST_REMEMBERED", 3)
    rows = await inserted(table, *(watch(n) for n in range(5)))
    await together(in_flight, *(table.merge(row, later(row)) for row in rows))
    remembered = [row for row in rows if table.recall(row.value.key)]
    assert remembered == rows[2:]


# --- queues


def wake(number: int, seconds: float = 0) -> WakeUp:
    due_at = NOW + timedelta(seconds=seconds)
    return WakeUp(key=Key("p", f"{number}"), seq=1, due_at=due_at)


class Sends(MemoryQueue):
    """A queue that fails to send what contains `refused`."""

    refused = b"none"
    error: Exception = ConnectionError()

    async def send(self, body: bytes, delay: timedelta = timedelta(0)) -> None:
        if self.refused in body:
            raise self.error
        await super().send(body, delay)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW)


@pytest.fixture
def sends(clock: SimulatedClock) -> Sends:
    return Sends(clock)


@pytest.fixture
def queue(sends: Sends, clock: SimulatedClock, in_flight: InFlight) -> GatheredQueue:
    return GatheredQueue(sends, clock, in_flight)


async def test_wake_ups_of_a_second_are_one_message(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight
) -> None:
    delays = [5.0, 5.9, 5.5, 6.0]
    await together(
        in_flight,
        *(queue.send_wake_up(wake(n, d), timedelta(seconds=d)) for n, d in enumerate(delays)),
    )
    found = {
        decode_message(message.body): message.visible_at - NOW
        for message in sends.messages.values()
    }
    # None is visible before its wake-ups are due.
    assert found == {
        (wake(0, 5.0), wake(1, 5.9), wake(2, 5.5)): timedelta(seconds=6),
        (wake(3, 6.0),): timedelta(seconds=6),
    }


async def test_more_than_thirty_two_are_several_messages(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight
) -> None:
    await together(in_flight, *(queue.send_wake_up(wake(n), timedelta(0)) for n in range(40)))
    batches = [decode_message(message.body) for message in sends.messages.values()]
    assert sorted(len(batch) for batch in batches if isinstance(batch, tuple)) == [8, 32]


async def test_negative_delay_is_none(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight
) -> None:
    delays = [timedelta(seconds=-50), timedelta(seconds=-70), timedelta(0)]
    await together(in_flight, *(queue.send_wake_up(wake(n), d) for n, d in enumerate(delays)))
    (message,) = sends.messages.values()
    assert message.visible_at == NOW


async def test_wake_ups_that_are_tried_again_are_grouped_by_when(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight
) -> None:
    """Both were due at the same time."""
    delays = [timedelta(seconds=5), timedelta(seconds=60)]
    await together(in_flight, *(queue.send_wake_up(wake(n), d) for n, d in enumerate(delays)))
    assert sorted(m.visible_at - NOW for m in sends.messages.values()) == delays


async def test_message_of_its_own_goes_alone(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight
) -> None:
    await together(in_flight, queue.send(b"alone"), queue.send_wake_up(wake(0), timedelta(0)))
    assert {message.body for message in sends.messages.values()} > {b"alone"}
    assert await queue.depth() == 2
    peeked = await queue.peek()
    assert peeked is not None
    assert peeked.sent_at == NOW


async def test_failed_message_fails_its_wake_ups(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight
) -> None:
    sends.refused = b'"due":"2026-11-23T03:00:07Z"'

    async def send(number: int, seconds: int) -> str:
        try:
            delay = timedelta(seconds=seconds)
            await queue.send_wake_up(wake(number, seconds), delay)
        except ConnectionError:
            return "failed"
        return "sent"

    works = [send(0, 5), send(1, 7), send(2, 7), send(3, 9)]
    assert await together(in_flight, *works) == ["sent", "failed", "failed", "sent"]


@pytest.mark.parametrize("code", [400, 413])
async def test_refused_message_is_sent_as_single_wake_ups(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight, code: int
) -> None:
    """A wake-up or a copy that the service does not accept stops none of the others."""
    error = HttpResponseError("no")
    error.status_code = code
    sends.error, sends.refused = error, b'"row":"1"'

    async def send(number: int) -> Exception | None:
        known = replace(wake(number, 5.5), copy=watch(number), etag='"1"')
        try:
            await queue.send_wake_up(known, timedelta(seconds=5.5))
        except HttpResponseError as refused:
            return refused
        return None

    outcomes = await together(in_flight, *map(send, range(3)))
    assert outcomes == [None, error, None]
    found = {decode_message(m.body): m.visible_at - NOW for m in sends.messages.values()}
    assert found == {(wake(n, 5.5),): timedelta(seconds=6) for n in (0, 2)}


async def test_copy_that_is_refused_is_left_out(
    queue: GatheredQueue, sends: Sends, in_flight: InFlight
) -> None:
    error = HttpResponseError("no")
    error.status_code = 400
    sends.error, sends.refused = error, b'"copy"'
    known = replace(wake(0), copy=watch(), etag='"1"')
    await together(in_flight, queue.send_wake_up(known, timedelta(0)))
    (message,) = sends.messages.values()
    assert decode_message(message.body) == (wake(0),)


async def test_messages_reach_the_storage(account: Account, in_flight: InFlight) -> None:
    client = account.queue("operations")
    await client.create_queue()
    inner = AzureQueue(account, "operations")
    queue = GatheredQueue(inner, lambda: datetime.now(UTC), in_flight)
    await together(in_flight, *(queue.send_wake_up(wake(n), timedelta(0)) for n in range(3)))
    (message,) = [message async for message in client.receive_messages()]
    assert decode_message(message.content.encode()) == (wake(0), wake(1), wake(2))
