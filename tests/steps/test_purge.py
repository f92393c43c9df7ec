"""The purge: results older than the retention go, with everything that belongs to them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.wakeups import WakeUp
from opswatch.steps.deliver import deliver
from opswatch.steps.poll import poll
from opswatch.steps.purge import purge
from tests.steps.conftest import interrupt
from tests.support.harness import HOOK, KEY, OTHER, POLICY, START, Harness, ended

RETENTION = timedelta(days=30)


async def lose_delivery_wake_up(harness: Harness) -> None:
    """End the operation, and lose the message of its delivery."""
    await harness.watched(HOOK)
    harness.status = ended()
    harness.operations.messages.clear()
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    harness.deliveries.messages.clear()


async def end_and_reject(harness: Harness, *callback_urls: str) -> None:
    await harness.ended(*callback_urls)
    harness.operations.post(b"{nonsense")
    await harness.pump()


async def test_old_result_goes_with_its_rows(harness: Harness) -> None:
    await end_and_reject(harness, HOOK, OTHER)
    harness.now = START + RETENTION + timedelta(days=1, hours=1)
    await purge(harness.services)
    assert not any(harness.rows().values())


@pytest.mark.parametrize("after", [timedelta(days=1), RETENTION - timedelta(minutes=1)])
async def test_younger_rows_are_kept(harness: Harness, after: timedelta) -> None:
    await end_and_reject(harness, HOOK)
    before = harness.rows()
    harness.now = harness.result.end.finished_at + after
    await purge(harness.services)
    assert harness.rows() == before


@pytest.mark.parametrize("has_ended", [True, False])
async def test_retention_counts_from_the_end(has_ended: bool) -> None:
    """An operation that was registered long ago is kept if it ended recently, or not yet."""
    harness = Harness(replace(POLICY, timeout=timedelta(days=7), retention=timedelta(days=1)))
    await harness.watched(HOOK)
    harness.advance(days=5)
    if has_ended:
        harness.status = ended()
        await harness.settle()
    before = harness.rows()
    await purge(harness.services)
    assert harness.rows() == before


async def test_pending_delivery_keeps_its_result(harness: Harness) -> None:
    await lose_delivery_wake_up(harness)
    before = harness.rows()
    harness.advance(days=40)
    await purge(harness.services)
    assert harness.rows() == before
    await deliver(harness.services, WakeUp(key=harness.pending.key, seq=1))
    assert harness.called() == [HOOK]
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_pending_delivery_of_another_operation_keeps_nothing(harness: Harness) -> None:
    await harness.ended(HOOK)
    longer = replace(KEY, row=f"{KEY.row}~deadbeef")  # its keys begin as this operation's do
    key = replace(harness.settled.key, row=f"{longer.row}~00000000")
    foreign = replace(harness.settled, key=key, operation=longer)
    await harness.store.outbox.put(foreign)
    await harness.store.deliveries.put(foreign)
    harness.advance(days=40)
    await purge(harness.services)
    assert not harness.store.results.rows
    assert [record.operation for record in harness.store.deliveries.values()] == [longer]
    assert [pending.operation for pending in harness.store.outbox.values()] == [longer]


@pytest.mark.parametrize("cut_after", range(1, 6))
async def test_interrupted_purge_is_continued(harness: Harness, cut_after: int) -> None:
    await end_and_reject(harness, HOOK, OTHER)
    harness.advance(days=40)
    await interrupt(harness, purge(harness.services), after=cut_after)
    await purge(harness.services)
    assert not any(harness.rows().values())
