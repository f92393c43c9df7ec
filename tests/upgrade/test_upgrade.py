"""What an earlier version has left in the storage: its rows are read, and its work is finished.

The file beside was written by version 0.1.0 when it was stopped with two operations under way, and
two that had ended, one of them with a delivery pending. Only its hosts were renamed.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.watches import FinalStatus
from opswatch.rows import tables
from opswatch.rows.codec import Codec, Entity
from opswatch.steps.repair import repair
from tests.support.harness import HOOK, OTHER, Harness, ended

STOPPED_AT = datetime(2026, 11, 26, 9, 32, 25, tzinfo=UTC)
WRITTEN = json.loads(Path(__file__).with_name("written_by_0.1.0.json").read_text(encoding="utf-8"))
CODECS: dict[str, Codec[Any]] = {
    codec.table: codec
    for codec in (
        tables.WATCHES, tables.RESULTS, tables.OUTBOX, tables.DELIVERIES, tables.TIMELINE,
        tables.REJECTIONS, tables.HOSTS,
    )
}  # fmt: skip
RUNNING, ENDLESS = "01a4a8fe-3ffe-4370-9453-6f4a58e7bfbd", "0e26118d-459f-4636-8b97-f1913bdb95a0"
DELIVERED, PENDING = (
    "msg_1c478626bea5ee112cf7fc10fb641a62",
    "msg_49dcd774d97d3c876631e11ab143be96",
)
# Columns that a later version does not have: it polls again, or counts a delay from its start.
GONE = {"isDoubted", "lateSince"}


def entity(row: dict[str, Any]) -> Entity:
    return {
        name: datetime.fromisoformat(value["datetime"]) if isinstance(value, dict) else value
        for name, value in row.items()
    }


ROWS = [(table, entity(row)) for table, rows in WRITTEN["tables"].items() for row in rows]


@pytest.fixture
def harness() -> Harness:
    """The app of this version over the tables that the earlier one has left."""
    harness = Harness()
    harness.now = STOPPED_AT
    for table, row in ROWS:
        codec = CODECS[table]
        getattr(harness.store, table)._write_entity(codec.decode(row).key, row, codec.decode(row))
    return harness


def send_messages(harness: Harness) -> None:
    """Put the messages into the queues, too."""
    for name in ("operations", "deliveries"):
        for message in WRITTEN["queues"][name]:
            getattr(harness, name).post(json.dumps(message, separators=(",", ":")).encode())


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_row_keeps_its_columns(table: str, row: Entity) -> None:
    read = CODECS[table].encode(CODECS[table].decode(row))
    assert {name: read.get(name) for name in row if name not in GONE} == {
        name: value for name, value in row.items() if name not in GONE
    }


def outcomes(harness: Harness) -> dict[str, FinalStatus]:
    return {
        result.facts.operation.operation_id: result.end.status
        for result in harness.store.results.values()
    }


@pytest.mark.parametrize("is_lost", [False, True], ids=["messages", "messages lost"])
async def test_work_under_way_is_finished(harness: Harness, is_lost: bool) -> None:
    if is_lost:
        harness.advance(minutes=20)
        await repair(harness.services)
    else:
        send_messages(harness)
    harness.statuses[RUNNING] = ended()
    await harness.settle()
    assert outcomes(harness).items() >= {
        (RUNNING, FinalStatus.SUCCEEDED),
        (ENDLESS, FinalStatus.TIMED_OUT),
    }
    assert not harness.store.watches.rows
    assert not harness.store.outbox.rows
    assert sorted(harness.called()) == [HOOK, HOOK, OTHER]
    pending = next(
        delivery
        for delivery in harness.store.deliveries.values()
        if delivery.delivery_id == PENDING
    )
    assert (pending.state, pending.attempts) == (DeliveryState.DELIVERED, 3)
    assert PENDING in {request.headers["webhook-id"] for request in harness.callbacks.requests}
    assert not harness.store.rejections.values()[1:]  # no message was taken for a post


async def test_posted_again_calls_receiver_under_another_id(harness: Harness) -> None:
    """Keys of deliveries have more digits now, so that of an earlier version is not found."""
    (delivered,) = harness.store.deliveries.values()
    assert delivered.delivery_id == DELIVERED
    result = harness.store.results.rows[delivered.operation][0]
    harness.post(HOOK, operation=result["url"])
    await harness.settle()
    (request,) = harness.callbacks.requests
    assert request.headers["webhook-id"] != DELIVERED
