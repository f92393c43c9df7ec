"""What is older than the retention goes, and nothing that is still needed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.keys import WakeUp
from opswatch.core.policy import Policy
from opswatch.steps.deliver import deliver
from opswatch.steps.maintenance import purge
from opswatch.steps.poll import poll
from tests.support.harness import (
    HOOK,
    KEY,
    OTHER,
    POLICY,
    START,
    Harness,
    InterruptedStepError,
    ended,
)

RETENTION = timedelta(days=30)


async def test_results_go_with_all_that_belongs_to_them(harness: Harness) -> None:
    await harness.ended(HOOK, OTHER)
    harness.operations.post(b"{nonsense")
    await harness.pump()
    harness.now = START + RETENTION + timedelta(days=1, hours=1)
    await purge(harness.services)
    assert not any(harness.rows().values())


@pytest.mark.parametrize("after", [timedelta(days=1), RETENTION - timedelta(minutes=1)])
async def test_what_is_younger_stays(harness: Harness, after: timedelta) -> None:
    await harness.ended(HOOK)
    harness.operations.post(b"{nonsense")
    await harness.pump()
    before = harness.rows()
    harness.now = harness.result.end.finished_at + after
    await purge(harness.services)
    assert harness.rows() == before


async def test_what_ended_lately_stays_however_long_ago_it_was_posted() -> None:
    harness = Harness(replace(POLICY, timeout=timedelta(days=7), retention=timedelta(days=1)))
    await harness.watched(HOOK)
    harness.advance(days=5)
    harness.status = ended()
    await harness.settle()
    before = harness.rows()
    await purge(harness.services)
    assert harness.rows() == before


async def test_what_still_runs_stays() -> None:
    harness = Harness(Policy(timeout=timedelta(days=7), retention=timedelta(days=1)))
    await harness.watched(HOOK)
    before = harness.rows()
    harness.advance(days=5)
    await purge(harness.services)
    assert harness.rows() == before


async def test_what_is_owed_keeps_its_result(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    harness.operations.messages.clear()
    await poll(harness.services, WakeUp(KEY, 2))
    harness.deliveries.messages.clear()
    before = harness.rows()
    harness.advance(days=40)
    await purge(harness.services)
    assert harness.rows() == before
    await deliver(harness.services, WakeUp(harness.pending.key, 1))
    assert harness.called() == [HOOK]
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_what_another_operation_is_owed_keeps_nothing(harness: Harness) -> None:
    await harness.ended(HOOK)
    longer = replace(KEY, row=f"{KEY.row}~deadbeef")  # whose keys begin as this one's do
    key = replace(harness.settled.key, row=f"{longer.row}~00000000")
    foreign = replace(harness.settled, key=key, operation=longer)
    await harness.store.outbox.put(foreign)
    await harness.store.deliveries.put(foreign)
    harness.advance(days=40)
    await purge(harness.services)
    assert not harness.store.results.rows
    assert [record.operation for record in harness.store.deliveries.values()] == [longer]
    assert [owed.operation for owed in harness.store.outbox.values()] == [longer]


@pytest.mark.parametrize("cut_after", range(1, 6))
async def test_a_purge_cut_off_anywhere_is_taken_up_by_the_next(
    harness: Harness, cut_after: int
) -> None:
    await harness.ended(HOOK, OTHER)
    harness.operations.post(b"{nonsense")
    await harness.pump()
    harness.advance(days=40)
    harness.effects.names.clear()
    harness.effects.cut_after = cut_after
    with pytest.raises(InterruptedStepError):
        await purge(harness.services)
    harness.effects.cut_after = None
    await purge(harness.services)
    assert not any(harness.rows().values())
