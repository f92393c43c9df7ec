"""What is older than the retention goes, and nothing that is still needed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch import steps
from opswatch.core.keys import WakeUp
from opswatch.core.policy import Policy
from tests.steps.house import HOOK, KEY, OTHER, POLICY, START, CutOffError, House, ended

RETENTION = timedelta(days=30)


async def test_results_go_with_all_that_belongs_to_them(house: House) -> None:
    await house.ended(HOOK, OTHER)
    house.operations.post(b"{nonsense")
    await house.pump()
    house.now = START + RETENTION + timedelta(days=1, hours=1)
    await steps.purge(house.services)
    assert not any(house.rows().values())


@pytest.mark.parametrize("after", [timedelta(days=1), RETENTION - timedelta(minutes=1)])
async def test_what_is_younger_stays(house: House, after: timedelta) -> None:
    await house.ended(HOOK)
    house.operations.post(b"{nonsense")
    await house.pump()
    before = house.rows()
    house.now = house.result.end.finished_at + after
    await steps.purge(house.services)
    assert house.rows() == before


async def test_what_ended_lately_stays_however_long_ago_it_was_posted() -> None:
    house = House(replace(POLICY, timeout=timedelta(days=7), retention=timedelta(days=1)))
    await house.watched(HOOK)
    house.advance(days=5)
    house.status = ended()
    await house.settle()
    before = house.rows()
    await steps.purge(house.services)
    assert house.rows() == before


async def test_what_still_runs_stays() -> None:
    house = House(Policy(timeout=timedelta(days=7), retention=timedelta(days=1)))
    await house.watched(HOOK)
    before = house.rows()
    house.advance(days=5)
    await steps.purge(house.services)
    assert house.rows() == before


async def test_what_is_owed_keeps_its_result(house: House) -> None:
    await house.watched(HOOK)
    house.status = ended()
    house.operations.messages.clear()
    await steps.poll(house.services, WakeUp(KEY, 2))
    house.deliveries.messages.clear()
    before = house.rows()
    house.advance(days=40)
    await steps.purge(house.services)
    assert house.rows() == before
    await steps.deliver(house.services, WakeUp(house.owed.key, 1))
    assert house.called() == [HOOK]
    await steps.purge(house.services)
    assert not any(house.rows().values())


async def test_what_another_operation_is_owed_keeps_nothing(house: House) -> None:
    await house.ended(HOOK)
    longer = replace(KEY, row=f"{KEY.row}~deadbeef")  # whose keys begin as this one's do
    key = replace(house.settled.key, row=f"{longer.row}~00000000")
    foreign = replace(house.settled, key=key, operation=longer)
    await house.store.outbox.put(foreign)
    await house.store.deliveries.put(foreign)
    house.advance(days=40)
    await steps.purge(house.services)
    assert not house.store.results.rows
    assert [record.operation for record in house.store.deliveries.values()] == [longer]
    assert [owed.operation for owed in house.store.outbox.values()] == [longer]


@pytest.mark.parametrize("cut_after", range(1, 6))
async def test_a_purge_cut_off_anywhere_is_taken_up_by_the_next(
    house: House, cut_after: int
) -> None:
    await house.ended(HOOK, OTHER)
    house.operations.post(b"{nonsense")
    await house.pump()
    house.advance(days=40)
    house.effects.names.clear()
    house.effects.cut_after = cut_after
    with pytest.raises(CutOffError):
        await steps.purge(house.services)
    house.effects.cut_after = None
    await steps.purge(house.services)
    assert not any(house.rows().values())
