"""Rows that cannot be decoded: each is written again from elsewhere, or stops only its own work."""

from typing import Any

import pytest

from opswatch.core.deliveries import new_delivery
from opswatch.core.hosts import CircuitState, circuit_state
from opswatch.core.http import HttpResponse
from opswatch.core.keys import Key, host_key
from opswatch.core.lookahead import key_of
from opswatch.core.watches import FinalStatus
from opswatch.ports import Row
from opswatch.rows.codec import UnreadableRowError
from opswatch.steps.control import stop
from opswatch.steps.finish import finish
from opswatch.steps.repair import repair
from opswatch.steps.unreadable import get_or_remove
from opswatch.testing import MemoryTable
from tests.support.builders import end, watch
from tests.support.harness import HOOK, KEY, OTHER, Harness, ended


def spoil(table: MemoryTable[Any], key: Key) -> None:
    table.rows[key] = ({"PartitionKey": key.partition, "RowKey": key.row, "seq": "x"}, '"x"')


async def test_unreadable_row_is_removed_and_counted(harness: Harness) -> None:
    table = harness.store.lookahead
    spoil(table, key_of("watches"))
    with pytest.raises(UnreadableRowError):
        await table.get(key_of("watches"))
    assert await get_or_remove(table, key_of("watches")) is None
    assert table.unreadable == [key_of("watches")] * 2
    assert not table.rows


async def test_chain_of_an_unreadable_look_ahead_is_begun_again(harness: Harness) -> None:
    due_at = harness.now.replace(hour=4)
    await harness.store.watches.insert(watch(due_at=due_at, far=True))
    spoil(harness.store.lookahead, key_of("watches"))
    await repair(harness.services)
    assert [row.table for row in harness.store.lookahead.values()] == ["watches"]
    assert len(harness.operations.messages) == 1


async def test_circuit_that_cannot_be_read_opens_again(harness: Harness) -> None:
    spoil(harness.store.hosts, host_key(HOOK))
    harness.callbacks.answer = lambda _: HttpResponse(503, {})
    for number in range(5):
        harness.post(HOOK, operation=f"op{number}")
    harness.status = ended()
    await harness.pump_all()
    (circuit,) = harness.store.hosts.values()
    assert circuit.failures >= 5
    assert circuit_state(circuit, harness.now) is CircuitState.OPEN


async def test_unreadable_rejection_is_written_again(harness: Harness) -> None:
    harness.operations.post(b"no post")
    await harness.pump_all()
    (key,) = harness.store.rejections.rows
    spoil(harness.store.rejections, key)
    harness.operations.post(b"no post")
    await harness.settle()
    (rejection,) = harness.store.rejections.values()
    assert rejection.count == 1


async def test_unreadable_timeline_entry_is_written_again(harness: Harness) -> None:
    await harness.watched()
    await stop(harness.services, KEY)
    (key,) = (key for key in harness.store.timeline.rows if "~" not in key.partition)
    spoil(harness.store.timeline, key)
    harness.post(again=True)
    await harness.pump_all()
    entries = [entry for entry in harness.store.timeline.values() if entry.key == key]
    assert [(entry.operation, entry.finished_at) for entry in entries] == [(KEY, None)]


async def test_unreadable_delivery_keeps_no_other_receiver_waiting(harness: Harness) -> None:
    known = end(FinalStatus.SUCCEEDED, finished_at=harness.now)
    ended_watch = watch(callbacks=(HOOK, OTHER), end=known, registered_at=harness.now)
    row: Row[Any] | None = await harness.store.watches.insert(ended_watch)
    assert row is not None
    spoiled = new_delivery(row.value.key, HOOK, harness.now, harness.services.policy)
    spoil(harness.store.outbox, spoiled.key)
    for _ in range(2):
        with pytest.raises(UnreadableRowError):
            await finish(harness.services, row)
    await harness.pump_all()
    assert harness.called() == [OTHER]
    assert harness.store.watches.rows  # until the row has been mended or removed
    del harness.store.outbox.rows[spoiled.key]
    await finish(harness.services, row)
    await harness.pump_all()
    assert harness.called() == [OTHER, HOOK]
    assert not harness.store.watches.rows
